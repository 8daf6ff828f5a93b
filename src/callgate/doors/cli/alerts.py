"""``callgate alerts``: what somebody should know, and what is over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from callgate.clock import rfc3339
from callgate.doors.cli.books import open_books
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.screen import Column, moment, print_json, print_table, tell
from callgate.doors.cli.settings import ConfigOption, JsonOption
from callgate.observe.watch import LOOK_SECONDS
from callgate.store import Alert

COLUMNS: Final = (
    Column("since (UTC)"),
    Column("severity", rank=2),
    Column("kind", rank=1),
    Column("scope", rank=4),
    Column("state", rank=3),
    Column("what"),
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
    """List what somebody should know: money that runs out, bills above bounds, who is not asked."""
    found, shares = run_loop(_list(limit, config, only_open=not all_of_them))
    if json:
        print_json([_page(alert) for alert in found])
    elif found:
        print_table(COLUMNS, [_line(alert) for alert in found])
    else:
        tell(_quiet(shares))


async def _list(
    limit: int, config: Path | None, *, only_open: bool
) -> tuple[Sequence[Alert], Sequence[float]]:
    async with open_books(config) as (settings, store):
        return store.alerts(limit=limit, only_open=only_open), settings.alert_at


def open_line(opened: Sequence[Alert]) -> str:
    """Return how many alerts are open, and where they are listed."""
    critical = sum(alert.severity == "critical" for alert in opened)
    are = "1 alert is" if len(opened) == 1 else f"{len(opened):,} alerts are"
    return f"{are} open, {critical:,} of them critical; callgate alerts lists what somebody should know"


def _quiet(shares: Sequence[float]) -> str:
    """Return what is watched, where there is nothing else to say."""
    told = ", ".join(f"{share:.0%}" for share in shares if share < 1)
    return (
        f"callgate: no alert is open; each gate that runs looks at every budget every {LOOK_SECONDS:.0f}"
        f" seconds: {told} or all of it spent, money that runs out within the hour, a month that burns"
        " too fast; a bill above its reservation, and who is not asked any more, is told at once"
    )


def _line(alert: Alert) -> tuple[str, ...]:
    return (
        moment(alert.raised_at),
        alert.severity,
        alert.kind,
        alert.scope,
        "open" if alert.resolved_at is None else f"over since {moment(alert.resolved_at)}",
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
