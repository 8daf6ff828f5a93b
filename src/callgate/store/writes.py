"""What is written, as operations of the writer: each reads, decides, and only then writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from callgate.call import Usage
from callgate.errors import DeadlinePassed, Malformed, Reason
from callgate.store import CallEnd, Grant, Intent, Key, Refusal, Settlement
from callgate.store.reservation import LARGEST_COST, Balance, reserve
from callgate.store.rows import TASK_COLUMNS, Row, maybe_micros, micros, task_of
from callgate.task import Task

ALL_TIME: Final = "all"
"""The window of a scope whose money never comes back, such as a task's."""

GATE_DIED: Final = "gate_died"
"""The code of a call whose process died under it."""


def scopes(task_id: str) -> Sequence[tuple[str, str]]:
    """Return every scope and window that a task's attempts hold money in."""
    return ((f"task:{task_id}", ALL_TIME),)


BALANCE = """
    SELECT t.type, t.agent, t.user, t.deadline_at, t.ended_at, l.cap_nano, l.spent_nano, l.held_nano
    FROM tasks t JOIN ledger l ON l.scope = ? AND l."window" = 'all' WHERE t.id = ?
"""

READ_TASK = f"""
    SELECT {TASK_COLUMNS} FROM tasks t JOIN ledger l ON l.scope = ? AND l."window" = 'all'
    WHERE t.id = ?
"""

INSERT_TASK = """
    INSERT INTO tasks (id, type, agent, user, parent, started_at, deadline_at, ended_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""

INSERT_SCOPE = "INSERT INTO ledger VALUES (?, 'all', ?, 0, 0)"

INSERT_CALL = """
    INSERT INTO calls (id, owner, task_id, task_type, agent, user, door, kind, target, stream,
        state, started_at, request_bytes)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'running', ?, ?)
"""

INSERT_REFUSED_CALL = """
    INSERT INTO calls (id, task_id, task_type, agent, user, door, kind, target, stream, state,
        status, code, message, rule, started_at, ended_at, request_bytes)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO NOTHING
"""

INSERT_ATTEMPT = """
    INSERT INTO attempts (id, call_seq, task_id, n, provider, model, state, reserved_nano,
        output_tokens_limit, price_version, sent_at)
    VALUES (?, ?, ?, ?, ?, ?, 'running', ?, ?, ?, ?)
"""

HOLD = 'UPDATE ledger SET held_nano = held_nano + ? WHERE scope = ? AND "window" = ?'

BOOK = """
    UPDATE ledger SET spent_nano = spent_nano + ?, held_nano = held_nano - ?
    WHERE scope = ? AND "window" = ?
"""

SETTLE = """
    UPDATE attempts SET state = ?, cost_nano = ?, estimated = ?,
        input_tokens = ?, cache_read_tokens = ?, cache_write_tokens = ?,
        cache_write_long_tokens = ?, output_tokens = ?, reasoning_tokens = ?,
        ended_at = ?, first_byte_at = ?, http_status = ?, error = ?, answered_by = ?,
        reply_id = ?, finish_reason = ?, changes = ?
    WHERE seq = ?
"""

# A call that was given up for dead may still tell its real end; any other outcome stays.
END_CALL = """
    UPDATE calls SET state = ?, status = ?, code = ?, message = ?, rule = ?, ended_at = ?
    WHERE id = ? AND (state = 'running' OR code = 'gate_died')
"""

END_TASK = "UPDATE tasks SET ended_at = ? WHERE id = ? AND ended_at IS NULL"

# Who is not on the list of gates is dead: a gate writes its row again with every beat.
ABANDON_CALLS = """
    UPDATE calls SET state = 'failed', code = 'gate_died', ended_at = ?,
        message = 'the gate process that ran this call died; its cost is booked at what was held'
    WHERE state = 'running' AND owner NOT IN (SELECT id FROM gates)
"""

FIND_ABANDONED = """
    SELECT a.seq, a.task_id, a.reserved_nano FROM attempts a JOIN calls c ON c.seq = a.call_seq
    WHERE a.state = 'running' AND c.owner NOT IN (SELECT id FROM gates)
"""

ABANDON_ATTEMPT = """
    UPDATE attempts SET state = 'unknown', cost_nano = reserved_nano,
        estimated = reserved_nano IS NOT NULL, ended_at = ?, error = 'the gate process died'
    WHERE seq = ?
