"""``callgate alerts``: what somebody should know, and what is over."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from callgate.clock import rfc3339
from callgate.doors.cli.books import open_books
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.screen import Column, moment, print_json, print_table, tell
from callgate.doors.cli.settings import ConfigOption, JsonOption
from callgate.store import Alert

COLUMNS: Final = (
    Column("since (UTC)"),
    Column("severity", rank=2),
    Column("kind", rank=1),
    Column("over (UTC)", rank=3),
    Column("what"),
)

QUIET: Final = (
    "callgate: no alert is open; every budget is looked at by each gate that runs, every 10 seconds"
)


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(alerts)


def alerts(
    all_of_them: Annotated[bool, typer.Option("--all", help="Those that are over too.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, the newest first.")] = 50,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List what somebody should know: shares of budgets, money that runs out, bills above bounds."""
    run_loop(_list(limit, all_of_them, json, config))


async def _list(limit: int, all_of_them: bool, json: bool, config: ConfigOption) -> None:
    async with open_books(config) as (_, store):
        found = store.alerts(limit=limit, only_open=not all_of_them)
    if json:
        print_json([_page(alert) for alert in found])
    elif found:
        print_table(COLUMNS, [_line(alert) for alert in found])
    else:
        tell(QUIET)


def _line(alert: Alert) -> tuple[str, ...]:
    return (
        moment(alert.raised_at),
        alert.severity,
        alert.kind,
        moment(alert.resolved_at),
        alert.message,
    )


def _page(alert: Alert) -> dict[str, object]:
    return {
        "id": alert.id,
        "kind": alert.kind,
        "severity": alert.severity,
        "scope": alert.scope,
        "rule": alert.rule,
        "message": alert.message,
        "facts": alert.facts,
        "raised_at": rfc3339(alert.raised_at),
        "resolved_at": None if alert.resolved_at is None else rfc3339(alert.resolved_at),
    }
