"""``callgate cost estimate``: what a task and a day will cost, and which limit that meets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Final, TypeVar
from zoneinfo import ZoneInfo

import msgspec
import typer

from callgate.clock import SystemClock
from callgate.config import environment
from callgate.config.policies import Settings
from callgate.doors.cli.books import open_books
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.screen import Column, dollars, out, print_json, print_table, tell
from callgate.doors.cli.settings import ConfigOption, JsonOption, settings_of
from callgate.doors.cli.spend import about
from callgate.errors import Misconfigured
from callgate.observe.difference import counted
from callgate.observe.estimate import (
    Amount,
    Cost,
    Estimate,
    Meeting,
    Met,
    ModelUse,
    Part,
    Profile,
    ToolUse,
    estimate,
)
from callgate.observe.forecast import DAY_SECONDS, HOUR_SECONDS
from callgate.observe.profile import model_option, read_profile, tool_option, typed_amount
from callgate.store import Spending
from callgate.store.calendar import Calendar
from callgate.store.limits import Limit, Limits
from callgate.task import DEFAULT_TYPE

LOOKED_BACK_DAYS: Final = 30
"""Days whose tasks an estimate is compared with."""

PARTS: Final = (
    Column("part"),
    Column("served by", rank=2),
    Column("calls", right=True, rank=1),
    Column("low", right=True),
    Column("high", right=True),
)

LIMITS: Final = (
    Column("limit"),
    Column("scope", rank=3),
    Column("value", right=True),
    Column("pays for", right=True, rank=1),
    Column("met at low", rank=2),
    Column("met at high"),
)

Value = TypeVar("Value")

cost = typer.Typer(help="Know your numbers.", no_args_is_help=True)


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """An estimate, and what tasks of its type did cost."""

    profile: Profile
    estimate: Estimate
    actual: Spending | None
    """Of the last 30 days; None where there was none."""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.add_typer(cost, name="cost")


# With one command alone, it is still typed.
@cost.callback()
def know_your_numbers() -> None:
    """Know your numbers."""


def _parsed(parse: Callable[[str], Value]) -> Callable[[str], Value]:
    def parsed(typed: str) -> Value:
        try:
            return parse(typed)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error

    return parsed


@cost.command("estimate")
def estimate_cost(
    file: Annotated[
        Path | None, typer.Argument(help="The profile of a task type, TOML; or use the options.")
    ] = None,
    *,
    type: Annotated[str | None, typer.Option(help="The task type.")] = None,
    tasks_per_day: Annotated[
        Amount | None,
        typer.Option(parser=_parsed(typed_amount), metavar="N", help="1000 or 800-1200."),
    ] = None,
    model: Annotated[
        list[ModelUse] | None,
        typer.Option(
            parser=_parsed(model_option),
            metavar="NAME=CALLS:IN:OUT",
            help="Such as smart=4:1000-7000:250-3000, the tokens of one call.",
        ),
    ] = None,
    tool: Annotated[
        list[ToolUse] | None,
        typer.Option(
            parser=_parsed(tool_option),
            metavar="NAME=CALLS:PRICE",
            help="Such as web_search=5:0.01.",
        ),
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Estimate what a task and a day will cost, and say which limit of money that meets."""
    profile = _profile(file, type, tasks_per_day)
    profile = msgspec.structs.replace(
        profile,
        models=(*profile.models, *(model or ())),
        tools=(*profile.tools, *(tool or ())),
    )
    compared = run_loop(_compared(profile, config))
    if json:
        print_json(_page(compared))
    else:
        _print(compared)


def _profile(file: Path | None, type: str | None, tasks_per_day: Amount | None) -> Profile:
    if file is not None:
        profile = _read(file)
        return msgspec.structs.replace(
            profile,
            type=type or profile.type,
            tasks_per_day=tasks_per_day or profile.tasks_per_day,
        )
    if tasks_per_day is None:
        msg = "say how many tasks there are in a day, by --tasks-per-day N or in a FILE"
        raise typer.BadParameter(msg)
    return Profile(type=type or DEFAULT_TYPE, tasks_per_day=tasks_per_day)


def _read(file: Path) -> Profile:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{file} cannot be read: {error}"
        raise Misconfigured(msg) from error
    return read_profile(text, file=str(file))


async def _compared(profile: Profile, config: Path | None) -> Compared:
    settings = settings_of(config, environment())
    now = SystemClock().now()
    overrides: list[Limit] = []
    actual = None
    file = settings.gate.store_file
    if file is None or file.exists():
        async with open_books(config) as (_, store):
            overrides = [row.limit for row in store.limits() if row.limit.source == "override"]
            since = now - LOOKED_BACK_DAYS * DAY_SECONDS
            rows = store.spending("type", since=since, until=now)
            actual = next((row for row in rows if row.name == profile.type), None)
    windows = Calendar(ZoneInfo(settings.gate.timezone)).windows(now)
    limits = _holding(settings, overrides, now)
    return Compared(
        profile=profile,
        estimate=estimate(profile, settings, limits, windows=list(windows.values())),
        actual=actual,
    )


