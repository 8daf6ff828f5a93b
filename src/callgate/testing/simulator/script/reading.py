"""How a script is read, and how its mistakes are told."""

from __future__ import annotations

import difflib
import json
import tomllib
import typing
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal

import pydantic

from callgate.errors import Misconfigured
from callgate.testing.simulator.script.rules import Script

LONGEST_SHOWN: Final = 60


class ScriptError(Misconfigured):
    """The script cannot be used; ``message`` lists every mistake with what is allowed there."""

    code = "script"
    status = 400


def read_script(source: Script | Mapping[str, object] | Path | str | None) -> Script:
    """Return a script, validated whole.

    Args:
        source: A script, its tables as a mapping, the path of a TOML file, or None for an empty
            script, which answers every request.

    Raises:
        ScriptError: The file cannot be read, or the script is wrong; every mistake is listed.
    """
    if source is None:
        return Script()
    if isinstance(source, Script):
        return source
    if isinstance(source, Mapping):
        return _validate(source, "script")
    try:
        text = Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{source}: cannot be read: {error}"
        raise ScriptError(msg) from error
    return parse_script(text, name=str(source))


def parse_script(
    text: str, *, name: str = "script", form: Literal["toml", "json"] = "toml"
) -> Script:
    """Return the script that ``text`` holds.

    Args:
        text: TOML or JSON; numbers with a fraction keep every digit.
        name: What messages call it, such as its path.
        form: Which of the two it is.

    Raises:
        ScriptError: The text is not TOML or JSON, or the script is wrong.
    """
    try:
        if form == "toml":
            tables: object = tomllib.loads(text, parse_float=Decimal)
        else:
            tables = json.loads(text, parse_float=Decimal)
    except ValueError as error:
        msg = f"{name}: not valid {form.upper()}: {error}"
        raise ScriptError(msg) from error
    return _validate(tables, name)


def _validate(tables: object, name: str) -> Script:
    try:
        return Script.model_validate(tables)
    except pydantic.ValidationError as error:
        lines = [
            f"{name}: {_describe(flaw['loc'], flaw['type'], flaw['msg'], flaw['input'])}"
            for flaw in error.errors()
        ]
        raise ScriptError("\n".join(dict.fromkeys(lines))) from error


def _describe(place: tuple[int | str, ...], kind: str, message: str, found: object) -> str:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    where = where.removeprefix(".") or "the whole"
    if kind == "extra_forbidden":
        allowed = _keys_at(place[:-1])
        near = difflib.get_close_matches(str(place[-1]), allowed, n=1)
        hint = f'; did you mean "{near[0]}"?' if near else ";"
        return f"{where}: unknown key{hint} Allowed: {', '.join(allowed)}"
    message = message.removeprefix("Value error, ")
    shown = repr(found)
    if len(shown) > LONGEST_SHOWN:
        shown = f"{shown[:LONGEST_SHOWN]}…"
    return f"{where}: {message}" if kind == "value_error" else f"{where}: {message} (found {shown})"


def _keys_at(place: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the table at ``place`` knows."""
    table: type[pydantic.BaseModel] = Script
    for part in place:
        field = table.model_fields.get(str(part))
        inner = _table_in(field.annotation) if field else None
        table = inner or table
    return sorted(table.model_fields)


def _table_in(annotation: object) -> type[pydantic.BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return annotation
    for part in typing.get_args(annotation):
        found = _table_in(part)
        if found is not None:
            return found
    return None
