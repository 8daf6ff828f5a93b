"""``callgate limits``: every limit, where it comes from and how much of it is used."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

import msgspec
import typer
from rich.markup import escape

from callgate.clock import rfc3339
from callgate.config.policies import Settings
from callgate.doors.cli.books import open_books
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.screen import Column, dollars, moment, print_json, print_table, tell
from callgate.doors.cli.settings import ConfigOption, JsonOption
from callgate.store import LimitRow, Raised, Store
from callgate.store.calendar import Calendar
from callgate.store.limits import BUDGETS, GATE, Limit
from callgate.store.overruns import forgetting, told_of


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """Limits, and what is needed to show them."""

    rows: Sequence[LimitRow]
    zone: ZoneInfo
    is_old: bool
    """Whether the settings file says something else than what holds."""
    overruns: Sequence[Raised]
    """Models of which more is held than their bound or count."""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(limits)


def limits(json: JsonOption = False, config: ConfigOption = None) -> None:
    """List every limit with its value, where it comes from, and what is used of it."""
    show(run_loop(_listed(config)), json=json, empty="no limit holds")


async def _listed(config: ConfigOption) -> Listed:
    async with open_books(config) as (settings, store):
        return listed(settings, store)


def listed(settings: Settings, store: Store) -> Listed:
    """Return the limits of a store, those of the whole gate first, without those that have ended."""
    now, zone = store.clock.now(), ZoneInfo(settings.gate.timezone)
    rows = store.limits(tuple(Calendar(zone).windows(now).values()))
    in_file = {
        Limit(scope=each.scope, name=each.name, value=each.value, waits=each.waits)
        for each in settings.limits
    }
    return Listed(
        rows=sorted(
            (row for row in rows if row.limit.until is None or row.limit.until > now), key=_order
        ),
        zone=zone,
        overruns=store.overruns(),
        is_old=in_file != {row.limit for row in rows if row.limit.source == "file"},
    )


def _order(row: LimitRow) -> tuple[bool, str, str, bool]:
    limit = row.limit
    return limit.scope != GATE, limit.scope, limit.name, limit.source == "file"


def show(shown: Listed, *, json: bool, empty: str) -> None:
    """Print limits.

    Args:
        shown: Which.
        json: As JSON, not as a table.
        empty: What is said where there is none.
    """
    if json:
        print_json([limit_page(row) for row in shown.rows])
    elif shown.rows:
        print_table(_columns(shown.zone), [_line(row, shown.zone) for row in shown.rows])
    else:
        tell(f"callgate: {empty}")
    if shown.is_old:
        tell(
            "callgate: the settings file has other limits than those that hold; callgate reload"
            " lets them hold, or the next start of a gate"
        )
    for raised in shown.overruns:
        tell(f"callgate: {escape(_raised_line(raised))}")


def _raised_line(raised: Raised) -> str:
    """Return that more is held for a model than usual, and how that ends."""
    candidate = raised.candidate
    return (
        f"{told_of(raised)} is held for {candidate.name}, as a bill was above it;"
        f" {forgetting(candidate)} ends that"
    )


def _columns(zone: ZoneInfo) -> tuple[Column, ...]:
    return (
        Column("scope"),
        Column("limit"),
        Column("value", right=True),
        Column("used", right=True),
        Column("held", right=True, rank=4),
        Column(f"resets ({zone.key})", rank=3),
        Column("source", rank=1),
        Column("until", rank=2),
        Column("state", rank=5),
    )


def _line(row: LimitRow, zone: ZoneInfo) -> tuple[str, ...]:
    limit = row.limit
    return (
        limit.scope,
        limit.name,
        _value(limit, limit.value),
        _used(row),
        dollars(row.held) if row.held else "",
        moment(row.resets_at, zone)[:16],
        limit.source,
        moment(limit.until, zone)[:16],
        "holds" if row.holds else "overridden",
    )


def _used(row: LimitRow) -> str:
    if row.used is None:
        return ""
    return _value(row.limit, row.used) + (f" by {row.user}" if row.user else "")


def _value(limit: Limit, value: int) -> str:
    return dollars(value) if limit.name in BUDGETS else f"{value:,}"


def limit_page(row: LimitRow) -> dict[str, object]:
    """Return a limit as JSON shows it: an amount of money in one field, a number in another."""
    limit = row.limit
    is_money = limit.name in BUDGETS
    return {
        "scope": limit.scope,
        "limit": limit.name,
        "rule": limit.setting,
        "value": None if is_money else limit.value,
        "value_nano_usd": limit.value if is_money else None,
        "used": None if is_money else row.used,
        "used_nano_usd": row.used if is_money else None,
        "held_nano_usd": row.held if is_money else None,
        "used_by": row.user,
        "resets_at": None if row.resets_at is None else rfc3339(row.resets_at),
        "waits": limit.waits,
        "source": limit.source,
        "until_at": None if limit.until is None else rfc3339(limit.until),
        "holds": row.holds,
    }
