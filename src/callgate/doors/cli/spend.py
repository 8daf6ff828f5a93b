"""``callgate spend``: what was spent, by whom and on what, against every cap."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import msgspec
import typer
from rich.markup import escape

from callgate.clock import rfc3339
from callgate.config.policies import Settings
from callgate.doors.cli.alerts import open_line
from callgate.doors.cli.amounts import period
from callgate.doors.cli.books import open_books
from callgate.doors.cli.bounds import show_bounds
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.reconcile import reconcile_spending
from callgate.doors.cli.screen import (
    Column,
    dollars,
    dollars_of,
    moment,
    out,
    print_json,
    print_table,
    tell,
)
from callgate.doors.cli.settings import ConfigOption, JsonOption
from callgate.money import NANO_PER_DOLLAR, Money
from callgate.observe.difference import attempts
from callgate.observe.forecast import DAY_SECONDS, HOUR_SECONDS, Rate
from callgate.observe.rollups import CapUse, MonthSoFar, Now, cap_uses, month_so_far, spending
from callgate.observe.thresholds import Crossing
from callgate.store import Alert, Grouping, Spending, Store
from callgate.store.calendar import Calendar
from callgate.store.limits import EVERY_USER, named, raising

COLUMNS: Final = (
    Column("tasks", right=True, rank=5),
    Column("calls", right=True, rank=3),
    Column("tokens in", right=True, rank=6),
    Column("tokens out", right=True, rank=7),
    Column("cost", right=True),
    Column("estimated", right=True, rank=4),
    Column("unknown", right=True, rank=1),
    Column("p50 a task", right=True, rank=8),
    Column("p95 a task", right=True, rank=2),
    Column("most a task", right=True, rank=9),
)

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet runs, where a cell begins with it; names come from agents.

Source: OWASP, "CSV Injection".
"""


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """All that is shown."""

    by: Grouping
    since: float
    until: float
    zone: ZoneInfo
    rows: Sequence[Spending]
    total: Spending | None
    month: MonthSoFar
    caps: Sequence[CapUse]
    opened: Sequence[Alert]


def add_to(app: typer.Typer) -> None:
    """Add the command, and those below it."""
    group = typer.Typer()
    group.callback(invoke_without_command=True)(spend)
    group.command("bounds")(show_bounds)
    group.command("reconcile")(reconcile_spending)
    app.add_typer(group, name="spend")


