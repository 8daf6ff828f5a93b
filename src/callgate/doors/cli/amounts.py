"""Money and lengths of time as they are typed at a command."""

from __future__ import annotations

import typer

from callgate.config import parse_duration
from callgate.money import LARGEST_DOLLARS, Money


def money(typed: str) -> Money:
    """Return an amount of US dollars."""
    try:
        return Money.dollars(typed)
    except ValueError as error:
        # No dollar sign here: a shell replaces "$0" by something else.
        msg = f"{typed!r} is not an amount from 0 to {LARGEST_DOLLARS:,} US dollars; write it like 0.50"
        raise typer.BadParameter(msg) from error


def duration(typed: str) -> float:
    """Return a length of time in seconds."""
    try:
        return parse_duration(typed)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
