"""Tables of the settings file, added and taken away as text, so that every comment stays."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from callgate.config.loading import read_settings
from callgate.errors import Misconfigured

BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
HEADER: Final = re.compile(r"\s*\[")


def add_table(path: Path, section: str, name: str, table: Mapping[str, Any]) -> str:
    """Write a table to the end of a settings file; return what was written.

    Raises:
        Misconfigured: The file has it already, or would have mistakes with it; nothing is written.
    """
    text = path.read_text(encoding="utf-8")
    if name in tomllib.loads(text).get(section, {}):
        msg = f"{path} has [{section}.{name}] already; callgate mcp remove {name} takes it away"
        raise Misconfigured(msg)
    lines = [f"[{section}.{_key(name)}]"]
    lines += [f"{_key(key)} = {_value(value)}" for key, value in table.items()]
    added = "\n".join(lines) + "\n"
    _write(path, text.rstrip("\n") + "\n\n" + added)
    return added


def remove_table(path: Path, section: str, name: str) -> None:
    """Take a table out of a settings file, and what is written below it.

    Raises:
        Misconfigured: The file does not have it, or not as a table of its own; nothing is written.
    """
    text = path.read_text(encoding="utf-8")
    page = tomllib.loads(text)
    if name not in page.get(section, {}):
        msg = f"{path} has no [{section}.{name}]"
        raise Misconfigured(msg)
    mine = re.compile(rf"""\s*\[\s*{section}\s*\.\s*["']?{re.escape(name)}["']?\s*[.\]]""")
    kept: list[str] = []
    is_mine = False
    for line in text.splitlines(keepends=True):
        if HEADER.match(line):
            is_mine = mine.match(line) is not None
        if not is_mine:
            kept.append(line)
    del page[section][name]
    without = "".join(kept)
    if _bare(tomllib.loads(without)) != _bare(page):
        msg = f"[{section}.{name}] is not written as a table of its own in {path}; take it out by hand"
        raise Misconfigured(msg)
    _write(path, without)


def _bare(page: Mapping[str, Any]) -> dict[str, Any]:
    """Return a page without empty sections, which come and go with their last table."""
    return {key: value for key, value in page.items() if value != {}}


def _write(path: Path, text: str) -> None:
    """Replace a file by settings that hold, or by nothing."""
    read_settings(text, path.resolve())
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.chmod(path.stat().st_mode)
    new.replace(path)


def _key(name: str) -> str:
    return name if BARE.fullmatch(name) else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        table = cast("Mapping[str, Any]", value)
        return f"{{ {', '.join(f'{_key(key)} = {_value(one)}' for key, one in table.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(_value(one) for one in cast('Sequence[Any]', value))}]"
    return _text(str(value))


def _text(value: str) -> str:
    """Return a string of TOML; what is invisible is written out.

    Source: TOML 1.0, "String": basic strings.
    """
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'
