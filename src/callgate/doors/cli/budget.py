"""``callgate budget``: money that a scope may spend, raised or lowered without the settings file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

import msgspec
import typer
from rich.markup import escape

from callgate.config.policies import Settings
from callgate.doors.cli.amounts import instant, money
from callgate.doors.cli.books import open_books
from callgate.doors.cli.limits import Listed, listed, show
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.screen import dollars, moment, tell
from callgate.doors.cli.settings import ConfigOption, JsonOption
from callgate.errors import Unknown
from callgate.money import Money
from callgate.store import Store
from callgate.store.limits import BUDGETS, EVERY_USER, GATE, Limit, LimitName, named

BudgetWindow = Literal["hour", "day", "month", "task"]

NAMES: Final[Mapping[str, LimitName]] = {span: name for name, span in BUDGETS.items()}
KINDS: Final = ("agent", "type", "user", "provider", "task")
SCOPES: Final = "gate, agent:NAME, type:NAME, user:NAME, user:*, provider:NAME or task:ID"

ScopeArgument = Annotated[str, typer.Argument(metavar="SCOPE", help=SCOPES)]
WindowArgument = Annotated[BudgetWindow, typer.Argument(metavar="WINDOW", help="hour, day, month; task for task:ID.")]  # fmt: skip

budget = typer.Typer(help="Money that a scope may spend in a window.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(budget, name="budget")


@budget.command("set")
def set_budget(
    scope: ScopeArgument,
    window: WindowArgument,
    amount: Annotated[Money, typer.Argument(parser=money, metavar="AMOUNT", help="US dollars.")],
    *,
    until: Annotated[
        str | None,
        typer.Option(metavar="T", help="2h, a day (it belongs to it) or a time; for good."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Let a budget hold instead of the settings file's, from the next call on in every gate."""
    _require_scope(scope, window)
    if scope.startswith("task:"):
        if until is not None:
            msg = "a task's budget holds until it is set again; leave --until out"
            raise typer.BadParameter(msg)
        run_loop(_set_of_task(scope.removeprefix("task:"), amount, config))
    else:
        run_loop(_set(scope, window, amount, until, config))


@budget.command("unset")
def unset_budget(scope: ScopeArgument, window: WindowArgument, config: ConfigOption = None) -> None:
    """Take back what callgate budget set has set; the settings file's budget holds again."""
    _require_scope(scope, window)
    if scope.startswith("task:"):
        msg = f"a task has one budget, and no other behind it; callgate budget set {scope} task AMOUNT changes it"
        raise typer.BadParameter(msg)
    run_loop(_unset(scope, window, config))


@budget.command("list")
def list_budgets(json: JsonOption = False, config: ConfigOption = None) -> None:
    """List the budgets of windows with what is spent and held; callgate tasks has those of tasks."""
    found = run_loop(_listed(config))
    budgets = [row for row in found.rows if row.limit.name in BUDGETS]
    empty = "no budget of a window holds; callgate budget set gate day 50 is one"
    show(msgspec.structs.replace(found, rows=budgets), json=json, empty=empty)


async def _listed(config: Path | None) -> Listed:
    async with open_books(config) as (settings, store):
        return listed(settings, store)


async def _set(
    scope: str, window: BudgetWindow, amount: Money, typed: str | None, config: Path | None
) -> None:
    async with open_books(config, create=True) as (settings, store):
        until = _until(typed, settings, now=store.clock.now())
        _warn_of_unknown(scope, settings, store)
        limit = Limit(
            scope=scope, name=NAMES[window], value=amount.nano, source="override", until=until
        )
        await store.override(limit)
        _tell_standing(scope, window, settings, store)


async def _unset(scope: str, window: BudgetWindow, config: Path | None) -> None:
    async with open_books(config) as (settings, store):
        if not await store.lift(scope, NAMES[window]):
            msg = f"no budget of {scope} for the {window} was set; callgate budget list shows what holds"
            raise Unknown(msg)
        _tell_standing(scope, window, settings, store)


