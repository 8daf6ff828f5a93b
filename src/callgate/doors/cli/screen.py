"""What the command line shows: tables and colour on a terminal, plain text in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final

import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from callgate.money import Money

WIDE: Final = 1000
"""Columns where there is no terminal to ask: wide enough that no line is broken in a log."""

GAP: Final = 2
"""Spaces between two columns."""


class Column(msgspec.Struct, frozen=True):
    """A column of a table."""

    name: str
    right: bool = False
    """Whether its cells are set to the right, such as money."""
    rank: int = 0
    """Where a terminal has too little room, the highest ranks are left out; 0 never is."""


def out() -> Console:
    """Return the console of standard output."""
    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)


def err() -> Console:
    """Return the console of standard error."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else WIDE, highlight=False)


def tell(text: str) -> None:
    """Say something to the person, on standard error; ``text`` may hold rich's markup."""
    err().print(text, soft_wrap=True)


def complain(text: str) -> None:
    """Say on standard error what went wrong; ``text`` is taken as it is."""
    err().print(f"[red]callgate:[/red] {escape(text)}", soft_wrap=True)


def print_json(page: object) -> None:
    """Print a page as JSON, indented, on standard output."""
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(page), indent=2) + b"\n")
    sys.stdout.buffer.flush()


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: whole in a pipe, as many columns as there is room for on a terminal.

    Args:
        columns: What stands above, and how it is set.
        rows: A text for each column.
    """
    console = out()
    lines = [[column.name for column in columns], *rows]
    widths = [max(map(cell_len, cells)) for cells in zip(*lines, strict=True)]
    shown, left_out = list(range(len(columns))), list[str]()
    if console.is_terminal:
        shown = [n for n in shown if any(line[n] for line in lines[1:])]
        left_out = _make_room(shown, columns, widths, room=console.width)
    for line in lines:
        cells = (_set(line[n], widths[n], right=columns[n].right) for n in shown)
        style = "bold" if line is lines[0] else ""
        console.print(Text((" " * GAP).join(cells).rstrip(), style=style), soft_wrap=True)
    if left_out:
        tell(f"[dim]no room for: {', '.join(left_out)}; --json shows everything[/dim]")


def _make_room(
    shown: list[int], columns: Sequence[Column], widths: Sequence[int], *, room: int
) -> list[str]:
    """Take columns out of ``shown`` until they fit; return the names of those."""
    left_out: list[str] = []
    while sum(widths[n] + GAP for n in shown) - GAP > room:
        least = max(shown, key=lambda n: columns[n].rank, default=None)
        if least is None or columns[least].rank == 0:
            break
        shown.remove(least)
        left_out.append(columns[least].name)
    return left_out


def _set(text: str, width: int, *, right: bool) -> str:
    filling = " " * (width - cell_len(text))
    return filling + text if right else text + filling


def dollars(nano: int | None) -> str:
    """Return money for people; unknown is not zero."""
    return "unknown" if nano is None else str(Money(nano))


def dollars_of(nano: int, *, unknown_costs: int) -> str:
    """Return what several attempts cost for people; what nobody knows of it is shown, never as 0."""
    if not unknown_costs:
        return dollars(nano)
    return f"{dollars(nano)}+?" if nano else "unknown"


def moment(instant: float | None, zone: tzinfo = UTC) -> str:
    """Return an instant for people, to the second; nothing where there is none."""
    if instant is None:
        return ""
    return datetime.fromtimestamp(instant, zone).isoformat(sep=" ", timespec="seconds")[:19]
