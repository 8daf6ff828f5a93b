"""Admission: everything that an attempt needs, held in one transaction together with its intent.

Reads first, decides, and only then writes: a refusal leaves nothing behind.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from callgate.errors import DeadlinePassed, Reason
from callgate.store import Grant, Intent
from callgate.store.circles import refuse_circles
from callgate.store.limits import Limits, Standing, scopes_of
from callgate.store.meters import Booking, Meter, hold, meters_of, written
from callgate.store.rates import Ticks, refuse_over_rate, tick
from callgate.store.reservation import Level, reserve
from callgate.store.rows import LIMIT_COLUMNS, limit_of, maybe_micros, micros
from callgate.store.slots import refuse_over_slots
from callgate.store.tasks import insert_task, require_same
from callgate.task import Task

TASK: Final = """
    SELECT t.type, t.agent, t.user, t.deadline_at, t.ended_at, l.cap_nano, l.spent_nano, l.held_nano
    FROM tasks t JOIN ledger l ON l.scope = ? AND l."window" = 'all' WHERE t.id = ?
"""

INSERT_CALL: Final = """
    INSERT INTO calls (id, owner, task_id, task_type, agent, user, door, kind, target, stream,
        state, started_at, request_bytes, fingerprint)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'running', ?, ?, ?)
"""

INSERT_ATTEMPT: Final = """
    INSERT INTO attempts (id, call_seq, task_id, n, provider, model, state, reserved_nano,
        output_tokens_limit, price_version, sent_at, booked)
    VALUES (?, ?, ?, ?, ?, ?, 'running', ?, ?, ?, ?, ?)
"""


class Stored(msgspec.Struct, frozen=True):
    """What the store knows of a task that an attempt is for."""

    is_new: bool
    is_open: bool
    level: Level | None
    """Its own budget; None where it has none."""


class Admission:
    """Admits attempts for one gate; its calls are operations of the writer and nothing else.

    Args:
        owner: The gate that will settle what is admitted.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._limits = Limits(())
        self._changes = -1

    def __call__(self, cursor: sqlite3.Cursor, intent: Intent, /) -> Grant:
        """Hold all that an attempt needs and write its intent."""
        task = _stored(cursor, intent)
        standing = self._standing(cursor, intent)
        meters: Sequence[Meter] = ()
        ticks: Sequence[Ticks] = ()
        if standing:
            refuse_circles(cursor, intent, standing)
            refuse_over_slots(cursor, intent, standing, opens_task=not task.is_open)
            meters = meters_of(cursor, intent, standing)
            ticks = refuse_over_rate(cursor, intent, standing, meters)
        levels = [level for meter in meters for level in meter.levels]
        own = () if task.level is None else (task.level,)
        grant = reserve(intent.bill, (*own, *levels), candidate=intent.candidate)
        _open_task(cursor, intent.task, task)
        reserved = 0 if grant.reserved is None else grant.reserved.nano
        booked = hold(cursor, intent, meters, reserved)
        for each in ticks:
            tick(cursor, each)
        _insert(cursor, intent, grant, owner=self._owner, booked=booked)
        return grant

    def _standing(self, cursor: sqlite3.Cursor, intent: Intent) -> list[Standing]:
        """Return the limits that hold for an attempt, as they are in this transaction."""
        (changes,) = cursor.execute("SELECT changes FROM limits_state").fetchone()
        if changes != self._changes:
            rows = cursor.execute(f"SELECT {LIMIT_COLUMNS} FROM limits").fetchall()
            self._limits, self._changes = Limits(map(limit_of, rows)), changes
        task = intent.task
        scopes = scopes_of(agent=task.agent, task_type=task.type, user=task.user)
        scopes = (*scopes, f"provider:{intent.candidate.provider}")
        return self._limits.of(scopes, now=intent.sent_at)


def _open_task(cursor: sqlite3.Cursor, task: Task, stored: Stored) -> None:
    if stored.is_new:
        insert_task(cursor, task)
    elif not stored.is_open:
        cursor.execute("UPDATE tasks SET ended_at = NULL WHERE id = ?", (task.id,))


def _stored(cursor: sqlite3.Cursor, intent: Intent) -> Stored:
    task = intent.task
    found = cursor.execute(TASK, (f"task:{task.id}", task.id)).fetchone()
    if found is None:
        deadline_at = maybe_micros(task.deadline_at)
        ended_at = None
        cap, spent, held = (None if task.budget is None else task.budget.nano), 0, 0
    else:
        *identity, deadline_at, ended_at, cap, spent, held = found
        require_same(task, identity)
    late = 0 if deadline_at is None else micros(intent.sent_at) - deadline_at
    if late > 0:
        raise _deadline_passed(task, late / 1_000_000)
    level = None if cap is None else task_level(task, cap=cap, spent=spent, held=held)
    return Stored(found is None, found is not None and ended_at is None, level)


def task_level(task: Task, *, cap: int, spent: int, held: int) -> Level:
    """Return a task's own budget as a level."""
    return Level(
        rule="task budget",
        what=f"task {task.id}",
        scope=f"task:{task.id}",
        window="all",
        cap=cap,
        spent=spent,
        held=held,
        fix=f"raise budget in [tasks.{task.type}] of callgate.toml, or start the run with --budget",
    )


def _insert(
    cursor: sqlite3.Cursor,
    intent: Intent,
    grant: Grant,
    *,
    owner: str,
    booked: Sequence[Booking],
) -> None:
    task, candidate = intent.task, intent.candidate
    if intent.n == 1:
        cursor.execute(
            INSERT_CALL,
            (intent.call_id, owner, task.id, task.type, task.agent, task.user, intent.door,
             intent.kind, intent.target, intent.stream, micros(intent.started_at),
             intent.request_bytes, intent.fingerprint),
        )  # fmt: skip
        call_seq = cursor.lastrowid
    else:
        found = cursor.execute("SELECT seq FROM calls WHERE id = ?", (intent.call_id,))
        (call_seq,) = found.fetchone()
    reserved = None if grant.reserved is None else grant.reserved.nano
    cursor.execute(
        INSERT_ATTEMPT,
        (intent.attempt_id, call_seq, task.id, intent.n, candidate.provider, candidate.model,
         reserved, grant.output_tokens, intent.price_version, micros(intent.sent_at),
         written(booked)),
    )  # fmt: skip
    if reserved:
        cursor.execute(
            "UPDATE ledger SET held_nano = held_nano + ? WHERE scope = ? AND \"window\" = 'all'",
            (reserved, f"task:{task.id}"),
        )


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