def spend(
    context: typer.Context,
    by: Annotated[Grouping, typer.Option(help="What it is told apart by.")] = "type",
    *,
    since: Annotated[
        str | None, typer.Option(metavar="D", help="A day, a time or 7d; the first of the month.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="D", help="The same; a day belongs to it. Now.")
    ] = None,
    json: JsonOption = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    config: ConfigOption = None,
) -> None:
    """Show what was spent, by whom and on what, how every cap stands, and where it leads."""
    if context.invoked_subcommand is not None:
        if any((since, until, json, csv, config)) or by != "type":
            msg = f"options stand behind {context.invoked_subcommand}, not before it"
            raise typer.BadParameter(msg)
        return
    if json and csv:
        msg = "--json and --csv are two ways to print one thing; choose one"
        raise typer.BadParameter(msg)
    spent = run_loop(_spend(by, since, until, config))
    if json:
        print_json(_page(spent))
    elif csv:
        _print_csv(spent)
    else:
        _print(spent)


async def _spend(by: Grouping, since: str | None, until: str | None, config: Path | None) -> Spent:
    async with open_books(config) as (settings, store):
        now = now_of(settings, store)
        zone = ZoneInfo(settings.gate.timezone)
        month = now.windows["month"].starts_at
        first, last = period(since, until, now=now.at, zone=zone, otherwise=month)
        rows, total = spending(now, by, since=first, until=last)
        return Spent(
            by=by,
            since=first,
            until=last,
            zone=zone,
            rows=rows,
            total=total,
            month=month_so_far(now),
            caps=cap_uses(now, shares=settings.alert_at),
            opened=store.alerts(limit=None, only_open=True),
        )


def now_of(settings: Settings, store: Store) -> Now:
    """Return the store at this instant, in the time zone of the settings."""
    calendar = Calendar(ZoneInfo(settings.gate.timezone))
    return Now(store=store, calendar=calendar, at=store.clock.now())


def _print(spent: Spent) -> None:
    if spent.total is None:
        tell(f"callgate: nothing was spent since {moment(spent.since, spent.zone)}")
    else:
        rows = [*map(_line, spent.rows), _line(spent.total, name="total")]
        print_table((Column(spent.by), *COLUMNS), rows)
        out().print()
    _print_caps(spent)
    out().print(_month_line(spent.month, spent.zone), highlight=False, soft_wrap=True)
    for use in spent.caps:
        for text in _warnings(use, spent.zone):
            tell(f"[yellow]callgate:[/yellow] {escape(text)}")
    if spent.opened:
        tell(f"[yellow]callgate:[/yellow] {open_line(spent.opened)}")


def _print_caps(spent: Spent) -> None:
    if not spent.caps:
        return
    columns = (
        Column("scope"),
        Column("cap", right=True),
        Column("spent", right=True),
        Column("share", right=True, rank=1),
        Column("held", right=True, rank=5),
        Column("at its end", right=True, rank=3),
        Column("runs out", rank=2),
        Column(f"resets ({spent.zone.key})", rank=4),
    )
    print_table(columns, [_cap_line(use, spent.zone) for use in spent.caps])
    out().print()


def _line(row: Spending, name: str | None = None) -> tuple[str, ...]:
    return (
        name or row.name or "(none)",
        f"{row.tasks:,}",
        f"{row.calls:,}",
        f"{row.input_tokens:,}",
        f"{row.output_tokens:,}",
        dollars_of(row.cost.nano, unknown_costs=row.unknown_costs),
        _share(row.estimated, row.cost) if row.estimated.nano else "",
        f"{row.unknown_costs:,}" if row.unknown_costs else "",
        *map(about, (row.p50, row.p95, row.most)),
    )


def _share(part: Money, whole: Money) -> str:
    return f"{part.nano / whole.nano:.1%}" if whole.nano else ""


def _cap_line(use: CapUse, zone: ZoneInfo) -> tuple[str, ...]:
    runs_out_at = use.forecast.runs_out_at
    return (
        f"{use.scope} {use.window.span}" + (" (most of all)" if _is_everyones(use) else ""),
        dollars(use.cap.nano),
        dollars(use.spent.nano),
        _share(use.spent, use.cap),
        dollars(use.held.nano) if use.held.nano else "",
        about(use.forecast.spent),
        "" if runs_out_at is None else moment(runs_out_at, zone)[:16],
        moment(use.window.ends_at, zone)[:16],
    )


def _is_everyones(use: CapUse) -> bool:
    return use.limit.scope == EVERY_USER


def _month_line(month: MonthSoFar, zone: ZoneInfo) -> str:
    spent = Money() if month.spending is None else month.spending.cost
    unknown = 0 if month.spending is None else month.spending.unknown_costs
    text = (
        f"This month {dollars(spent.nano)}; {about(month.forecast.spent)} by"
        f" {moment(month.window.ends_at, zone)[:16]}, if it goes on like the last"
        f" {_length(month.rate)} ({about(month.rate.over(DAY_SECONDS))} a day)."
    )
    return f"{text} Besides, nobody knows what {attempts(unknown)} cost." if unknown else text


def _length(rate: Rate) -> str:
    days, hours = divmod(round(rate.seconds / HOUR_SECONDS), 24)
    if days > 1:
        return f"{days} days"
    hours += 24 * days
    return f"{hours} hours" if hours > 1 else "hour"


def about(money: Money | None) -> str:
    """Return an amount as people compare it: to the cent, or a millionth where it is below $1."""
    if money is None:
        return ""
    step = NANO_PER_DOLLAR // (100 if money.nano >= NANO_PER_DOLLAR else 1_000_000)
    return str(Money(-(-money.nano // step) * step))


def _warnings(use: CapUse, zone: ZoneInfo) -> Iterator[str]:
    """Yield the highest share that is crossed, and when the cap is hit at this rate."""
    what = f"the {dollars(use.cap.nano)} of {named(use.scope)} in this {use.window.span}"
    fix = f"{raising(use.scope, use.window.span)} raises it"
    shares = [one for one in use.crossings if one.kind == "share"]
    if shares:
        resets = moment(use.window.ends_at, zone)[:16]
        told = f"{_share(use.spent, use.cap)} of {what} is spent, over {shares[-1].share:.0%}"
        yield f"{told}; it resets at {resets} {zone.key}, and {fix}"
    for crossed in use.crossings:
        if crossed.runs_out_at is not None:
            at = moment(crossed.runs_out_at, zone)[:16]
            yield f"{what} is spent at {at} {zone.key}, if it goes on like in the last minutes; {fix}"


def _print_csv(spent: Spent) -> None:
    fields = ("name", *(field for field in _row_page(_EMPTY) if field != "name"))
    writer = csv.DictWriter(sys.stdout, fields, lineterminator="\n")
    writer.writeheader()
    for row in spent.rows:
        page = _row_page(row)
        name = page["name"]
        harmless = f"'{name}" if isinstance(name, str) and name.startswith(FORMULA) else name
        writer.writerow({**page, "name": harmless})


_EMPTY: Final = Spending(
    name=None, tasks=0, calls=0, input_tokens=0, output_tokens=0, cost=Money(), estimated=Money(),
    unknown_costs=0, held=Money(), p50=None, p95=None, most=None,
)  # fmt: skip


def _page(spent: Spent) -> dict[str, object]:
    return {
        "by": spent.by,
        "since_at": rfc3339(spent.since),
        "until_at": rfc3339(spent.until),
        "timezone": spent.zone.key,
        "rows": [_row_page(row) for row in spent.rows],
        "total": None if spent.total is None else _row_page(spent.total),
        "month": _month_page(spent.month),
        "caps": [_cap_page(use) for use in spent.caps],
        "open_alerts": len(spent.opened),
    }


def _row_page(row: Spending) -> dict[str, object]:
    return {
        "name": row.name,
        "tasks": row.tasks,
        "calls": row.calls,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cost_nano_usd": row.cost.nano,
        "estimated_nano_usd": row.estimated.nano,
        "unknown_costs": row.unknown_costs,
        "held_nano_usd": row.held.nano,
        "p50_nano_usd": None if row.p50 is None else row.p50.nano,
        "p95_nano_usd": None if row.p95 is None else row.p95.nano,
        "max_nano_usd": None if row.most is None else row.most.nano,
    }


def _month_page(month: MonthSoFar) -> dict[str, object]:
    spending = month.spending or _EMPTY
    return {
        "starts_at": rfc3339(month.window.starts_at),
        "ends_at": rfc3339(month.window.ends_at),
        "spent_nano_usd": spending.cost.nano,
        "unknown_costs": spending.unknown_costs,
        **_rate_page(month.rate),
        "forecast_nano_usd": month.forecast.spent.nano,
    }


def _cap_page(use: CapUse) -> dict[str, object]:
    runs_out_at = use.forecast.runs_out_at
    return {
        "scope": use.scope,
        "window": use.window.span,
        "rule": use.limit.setting,
        "cap_nano_usd": use.cap.nano,
        "spent_nano_usd": use.spent.nano,
        "held_nano_usd": use.held.nano,
        **_rate_page(use.rate),
        "forecast_nano_usd": use.forecast.spent.nano,
        "runs_out_at": None if runs_out_at is None else rfc3339(runs_out_at),
        "resets_at": rfc3339(use.window.ends_at),
        "crossed": [_crossing_page(one) for one in use.crossings],
    }


def _rate_page(rate: Rate) -> dict[str, object]:
    return {"lately_nano_usd": rate.spent.nano, "lately_seconds": rate.seconds}


def _crossing_page(crossing: Crossing) -> dict[str, object]:
    at = crossing.runs_out_at
    return {
        "kind": crossing.kind,
        "percent": round(crossing.share * 100),
        "runs_out_at": None if at is None else rfc3339(at),
    }
