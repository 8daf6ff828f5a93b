"""Admission: everything that an attempt needs, held in one transaction together with its intent.

Reads first, decides, and only then writes: a refusal leaves nothing behind, except that a window
which a limit needed has begun.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from callgate.errors import DeadlinePassed, Reason, Refused
from callgate.store import Grant, Intent, lines, rules
from callgate.store.circles import refuse_circles
from callgate.store.limits import Limits, Standing, scopes_of
from callgate.store.lines import Above, find_line, level_of
from callgate.store.meters import Meters
from callgate.store.rates import Ticks, refuse_over_rate, tick, ticks_of
from callgate.store.reservation import reserve
from callgate.store.rows import maybe_micros, micros
from callgate.store.slots import refuse_over_slots
from callgate.store.tasks import OPEN_TASK, insert_task, require_same
from callgate.store.writer import Kept
from callgate.task import Task

TASK: Final = """
    SELECT t.type, t.agent, t.user, t.deadline_at, t.has_slot,
        l.cap_nano, l.spent_nano, l.held_nano, l.calls
    FROM tasks t JOIN ledger l ON l.scope = ? AND l."window" = 'all' WHERE t.id = ?
"""

EDITION: Final = "SELECT edition FROM limits_state"

INSERT_CALL: Final = """
    INSERT INTO calls (id, owner, task_id, task_type, agent, user, door, kind, target, stream,
        state, started_at, request_bytes, fingerprint)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'running', ?, ?, ?)
"""

INSERT_ATTEMPT: Final = """
    INSERT INTO attempts (id, call_seq, task_id, n, provider, model, state, reserved_nano,
        output_tokens_limit, price_version, sent_at)
    VALUES (?, ?, ?, ?, ?, ?, 'running', ?, ?, ?, ?)
"""


class Stored(msgspec.Struct, frozen=True):
    """What the store knows of a task that an attempt is for."""

    is_new: bool
    has_slot: bool
    calls: int
    """How many calls of its own were admitted."""
    own: Above
    line: list[Above]
    """The tasks above it."""


class Admission:
    """Admits attempts for one gate; its calls are operations of the writer and nothing else.

    Args:
        owner: The gate that will settle what is admitted.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._limits = Limits(())
        self._edition: int | None = None

    def __call__(self, cursor: sqlite3.Cursor, intent: Intent, /) -> Grant:
        """Hold all that an attempt needs and write its intent."""
        task = _stored(cursor, intent)
        limits = self._read_limits(cursor)
        scopes = _scopes_of(intent)
        standing = limits.of(scopes, now=intent.sent_at)
        meters = Meters(cursor, scopes, intent)
        has_begun = meters.begin(standing)
        try:
            ticks = ticks_of(cursor, intent, scopes, limits.ticks)
            grant = _decide(cursor, intent, standing, task=task, meters=meters, ticks=ticks)
        except Refused as refused:
            if has_begun:
                raise Kept(refused) from refused
            raise
        _write(cursor, intent, grant, owner=self._owner, task=task)
        meters.hold(_nano(grant))
        for each in ticks:
            tick(cursor, each)
        return grant

    def _read_limits(self, cursor: sqlite3.Cursor) -> Limits:
        """Return all limits, as they are in this transaction."""
        (edition,) = cursor.execute(EDITION).fetchone()
        if edition != self._edition:
            self._limits, self._edition = rules.read(cursor), edition
        return self._limits


def _scopes_of(intent: Intent) -> tuple[str, ...]:
    task = intent.task
    return scopes_of(
        agent=task.agent,
        task_type=task.type,
        user=task.user,
        provider=intent.candidate.provider,
        tool=intent.target if intent.kind == "tool" else None,
    )


def _stored(cursor: sqlite3.Cursor, intent: Intent) -> Stored:
    task = intent.task
    found = cursor.execute(TASK, (f"task:{task.id}", task.id)).fetchone()
    if found is None:
        deadline_at = maybe_micros(task.deadline_at)
        has_slot, calls = False, 0
        cap, spent, held = (None if task.budget is None else task.budget.nano), 0, 0
    else:
        *identity, deadline_at, has_slot, cap, spent, held, calls = found
        require_same(task, identity)
    late = 0 if deadline_at is None else micros(intent.sent_at) - deadline_at
    if late > 0:
        raise _deadline_passed(task, late / 1_000_000)
    own = Above(id=task.id, type=task.type, user=task.user, cap=cap, spent=spent, held=held)
    line = find_line(cursor, task)
    return Stored(
        is_new=found is None, has_slot=bool(has_slot), calls=calls, own=own, line=line
    )  # fmt: skip


def _decide(
    cursor: sqlite3.Cursor,
    intent: Intent,
    standing: Sequence[Standing],
    *,
    task: Stored,
    meters: Meters,
    ticks: Sequence[Ticks],
) -> Grant:
    """Return what is granted; nothing is written.

    Raises:
        Refused: Something does not fit.
    """
    limited = meters.of(standing)
    if standing:
        refuse_circles(cursor, intent, standing, calls=task.calls, depth=len(task.line))
        refuse_over_slots(cursor, intent, standing, opens_task=not task.has_slot)
        refuse_over_rate(cursor, intent, standing, ticks=ticks, meters=limited)
    tasks = (level for each in (task.own, *task.line) if (level := level_of(each)) is not None)
    levels = (*tasks, *(level for meter in limited for level in meter.levels))
    return reserve(intent.bill, levels, candidate=intent.candidate)


def _write(
    cursor: sqlite3.Cursor, intent: Intent, grant: Grant, *, owner: str, task: Stored
) -> None:
    """Open the task, hold the money in its line, and write the intent."""
    if task.is_new:
        insert_task(cursor, intent.task, has_slot=True)
    elif not task.has_slot:
        cursor.execute(OPEN_TASK, (intent.task.id,))
    _insert(cursor, intent, grant, owner=owner)
    lines.hold(cursor, intent.task.id, task.line, reserved=_nano(grant), calls=int(intent.n == 1))


def _nano(grant: Grant) -> int:
    return 0 if grant.reserved is None else grant.reserved.nano


def _insert(cursor: sqlite3.Cursor, intent: Intent, grant: Grant, *, owner: str) -> None:
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
         reserved, grant.output_tokens, intent.price_version, micros(intent.sent_at)),
    )  # fmt: skip


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
