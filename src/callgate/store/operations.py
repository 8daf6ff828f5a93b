"""What is written, as functions on a connection that is inside a transaction."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from callgate.clock import rfc3339
from callgate.errors import DeadlinePassed, Malformed, OverBudget, Reason, Unpriced
from callgate.money import FEMTO_PER_NANO, Money
from callgate.store import Bill, CallEnd, Grant, Intent, Key, Refusal, Settlement
from callgate.store.rows import micros, task_of
from callgate.task import Task

TASK_WINDOW = "task"
"""The window of a scope that has no clock: a task's own budget."""

FIND_TASK = (
    "SELECT t.id, t.type, t.agent, t.user, t.parent, t.budget_nano, t.started_at, t.deadline_at,"
    " t.ended_at, l.spent_nano, l.held_nano FROM tasks t"
    " JOIN ledger l ON l.scope = 'task:' || t.id AND l.window = 'task' WHERE t.id = ?"
)
INSERT_TASK = (
    "INSERT INTO tasks (id, type, agent, user, parent, budget_nano, started_at, deadline_at,"
    " ended_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)"
)
INSERT_LEDGER = "INSERT INTO ledger (scope, window, cap_nano) VALUES (?, ?, ?)"
HOLD = "UPDATE ledger SET held_nano = held_nano + ? WHERE scope = ? AND window = ?"
BOOK = (
    "UPDATE ledger SET held_nano = held_nano - ?, spent_nano = spent_nano + ?"
    " WHERE scope = ? AND window = ?"
)
INSERT_CALL = (
    "INSERT INTO calls (id, task_id, task_type, agent, user, door, kind, target, stream, state,"
    " status, code, message, rule, started_at, ended_at, request_bytes)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
END_CALL = (
    "UPDATE calls SET state = ?, status = ?, code = ?, message = ?, rule = ?, ended_at = ?"
    " WHERE id = ?"
)
INSERT_ATTEMPT = (
    "INSERT INTO attempts (id, call_id, task_id, n, provider, model, state, owner, reserved_nano,"
    " output_tokens_limit, price_version, sent_at) VALUES (?, ?, ?, ?, ?, ?, 'running', ?, ?, ?, ?, ?)"
)
FIND_ATTEMPT = "SELECT task_id, state, reserved_nano, cost_nano FROM attempts WHERE id = ?"
SETTLE = (
    "UPDATE attempts SET state = ?, cost_nano = ?, estimated = ?, input_tokens = ?,"
    " cache_read_tokens = ?, cache_write_tokens = ?, cache_write_long_tokens = ?,"
    " output_tokens = ?, reasoning_tokens = ?, first_byte_at = ?, ended_at = ?, http_status = ?,"
    " error = ?, answered_by = ?, reply_id = ?, finish_reason = ?, changes = ? WHERE id = ?"
)


def admit(connection: sqlite3.Connection, intent: Intent, owner: str | None) -> Grant:
    """Hold the money and write the intent; refusals come before the first write."""
    task = intent.task
    row = connection.execute(FIND_TASK, (task.id,)).fetchone()
    spent, held = (0, 0) if row is None else (row[9], row[10])
    stored = task if row is None else agreed(task_of(row), task)
    _check_deadline(stored, intent.sent_at)
    reserved, output_tokens = _fit(intent, stored, spent, held)
    if row is None:
        insert_task(connection, task)
    elif stored.ended_at is not None:
        connection.execute("UPDATE tasks SET ended_at = NULL WHERE id = ?", (task.id,))
    if intent.n == 1:
        connection.execute(INSERT_CALL, _call_row(intent))
    limit = output_tokens
    connection.execute(
        INSERT_ATTEMPT,
        (
            intent.attempt_id, intent.call_id, task.id, intent.n, intent.candidate.provider,
            intent.candidate.model, owner, reserved, limit, intent.price_version,
            micros(intent.sent_at),
        ),
    )  # fmt: skip
    if reserved:
        connection.execute(HOLD, (reserved, _scope(task.id), TASK_WINDOW))
    return Grant(
        reserved=None if reserved is None else Money(reserved), output_tokens=output_tokens
    )


def _fit(intent: Intent, task: Task, spent: int, held: int) -> tuple[int | None, int | None]:
    """Return what to hold in nano-dollars, and the output limit that it pays for.

    Raises:
        OverBudget: Not even the lowest output limit fits in what is left.
        Unpriced: A budget holds, and nobody knows what the attempt can cost.
    """
    bill = intent.bill
    if bill is None:
        if task.budget is not None:
            msg = (
                f"the task {task.id!r} has a budget, and {intent.candidate.name} has no known cost"
            )
            raise Unpriced(msg, reason=Reason(code=Unpriced.code, scope=_scope(task.id)))
        return None, None
    wanted = _nano(bill, bill.output_tokens)
    if task.budget is None:
        return wanted, bill.output_tokens
    left = task.budget.nano - spent - held
    if wanted <= left:
        return wanted, bill.output_tokens
    output_tokens = _affordable(bill, left)
    if output_tokens < bill.least_output_tokens:
        raise _over_budget(task, bill, spent, held)
    return _nano(bill, output_tokens), output_tokens


def _nano(bill: Bill, output_tokens: int) -> int:
    """Return a bill in nano-dollars, rounded up against the spender."""
    return -(-bill.femto(output_tokens) // FEMTO_PER_NANO)


def _affordable(bill: Bill, left: int) -> int:
    """Return the highest output limit that ``left`` nano-dollars pay for; -1 if none does."""
    for_output = left * FEMTO_PER_NANO - bill.input_femto
    if for_output < 0:
        return -1
    each = bill.output_femto * bill.choices
    return bill.output_tokens if each == 0 else min(bill.output_tokens, for_output // each)


def _over_budget(task: Task, bill: Bill, spent: int, held: int) -> OverBudget:
    budget = 0 if task.budget is None else task.budget.nano
    needed = _nano(bill, bill.least_output_tokens)
    waits = held > 0 and spent + needed <= budget
    why = (
        f"{Money(held)} of it are held by calls that are still running and may come free"
        if waits
        else f"{Money(spent)} of it are spent"
    )
    msg = (
        f"the task {task.id!r} has a budget of {task.budget}; {why}, and this call could cost "
        f"{Money(needed)}"
    )
    fix = (
        "wait until the running calls are settled"
        if waits
        else f"raise budget under [tasks.{task.type}] (or --budget, if the run set a lower one)"
    )
    reason = Reason(
        code="budget_held" if waits else OverBudget.code,
        rule=f"tasks.{task.type}.budget",
        scope=_scope(task.id),
        limit=budget,
        used=spent,
        held=held,
        needed=needed,
        fix=fix,
    )
    return OverBudget(msg, reason=reason)


def _check_deadline(task: Task, now: float) -> None:
    if task.deadline_at is None or now < task.deadline_at:
        return
    msg = (
        f"the time of task {task.id!r} was over at {rfc3339(task.deadline_at)}; "
        f"start a new task, or raise timeout under [tasks.{task.type}]"
    )
    reason = Reason(
        code=DeadlinePassed.code,
        rule=f"tasks.{task.type}.timeout",
        scope=_scope(task.id),
        limit=rfc3339(task.deadline_at),
        fix="start a new task",
    )
    raise DeadlinePassed(msg, reason=reason)


def agreed(stored: Task, asked: Task) -> Task:
    """Return the stored task, if ``asked`` is the same agent's, user's and type's.

    Raises:
        Malformed: It is not.
    """
    for name in ("agent", "user", "type"):
        known, said = getattr(stored, name), getattr(asked, name)
        if known != said:
            msg = f"task {stored.id!r} belongs to the {name} {known!r}, not {said!r}; use another task id"
            reason = Reason(
                code="task_mismatch", scope=_scope(stored.id), fix="use another task id"
            )
            raise Malformed(msg, reason=reason)
    return stored


def insert_task(connection: sqlite3.Connection, task: Task) -> None:
    """Write a new task and its line in the ledger."""
    budget = None if task.budget is None else task.budget.nano
    connection.execute(
        INSERT_TASK,
        (
            task.id, task.type, task.agent, task.user, task.parent, budget,
            micros(task.started_at), micros(task.deadline_at),
        ),
    )  # fmt: skip
    connection.execute(INSERT_LEDGER, (_scope(task.id), TASK_WINDOW, budget))


def create_task(connection: sqlite3.Connection, task: Task) -> Task:
    """Write a task, or open the stored one again."""
    row = connection.execute(FIND_TASK, (task.id,)).fetchone()
    if row is None:
        insert_task(connection, task)
        return task
    stored = agreed(task_of(row), task)
    connection.execute("UPDATE tasks SET ended_at = NULL WHERE id = ?", (task.id,))
    return msgspec.structs.replace(stored, ended_at=None)


def settle(connection: sqlite3.Connection, settlement: Settlement) -> None:
    """Book an attempt once; a late settlement corrects what recovery has booked for it."""
    row = connection.execute(FIND_ATTEMPT, (settlement.attempt_id,)).fetchone()
    if row is None or row[1] not in {"running", "unknown"}:
        return
    task_id, state, reserved, booked = row
    cost = reserved if settlement.cost is None else settlement.cost.nano
    estimated = settlement.cost is None and reserved is not None
    connection.execute(SETTLE, _settled_row(settlement, cost, estimated=estimated))
    free = (reserved or 0) if state == "running" else 0
    spend = (cost or 0) - (booked or 0)
    if free or spend:
        connection.execute(BOOK, (free, spend, _scope(task_id), TASK_WINDOW))
    if settlement.call is not None:
        end_call(connection, settlement.call)


def end_call(connection: sqlite3.Connection, end: CallEnd) -> None:
    """Write how a call ended."""
    connection.execute(
        END_CALL,
        (end.state, end.status, end.code, end.message, end.rule, micros(end.ended_at), end.call_id),
    )
    if end.ends_task is not None:
        end_task(connection, end.ends_task, end.ended_at)


def end_task(connection: sqlite3.Connection, task_id: str, ended_at: float) -> None:
    """Mark a task as ended, unless it has been."""
    connection.execute(
        "UPDATE tasks SET ended_at = ? WHERE id = ? AND ended_at IS NULL",
        (micros(ended_at), task_id),
    )


def refuse(connection: sqlite3.Connection, refusal: Refusal) -> None:
    """Write the row of a call that never had an attempt."""
    end = refusal.end
    connection.execute(
        INSERT_CALL,
        (
            end.call_id, refusal.task_id, refusal.task_type, refusal.agent, refusal.user,
            refusal.door, refusal.kind, refusal.target, refusal.stream, end.state, end.status,
            end.code, end.message, end.rule, micros(refusal.started_at), micros(end.ended_at),
            refusal.request_bytes,
        ),
    )  # fmt: skip


def create_key(connection: sqlite3.Connection, key: Key) -> None:
    """Write a key."""
    connection.execute(
        "INSERT INTO keys (id, digest, agent, task_id, label, created_at, expires_at, revoked_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            key.id, key.digest, key.agent, key.task_id, key.label, micros(key.created_at),
            micros(key.expires_at), micros(key.revoked_at),
        ),
    )  # fmt: skip


def revoke_key(connection: sqlite3.Connection, key_id: str, revoked_at: float) -> bool:
    """Revoke a key; a second time keeps the first time."""
    changed = connection.execute(
        "UPDATE keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?",
        (micros(revoked_at), key_id),
    )
    return changed.rowcount > 0


def _scope(task_id: str) -> str:
    return f"task:{task_id}"


def _call_row(intent: Intent) -> tuple[Any, ...]:
    task = intent.task
    return (
        intent.call_id, task.id, task.type, task.agent, task.user, intent.door, intent.kind,
        intent.target, intent.stream, "running", None, None, None, None,
        micros(intent.started_at), None, intent.request_bytes,
    )  # fmt: skip


def _settled_row(settlement: Settlement, cost: int | None, *, estimated: bool) -> tuple[Any, ...]:
    usage = settlement.usage
    buckets = (
        (None,) * 6
        if usage is None
        else (
            usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens,
            usage.cache_write_long_tokens, usage.output_tokens, usage.reasoning_tokens,
        )
    )  # fmt: skip
    changes = msgspec.json.encode(settlement.changes).decode() if settlement.changes else None
    return (
        settlement.state, cost, estimated, *buckets, micros(settlement.first_byte_at),
        micros(settlement.ended_at), settlement.http_status, settlement.error, settlement.model,
        settlement.reply_id, settlement.finish_reason, changes, settlement.attempt_id,
    )  # fmt: skip
