"""``callgate tasks`` and ``callgate calls``: what the audit log holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import typer
from rich.markup import escape

from callgate.clock import rfc3339
from callgate.doors.cli.books import open_books
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.named import NamedGroup
from callgate.doors.cli.rates import unit_prices
from callgate.doors.cli.receipt import render
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
from callgate.errors import Unknown
from callgate.observe.receipt import make_receipt
from callgate.pricing.noted import read_numbers
from callgate.store import AttemptRow, CallRow, CallState, Store, TaskRow

TASKS: Final = (
    Column("task"),
    Column("type", rank=5),
    Column("agent", rank=6),
    Column("user", rank=4),
    Column("started (UTC)", rank=7),
    Column("state", rank=2),
    Column("calls", right=True, rank=3),
    Column("refused", right=True, rank=1),
    Column("spent", right=True),
    Column("held", right=True, rank=8),
    Column("budget", right=True),
)

CALLS: Final = (
    Column("call"),
    Column("task", rank=8),
    Column("started (UTC)", rank=7),
    Column("door", rank=9),
    Column("asked for", rank=6),
    Column("served by", rank=1),
    Column("state"),
    Column("code"),
    Column("seconds", right=True, rank=2),
    Column("tokens in", right=True, rank=3),
    Column("tokens out", right=True, rank=4),
    Column("cost", right=True),
)

LimitOption = Annotated[
    int, typer.Option("--limit", min=1, help="How many rows, the newest first.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(cls=NamedGroup, subcommand_metavar="[TASK | COMMAND]")
    group.callback(invoke_without_command=True)(tasks)
    group.command("show")(show_task)
    group.command("unblock")(unblock_task)
    app.add_typer(group, name="tasks")
    app.command()(calls)


def tasks(
    context: typer.Context,
    agent: Annotated[str | None, typer.Option(help="Only this agent's.")] = None,
    limit: LimitOption = 50,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List tasks with what they spent, or show the receipt of one."""
    if context.invoked_subcommand is None:
        run_loop(_tasks(agent, limit, json, config))


TaskArgument = Annotated[str, typer.Argument(help="The task.", show_default=False)]


