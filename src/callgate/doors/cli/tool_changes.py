"""What of a tool's definition is not as it was accepted: only that, in visible characters."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff
from typing import Any, Final

import msgspec
from rich.text import Text

from callgate.doors.cli.screen import out
from callgate.store import Definition, Pinned

CONTEXT: Final = 1
"""Lines shown around a change."""

STYLES: Final = {"+": "green", "-": "red"}

WHAT: Final = {
    "changed": "is not what was accepted",
    "new": "was never accepted",
    "gone": "is not listed any more",
}
"""By state: what is said of a tool that is not as it was accepted."""


def print_changes(pinned: Pinned) -> None:
    """Print how a tool differs from what was accepted, coloured on a terminal."""
    console = out()
    console.print(Text(f"{pinned.name} {WHAT[pinned.state]}", style="bold"), soft_wrap=True)
    for line in changes(pinned):
        console.print(Text(f"  {line}", style=STYLES.get(line[:1], "")), soft_wrap=True)


def changes(pinned: Pinned) -> Iterator[str]:
    """Yield the lines of a difference, by the parts of a definition; none of one that is gone."""
    if pinned.seen is None:
        return
    old, new = _parts(pinned.accepted), _parts(pinned.seen)
    for part in dict.fromkeys([*old, *new]):
        before, after = old.get(part, []), new.get(part, [])
        if before == after:
            continue
        yield f"{part}:"
        for line in list(unified_diff(before, after, n=CONTEXT, lineterm=""))[2:]:
            if not line.startswith("@@"):
                yield line


def _parts(definition: Definition | None) -> dict[str, list[str]]:
    """Return what a definition says, by part, in lines."""
    if definition is None:
        return {}
    page: dict[str, Any] = msgspec.json.decode(definition.text)
    # Its name stands above.
    return {part: _lines(page[part]) for part in page if part != "name" and page[part] is not None}


def _lines(value: Any) -> list[str]:
    text = value
    if not isinstance(value, str):
        text = msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2).decode()
    return [_visible(line) for line in text.splitlines()]


def _visible(line: str) -> str:
    """Return a line as a terminal may show it: what hides or moves text is written out."""
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in line)
