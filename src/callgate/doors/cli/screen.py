"""What the command line shows: tables and colour on a terminal, plain text in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from callgate.money import Money

WIDE = 160
"""Columns where there is no terminal to ask: wide enough that no line is cut in a log."""


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


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: frozenset[str] = frozenset()
) -> None:
    """Print a table.

    Args:
        columns: The headings.
        rows: A text for each column.
        right: The headings whose columns are set to the right, such as money.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    out().print(table)


def dollars(nano: int | None) -> str:
    """Return money for people; unknown is not zero."""
    return "unknown" if nano is None else str(Money(nano))