def _holding(settings: Settings, overrides: Sequence[Limit], now: float) -> list[Limit]:
    """Return the limits of the file, and the overrides of the store in their place."""
    in_file = [
        Limit(scope=each.scope, name=each.name, value=each.value) for each in settings.limits
    ]
    limits = Limits([*in_file, *overrides])
    return [standing.limit for scope in limits for standing in limits.of((scope,), now=now)]


def _print(compared: Compared) -> None:
    estimated, per_day = compared.estimate, compared.profile.tasks_per_day
    rows = [
        *map(_part_line, estimated.parts),
        ("a task", "", "", *_range(estimated.task)),
        (f"a day of {_number(per_day)} tasks", "", "", *_range(estimated.day)),
    ]
    print_table(PARTS, rows)
    if estimated.limits:
        out().print()
        print_table(LIMITS, [_limit_line(met) for met in estimated.limits])
    if compared.actual is not None and compared.actual.p50 is not None:
        out().print()
        out().print(_actual_line(compared.actual), soft_wrap=True)
    if any(met.high.is_met for met in estimated.limits):
        tell("[yellow]callgate:[/yellow] at the high end a limit is met, and calls are refused")


def _part_line(part: Part) -> tuple[str, ...]:
    return part.name, part.served_by or "", _number(part.calls), *_range(part.cost)


def _range(cost: Cost) -> tuple[str, str]:
    return dollars(cost.low.nano), dollars(cost.high.nano)


def _number(amount: Amount) -> str:
    if amount.low == amount.high:
        return f"{amount.low:,}"
    return f"{amount.low:,} to {amount.high:,}"


def _limit_line(met: Met) -> tuple[str, ...]:
    return (
        met.rule,
        met.scope,
        dollars(met.cap.nano),
        _pays_for(met),
        _when(met, met.low),
        _when(met, met.high),
    )


def _pays_for(met: Met) -> str:
    if met.window == "task" or met.high.tasks is None:
        return ""
    if met.low.tasks is None:
        return f"{met.high.tasks:,} tasks or more"
    return f"{_number(Amount(met.high.tasks, met.low.tasks))} tasks"


def _when(met: Met, meeting: Meeting) -> str:
    if meeting.is_met is None:
        return ""
    if meeting.after_seconds is None:
        return "yes" if meeting.is_met else "no"
    if met.window == "month":
        return f"on day {int(meeting.after_seconds // DAY_SECONDS) + 1}"
    hours, rest = divmod(int(meeting.after_seconds), int(HOUR_SECONDS))
    return f"after {hours} h {rest // 60:02d} min"


def _actual_line(actual: Spending) -> str:
    did = (
        f"In the last {LOOKED_BACK_DAYS} days {counted(actual.tasks, 'task')} of this type did cost"
    )
    if actual.p50 is None:
        return f"{did} nobody knows what."
    return (
        f"{did} {about(actual.p50)} (p50), {about(actual.p95)} (p95), {about(actual.most)} at most."
    )


def _page(compared: Compared) -> dict[str, object]:
    estimated, actual = compared.estimate, compared.actual
    return {
        "type": compared.profile.type,
        "tasks_per_day": _amount_page(compared.profile.tasks_per_day),
        "parts": [_part_page(part) for part in estimated.parts],
        "task": _cost_page(estimated.task),
        "day": _cost_page(estimated.day),
        "limits": [_met_page(met) for met in estimated.limits],
        "actual": None if actual is None else _actual_page(actual),
    }


def _part_page(part: Part) -> dict[str, object]:
    return {
        "kind": part.kind,
        "name": part.name,
        "served_by": part.served_by,
        "calls": _amount_page(part.calls),
        **_cost_page(part.cost),
    }


def _amount_page(amount: Amount) -> dict[str, int]:
    return {"low": amount.low, "high": amount.high}


def _cost_page(cost: Cost) -> dict[str, object]:
    return {"low_nano_usd": cost.low.nano, "high_nano_usd": cost.high.nano}


def _met_page(met: Met) -> dict[str, object]:
    return {
        "rule": met.rule,
        "scope": met.scope,
        "window": met.window,
        "cap_nano_usd": met.cap.nano,
        "low": met.low,
        "high": met.high,
    }


def _actual_page(actual: Spending) -> dict[str, object]:
    return {
        "days": LOOKED_BACK_DAYS,
        "tasks": actual.tasks,
        "unknown_costs": actual.unknown_costs,
        "p50_nano_usd": None if actual.p50 is None else actual.p50.nano,
        "p95_nano_usd": None if actual.p95 is None else actual.p95.nano,
        "max_nano_usd": None if actual.most is None else actual.most.nano,
    }
