"""Values as TOML writes them in one line."""

from __future__ import annotations

import json
import re
from typing import Final, cast

BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def key(name: str) -> str:
    """Return a key as it is written."""
    return name if BARE.fullmatch(name) else text(name)


def text(value: str) -> str:
    """Return a text in quotes; TOML has the escapes of JSON, and allows no DEL.

    Half of a character, which JSON can hold, is replaced.
    """
    whole = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return json.dumps(whole, ensure_ascii=False).replace("\x7f", "\\u007f")


def value(one: object) -> str:
    """Return a value: text, a number, a list, or a table between braces."""
    if isinstance(one, str):
        return text(one)
    if isinstance(one, dict):
        table = cast("dict[str, object]", one)
        members = (f"{key(str(name))} = {value(inner)}" for name, inner in table.items())
        return "{ " + ", ".join(members) + " }" if table else "{}"
    if isinstance(one, list):
        return "[" + ", ".join(value(inner) for inner in cast("list[object]", one)) + "]"
    return json.dumps(one)
