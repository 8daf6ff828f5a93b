"""The commands and their groups, each imported when it is typed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Final

import typer

HOMES: Final[Mapping[str, str]] = {
    "init": "start",
    "run": "run",
    "serve": "serve",
    "demo": "demo",
    "tasks": "listings",
    "calls": "listings",
    "spend": "spend",
    "cost": "cost",
    "budget": "budget",
    "limits": "limits",
    "access": "access",
    "tools": "tools",
    "alerts": "alerts",
    "credit": "credit",
    "prices": "prices",
    "ledger": "ledger",
    "breakers": "breakers",
    "effects": "effects",
    "route": "route",
    "keys": "keys",
    "mcp": "mcp",
    "reload": "reload",
    "config": "start",
    "sim": "sim",
    "version": "start",
}
"""Where each command is; one that is typed imports no other, so that it starts at once."""


def make_app(typed: str | None = None) -> typer.Typer:
    """Return the command line.

    Args:
        typed: The command that was typed: only its module is imported. All of them are where
            it is None or not a command, so that there is something to list or to suggest.
    """
    app = typer.Typer(
        name="callgate",
        help="Every model call and tool call of an agent goes through one gate.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    # With a callback, one command alone is still a command, not the program itself.
    app.callback()(_callgate)
    homes = (
        [HOMES[typed]] if typed is not None and typed in HOMES else dict.fromkeys(HOMES.values())
    )
    for home in homes:
        import_module(f"callgate.doors.cli.{home}").add_to(app)
    return app


def _callgate() -> None:
    """Do nothing by itself."""