"""


class Admission(msgspec.Struct, frozen=True):
    """An intent, and the gate that it is of."""

    intent: Intent
    owner: str


def admit(cursor: sqlite3.Cursor, admission: Admission) -> Grant:
    """Hold the money and write the intent."""
    intent = admission.intent
    task = intent.task
    stored = cursor.execute(BALANCE, (f"task:{task.id}", task.id)).fetchone()
    if stored is None:
        ended_at, deadline_at = None, maybe_micros(task.deadline_at)
        balance = Balance(None if task.budget is None else task.budget.nano)
    else:
        *identity, deadline_at, ended_at, cap, spent, held = stored
        _require_same(task, identity)
        balance = Balance(cap, spent, held)
    sent_at = micros(intent.sent_at)
    if deadline_at is not None and sent_at > deadline_at:
        raise _deadline_passed(task, (sent_at - deadline_at) / 1_000_000)
    grant = reserve(
        intent.bill, balance, task_id=task.id, task_type=task.type, candidate=intent.candidate
    )
    if stored is None:
        _insert_task(cursor, task)
    elif ended_at is not None:
        cursor.execute("UPDATE tasks SET ended_at = NULL WHERE id = ?", (task.id,))
    _insert_intent(cursor, intent, grant, owner=admission.owner)
    return grant


def _insert_intent(cursor: sqlite3.Cursor, intent: Intent, grant: Grant, *, owner: str) -> None:
    task, candidate = intent.task, intent.candidate
    if intent.n == 1:
        cursor.execute(
            INSERT_CALL,
            (intent.call_id, owner, task.id, task.type, task.agent, task.user, intent.door,
             intent.kind, intent.target, intent.stream, micros(intent.started_at),
             intent.request_bytes),
        )  # fmt: skip
        call_seq = cursor.lastrowid
    else:
        found = cursor.execute("SELECT seq FROM calls WHERE id = ?", (intent.call_id,))
        (call_seq,) = found.fetchone()
    reserved = None if grant.reserved is None else grant.reserved.nano
    cursor.execute(
        INSERT_ATTEMPT,
        (intent.attempt_id, call_seq, task.id, intent.n, candidate.provider, candidate.model,
         reserved, grant.output_tokens, intent.price_version, micros(intent.sent_at)),
    )  # fmt: skip
    if reserved:
        for scope in scopes(task.id):
            cursor.execute(HOLD, (reserved, *scope))


def settle(cursor: sqlite3.Cursor, settlement: Settlement) -> None:
    """Free the hold and book the cost, once; correct what the death of a gate had booked."""
    found = cursor.execute(
        "SELECT seq, task_id, state, reserved_nano, cost_nano FROM attempts WHERE id = ?",
        (settlement.attempt_id,),
    ).fetchone()
    if found is None:
        msg = f"attempt {settlement.attempt_id} was never admitted to this store"
        raise LookupError(msg)
    seq, task_id, state, reserved, booked = found
    if state == "running":
        before, held = 0, reserved or 0
    elif state == "unknown":
        before, held = booked or 0, 0
    else:
        return
    # A cost beyond belief is a broken counter, and tells as much as none.
    told = settlement.cost
    if told is not None and told > LARGEST_COST:
        told = None
    cost = reserved if told is None else told.nano
    estimated = cost is not None and (settlement.estimated or told is None)
    cursor.execute(SETTLE, (*_outcome(settlement, cost, estimated=estimated), seq))
    _book(cursor, task_id, spent=(cost or 0) - before, held=held)
    if settlement.call is not None:
        end_call(cursor, settlement.call)


def _book(cursor: sqlite3.Cursor, task_id: str, *, spent: int, held: int) -> None:
    """Add to what is spent and take off what is held, in every scope of an attempt."""
    for scope in scopes(task_id):
        cursor.execute(BOOK, (spent, held, *scope))


def _outcome(settlement: Settlement, cost: int | None, *, estimated: bool) -> Row:
    usage = settlement.usage
    return (
        settlement.state, cost, estimated,
        *((None,) * 6 if usage is None else _buckets(usage)),
        micros(settlement.ended_at), maybe_micros(settlement.first_byte_at),
        settlement.http_status, settlement.error, settlement.model, settlement.reply_id,
        settlement.finish_reason,
        msgspec.json.encode(settlement.changes).decode() if settlement.changes else None,
    )  # fmt: skip


def _buckets(usage: Usage) -> Row:
    return (
        usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens,
        usage.cache_write_long_tokens, usage.output_tokens, usage.reasoning_tokens,
    )  # fmt: skip


def end_call(cursor: sqlite3.Cursor, end: CallEnd) -> None:
    """Write a call's outcome, once."""
    ended_at = micros(end.ended_at)
    cursor.execute(
        END_CALL,
        (end.state, end.status, end.code, end.message, end.rule, ended_at, end.call_id),
    )
    if end.ends_task is not None:
        cursor.execute(END_TASK, (ended_at, end.ends_task))