async def _set_of_task(task_id: str, amount: Money, config: Path | None) -> None:
    async with open_books(config) as (_, store):
        row = store.task_row(task_id)
        if row is None or not await store.raise_budget(task_id, amount):
            msg = f"there is no task {task_id!r} in this store; callgate tasks lists them"
            raise Unknown(msg)
    left = Money(max(0, amount.nano - row.spent.nano - row.held.nano))
    tell(
        f"callgate: task {escape(task_id)} may spend {dollars(amount.nano)}, from the next call on;"
        f" {dollars(row.spent.nano)} is spent, {dollars(row.held.nano)} held, {dollars(left.nano)} left"
    )


def _require_scope(scope: str, window: BudgetWindow) -> None:
    kind, colon, name = scope.partition(":")
    if scope != GATE and not (kind in KINDS and name and (name != "*" or scope == EVERY_USER)):
        near = get_close_matches(kind, [GATE, *KINDS], n=1)
        hint = f" Did you mean {near[0]}{colon}{name}?" if near and near[0] != kind else ""
        msg = f"{scope!r} is no scope; it is one of: {SCOPES}.{hint}"
        raise typer.BadParameter(msg)
    if (kind == "task") != (window == "task"):
        msg = (
            "a task has one budget for as long as it lives: callgate budget set task:ID task AMOUNT;"
            " for every new task of a type it is budget in [tasks.TYPE] of callgate.toml"
        )
        raise typer.BadParameter(msg)


def _until(typed: str | None, settings: Settings, *, now: float) -> float | None:
    if typed is None:
        return None
    zone = ZoneInfo(settings.gate.timezone)
    until = instant(typed, now=now, zone=zone, ahead=True, is_end=True)
    if until <= now:
        msg = f"--until {typed} has passed, and the budget would hold for nobody"
        raise typer.BadParameter(msg)
    return until


def _warn_of_unknown(scope: str, settings: Settings, store: Store) -> None:
    """Say that nobody of that name is known; one may come later, so it is no mistake."""
    kind, _, name = scope.partition(":")
    if scope in {GATE, EVERY_USER}:
        return
    known = _known(kind, settings, store)
    if name in known:
        return
    near = get_close_matches(name, known, n=1)
    where = "no task was for" if kind == "user" else f"the settings name no {kind}"
    hint = f"; did you mean {kind}:{near[0]}?" if near else ""
    tell(f"[yellow]callgate:[/yellow] {escape(f'{where} {name!r}{hint}')}")


def _known(kind: str, settings: Settings, store: Store) -> Collection[str]:
    if kind == "user":
        named = [each.scope.removeprefix("user:") for each in settings.limits]
        return {*store.users(), *named}
    tables: Mapping[str, Collection[str]] = {
        "agent": settings.agents, "type": settings.tasks, "provider": settings.providers,
    }  # fmt: skip
    return tables[kind]


def _tell_standing(scope: str, window: BudgetWindow, settings: Settings, store: Store) -> None:
    """Say which budget holds now, and what is left of it."""
    found = listed(settings, store)
    rows = [
        row for row in found.rows if (row.limit.scope, row.limit.name) == (scope, NAMES[window])
    ]
    standing = next((row for row in rows if row.holds), None)
    if standing is None:
        tell(f"callgate: no budget of {escape(named(scope))} holds for the {window}")
        return
    limit, used = standing.limit, standing.used or 0
    who = "each user" if scope == EVERY_USER else escape(named(scope))
    until = (
        "" if limit.until is None else f" until {moment(limit.until, found.zone)} {found.zone.key}"
    )
    source = " (settings file)" if limit.source == "file" else ""
    most = f" by {escape(standing.user)}, the most of all" if standing.user else ""
    tell(
        f"callgate: {who} may spend {dollars(limit.value)} each {window}{until}{source}, from the next call"
        f" on in every gate of this store; so far {dollars(used)} is spent{most} and"
        f" {dollars(standing.held)} held"
    )