def show_task(task: TaskArgument, json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show the receipt of a task; its name alone does too."""
    run_loop(_receipt(task, json, config))


def unblock_task(task: TaskArgument, config: ConfigOption = None) -> None:
    """Let a task go on that is refused because of its bad requests."""
    run_loop(_unblock(task, config))


async def _tasks(agent: str | None, limit: int, json: bool, config: ConfigOption) -> None:
    async with open_books(config) as (_, store):
        rows = store.tasks(limit=limit, agent=agent)
    if json:
        print_json([task_page(row) for row in rows])
        return
    if not rows:
        tell("callgate: no task yet" + ("" if agent is None else f" of the agent {agent!r}"))
        return
    print_table(TASKS, (_task_line(row) for row in rows))
    if any(row.estimated for row in rows):
        tell("~  partly estimated: a provider did not tell what it used")
    if any(row.unknown_costs for row in rows):
        tell("+?  and what nobody knows, which is in no sum: callgate calls shows of which calls")


async def _unblock(task: str, config: ConfigOption) -> None:
    async with open_books(config) as (_, store):
        if store.find_task(task) is None:
            raise _no_task(task)
        waited = await store.unblock_task(task)
    done = "goes on with its next call" if waited else "has nothing to put right"
    tell(f"callgate: task {escape(task)} {done}")


async def _receipt(task: str, json: bool, config: ConfigOption) -> None:
    async with open_books(config) as (_, store):
        receipt = make_receipt(store, task)
    if receipt is None:
        raise _no_task(task)
    if json:
        print_json(receipt)
    else:
        out().print(render(receipt))


def _no_task(task: str) -> Unknown:
    return Unknown(f"there is no task {task!r} in this store; callgate tasks lists them")


def calls(
    task: Annotated[str | None, typer.Option("--task", help="Only the calls of this task.")] = None,
    state: Annotated[CallState | None, typer.Option(help="Only those that ended so.")] = None,
    limit: LimitOption = 50,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List calls with their attempts, what they cost and why they were refused."""
    run_loop(_calls(task, state, limit, json, config))


async def _calls(
    task: str | None, state: CallState | None, limit: int, json: bool, config: ConfigOption
) -> None:
    async with open_books(config) as (_, store):
        rows = store.calls(task_id=task, limit=limit, state=state)
        noted = noted_of(store, rows)
    if json:
        print_json([call_page(row, noted) for row in rows])
        return
    if not rows:
        tell("callgate: no such call yet")
        return
    print_table(CALLS, (_call_line(row) for row in rows))


def task_page(row: TaskRow) -> dict[str, object]:
    """Return a task as JSON shows it."""
    task = row.task
    return {
        "id": task.id,
        "type": task.type,
        "agent": task.agent,
        "user": task.user,
        "parent": task.parent,
        "started_at": rfc3339(task.started_at),
        "deadline_at": _instant(task.deadline_at),
        "ended_at": _instant(task.ended_at),
        "calls": row.calls,
        "refused": row.refused,
        "spent_nano_usd": row.spent.nano,
        "held_nano_usd": row.held.nano,
        "budget_nano_usd": None if task.budget is None else task.budget.nano,
        "estimated": row.estimated,
        "unknown_costs": row.unknown_costs,
        "models": task.models,
        "tools": task.tools,
    }


def call_page(row: CallRow, noted: Mapping[str, str]) -> dict[str, object]:
    """Return a call as JSON shows it.

    Args:
        row: The call.
        noted: The numbers of the versions of prices.
    """
    return {
        "id": row.id,
        "task_id": row.task_id,
        "task_type": row.task_type,
        "agent": row.agent,
        "user": row.user,
        "door": row.door,
        "kind": row.kind,
        "target": row.target,
        "stream": row.stream,
        "state": row.state,
        "status": row.status,
        "code": row.code,
        "message": row.message,
        "rule": row.rule,
        "started_at": rfc3339(row.started_at),
        "ended_at": _instant(row.ended_at),
        "request_bytes": row.request_bytes,
        "client_retry": row.client_retry,
        "input": row.input,
        "cost_nano_usd": _cost(row),
        "attempts": [attempt_page(attempt, noted) for attempt in row.attempts],
    }


def attempt_page(row: AttemptRow, noted: Mapping[str, str]) -> dict[str, object]:
    """Return an attempt as JSON shows it.

    Args:
        row: The attempt.
        noted: The numbers of the versions of prices.
    """
    return {
        "id": row.id,
        "n": row.n,
        "provider": row.provider,
        "model": row.model,
        "state": row.state,
        "reserved_nano_usd": None if row.reserved is None else row.reserved.nano,
        "cost_nano_usd": None if row.cost is None else row.cost.nano,
        "estimated": row.estimated,
        "usage": row.usage,
        "output_tokens_limit": row.output_tokens_limit,
        "price_version": row.price_version,
        "unit_prices": _unit_prices(row, noted),
        "service_tier": row.service_tier,
        "unpriced": row.unpriced,
        "first": None
        if row.first is None
        else {
            "cost_nano_usd": None if row.first.cost is None else row.first.cost.nano,
            "price_version": row.first.version,
        },
        "sent_at": rfc3339(row.sent_at),
        "first_byte_at": _instant(row.first_byte_at),
        "ended_at": _instant(row.ended_at),
        "http_status": row.http_status,
        "error": row.error,
        "answered_by": row.answered_by,
        "reply_id": row.reply_id,
        "finish_reason": row.finish_reason,
        "changes": row.changes,
    }


def noted_of(store: Store, rows: Sequence[CallRow]) -> Mapping[str, str]:
    """Return the numbers of every price that an attempt of some calls was paid by."""
    versions = {each.price_version for row in rows for each in row.attempts}
    return store.noted_prices([version for version in versions if version is not None])


def _unit_prices(row: AttemptRow, noted: Mapping[str, str]) -> dict[str, int] | None:
    """Return what a token of each kind was paid with; None where that is not known."""
    numbers = noted.get(row.price_version or "")
    if numbers is None:
        return None
    size = 0 if row.usage is None else row.usage.total_input_tokens
    return unit_prices(read_numbers(numbers).rates_for(size))


def _task_line(row: TaskRow) -> tuple[str, ...]:
    task = row.task
    spent = dollars_of(row.spent.nano, unknown_costs=row.unknown_costs)
    return (
        task.id,
        task.type,
        task.agent,
        task.user or "",
        moment(task.started_at),
        "running" if task.ended_at is None else "ended",
        str(row.calls),
        str(row.refused),
        spent + ("~" if row.estimated else ""),
        dollars(row.held.nano),
        "" if task.budget is None else dollars(task.budget.nano),
    )


def _call_line(row: CallRow) -> tuple[str, ...]:
    last = row.attempts[-1] if row.attempts else None
    usage = None if last is None else last.usage
    cost = _cost(row)
    return (
        row.id,
        row.task_id or "",
        moment(row.started_at),
        row.door,
        row.target or "",
        "" if last is None else f"{last.provider}:{last.model}",
        row.state,
        row.code or "",
        "" if row.ended_at is None else f"{row.ended_at - row.started_at:.3f}",
        "" if usage is None else str(usage.total_input_tokens),
        "" if usage is None else str(usage.total_output_tokens),
        "" if last is None else dollars(cost),
    )


def _cost(row: CallRow) -> int | None:
    """Return what a call cost; None where a part of it is unknown."""
    if any(attempt.cost is None and attempt.state != "running" for attempt in row.attempts):
        return None
    return row.cost.nano


def _instant(instant: float | None) -> str | None:
    return None if instant is None else rfc3339(instant)