def refuse(cursor: sqlite3.Cursor, refusal: Refusal) -> None:
    """Write the row of a call that had no attempt, and its task where it is new."""
    end, task = refusal.end, refusal.task
    task_id, task_type, user = _named_task(refusal)
    owner = cursor.execute("SELECT agent FROM tasks WHERE id = ?", (task_id,)).fetchone()
    if owner is None:
        if task is not None:
            _insert_task(cursor, task)
    elif owner != (refusal.caller.agent,):
        task_id = None
    cursor.execute(
        INSERT_REFUSED_CALL,
        (end.call_id, task_id, task_type, refusal.caller.agent, user, refusal.door, refusal.kind,
         refusal.target, refusal.stream, end.state, end.status, end.code, end.message, end.rule,
         micros(refusal.started_at), micros(end.ended_at), refusal.request_bytes),
    )  # fmt: skip
    # A caller may hang up while its admission is being written; then its row is there already.
    end_call(cursor, end)


def _named_task(refusal: Refusal) -> tuple[str | None, str | None, str | None]:
    """Return id, type and user of the task, or what was said of it where there is none."""
    task, caller, claims = refusal.task, refusal.caller, refusal.claims
    if task is not None:
        return task.id, task.type, task.user
    return caller.task_id or claims.task_id, claims.task_type, claims.user


def create_task(cursor: sqlite3.Cursor, task: Task) -> Task:
    """Write a task, if there is none of that id; return the one that is stored."""
    found = cursor.execute(READ_TASK, (f"task:{task.id}", task.id)).fetchone()
    if found is not None:
        stored = task_of(found)
        _require_same(task, (stored.type, stored.agent, stored.user))
        return stored
    _insert_task(cursor, task)
    return task


def end_task(cursor: sqlite3.Cursor, end: tuple[str, float]) -> None:
    """Mark a task as ended, once."""
    task_id, ended_at = end
    cursor.execute(END_TASK, (micros(ended_at), task_id))


def create_key(cursor: sqlite3.Cursor, key: Key) -> None:
    """Write a key."""
    cursor.execute(
        "INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (key.digest, key.id, key.agent, key.task_id, key.label, micros(key.created_at),
         maybe_micros(key.expires_at), maybe_micros(key.revoked_at)),
    )  # fmt: skip


def revoke_key(cursor: sqlite3.Cursor, revocation: tuple[str, float]) -> bool:
    """Revoke a key, once; return False if there is none of that id."""
    key_id, revoked_at = revocation
    cursor.execute(
        "UPDATE keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?",
        (micros(revoked_at), key_id),
    )
    return cursor.rowcount == 1


def abandon(cursor: sqlite3.Cursor, now: float) -> None:
    """Book what the attempts of dead gates held as spent, and fail their calls."""
    ended_at = micros(now)
    for seq, task_id, reserved in cursor.execute(FIND_ABANDONED).fetchall():
        cursor.execute(ABANDON_ATTEMPT, (ended_at, seq))
        _book(cursor, task_id, spent=reserved or 0, held=reserved or 0)
    cursor.execute(ABANDON_CALLS, (ended_at,))


def _insert_task(cursor: sqlite3.Cursor, task: Task) -> None:
    cursor.execute(
        INSERT_TASK,
        (task.id, task.type, task.agent, task.user, task.parent, micros(task.started_at),
         maybe_micros(task.deadline_at), maybe_micros(task.ended_at)),
    )  # fmt: skip
    cap = None if task.budget is None else task.budget.nano
    cursor.execute(INSERT_SCOPE, (f"task:{task.id}", cap))


def _require_same(task: Task, stored: Sequence[Any]) -> None:
    said = (task.type, task.agent, task.user)
    for name, mine, known in zip(("type", "agent", "user"), said, stored, strict=True):
        if mine != known:
            fix = "use another task id"
            msg = f"task {task.id} exists with the {name} {known!r}, not {mine!r}; {fix}"
            reason = Reason(code="task_mismatch", scope=f"task:{task.id}", fix=fix)
            raise Malformed(msg, reason=reason)


def _deadline_passed(task: Task, seconds: float) -> DeadlinePassed:
    fix = f"raise timeout in [tasks.{task.type}] of callgate.toml, or begin a new task"
    msg = f"the deadline of task {task.id} passed {seconds:.3f} seconds ago; {fix}"
    reason = Reason(
        code="deadline_passed",
        rule=f"tasks.{task.type}.timeout",
        scope=f"task:{task.id}",
        fix=fix,
    )
    return DeadlinePassed(msg, reason=reason)
