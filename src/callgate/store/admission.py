"""Admission: everything that an attempt needs, held in one transaction together with its intent.

Reads first, decides, and only then writes: a refusal leaves nothing behind, except that a window
which a limit needed has begun.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from callgate.errors import DeadlinePassed, Reason, Refused, StoreDown
from callgate.money import Money
from callgate.store import (
    ActionEnd,
    CallEnd,
    Grant,
    Intent,
    Settlement,
    acted,
    corrections,
    meters,
    rulebook,
    tokens,
    writes,
)
from callgate.store.circles import refuse_circles
from callgate.store.lines import Above, find_line, level_of
from callgate.store.meters import NOTHING, Sums
from callgate.store.overruns import reserve_raised
from callgate.store.rates import Ticks, read_ticks, refuse_over_rate, tick
from callgate.store.reservation import Level, reserve
from callgate.store.rows import maybe_micros, micros
from callgate.store.rulebook import Rulebook, Terms
from callgate.store.slots import refuse_over_slots
from callgate.store.sql import Cursor
from callgate.store.tasks import OPEN_TASK, insert_task, require_same
from callgate.store.transaction import Kept
from callgate.task import Task

FIND: Final = """
    SELECT s.edition, t.id, t.type, t.agent, t.user, t.parent, t.deadline_at, t.has_slot,
        l.cap_nano, l.spent_nano, l.held_nano, l.calls, k.times
    FROM limits_state s LEFT JOIN tasks t ON t.id = ?
    LEFT JOIN ledger l ON l.scope = ? AND l."window" = 'all'
    LEFT JOIN corrections k ON k.task_id = t.id AND k.target = ?
"""
"""A task, if it is stored, with what it has to put right of a model, and the edition of the rulebook
in any case."""

HOLD: Final = """
    UPDATE ledger SET held_nano = held_nano + ?, calls = calls + ?, last_at = ?
    WHERE scope = ? AND "window" = ?
"""

INSERT_CALL: Final = """
    INSERT INTO calls (id, owner, task_id, task_type, agent, "user", door, kind, target, stream,
        state, started_at, request_bytes, fingerprint, client_retry, input)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'running', ?, ?, ?, ?, ?)
"""

# One that names no call is no attempt: its column takes no NULL.
INSERT_ATTEMPT: Final = """
    INSERT INTO attempts (id, call_seq, task_id, n, provider, model, state, reserved_nano,
        output_tokens_limit, price_version, sent_at, counted_tokens, raised_thousandths, changes)
    VALUES (?, (SELECT seq FROM calls WHERE id = ?), ?, ?, ?, ?, 'running', ?, ?, ?, ?, ?, ?, ?)
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


class Found(msgspec.Struct, frozen=True):
    """How everything stands that an attempt is held to, as the transaction sees it."""

    task: Stored
    terms: Terms
    sums: Sequence[Sums | None]
    """What the meters of its places say."""
    ticks: Sequence[Ticks]

    def levels(self) -> Iterable[Level]:
        """Return every budget that the attempt draws from."""
        for task in (self.task.own, *self.task.line):
            level = level_of(task)
            if level is not None:
                yield level
        for metered in self.terms.metered:
            spent, held, _ = self.sums[metered.place] or NOTHING
            for budget in metered.budgets:
                yield Level(budget.cap, spent, held, budget.itself)


class Admission:
    """Admits attempts for one gate; its calls are operations of the writer and nothing else.

    Args:
        owner: The gate that will settle what is admitted.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._rulebook = Rulebook((), ())
        self._edition: int | None = None

    def __call__(self, cursor: Cursor, intent: Intent, /) -> Grant:
        """Hold all that an attempt needs and write its intent."""
        given = (intent.task.id, f"task:{intent.task.id}", intent.target)
        edition, *stored, uncorrected = cursor.execute(FIND, given).fetchone()
        task = _stored(cursor, intent, stored)
        planned = intent.action
        turn = None if planned is None else acted.find_turn(cursor, intent, planned)
        if uncorrected is not None:
            corrections.refuse_uncorrected(cursor, intent)
        if edition != self._edition:
            self._read(cursor, edition)
        terms = self._rulebook.terms(intent)
        has_begun = bool(terms.missing)
        if has_begun:
            meters.begin(cursor, terms.missing)
            self._read(cursor, None)
            terms = self._rulebook.terms(intent)
        try:
            grant = self._admit(cursor, intent, task, terms)
        except Refused as refused:
            if has_begun:
                raise Kept(refused) from refused
            raise
        if planned is None or turn is None:
            return grant
        key = acted.begin(cursor, intent, planned, turn)
        return msgspec.structs.replace(grant, idempotency_key=key)

    def stands(self, cursor: Cursor, intent: Intent, /) -> bool:
        """Return whether an attempt was admitted."""
        found = cursor.execute("SELECT 1 FROM attempts WHERE id = ?", (intent.attempt_id,))
        return found.fetchone() is not None

    def take_back(self, cursor: Cursor, intent: Intent, /) -> None:
        """Settle an attempt that never left, as nobody heard that it was admitted."""
        if self.stands(cursor, intent):
            writes.settle(cursor, _unheard(intent))

    def _read(self, cursor: Cursor, edition: int | None) -> None:
        # Without an edition: the transaction that changes it may yet be rolled back.
        self._rulebook, self._edition = rulebook.read(cursor), edition

    def _admit(self, cursor: Cursor, intent: Intent, task: Stored, terms: Terms) -> Grant:
        found = Found(
            task,
            terms,
            meters.read(cursor, terms.places),
            read_ticks(cursor, intent, terms.rated),
        )
        raised = self._rulebook.raised_thousandths(intent)
        grant = _decide(cursor, intent, found, raised=raised)
        _open_task(cursor, intent.task, task)
        counted = intent.tokens if terms.tokens else None
        _insert(cursor, intent, grant, owner=self._owner, counted=counted)
        _hold(cursor, intent, found, reserved=0 if grant.reserved is None else grant.reserved.nano)
        return grant


def _stored(cursor: Cursor, intent: Intent, found: Sequence[Any]) -> Stored:
    task = intent.task
    id, *identity, parent, deadline_at, has_slot, cap, spent, held, calls = found
    if id is None:
        parent = task.parent
        deadline_at = maybe_micros(task.deadline_at)
        has_slot, calls = False, 0
        cap, spent, held = (None if task.budget is None else task.budget.nano), 0, 0
    else:
        require_same(task, identity)
    late = 0 if deadline_at is None else micros(intent.sent_at) - deadline_at
    if late > 0:
        raise _deadline_passed(task, late / 1_000_000)
    own = Above(task.id, task.type, task.user, cap, spent, held)
    return Stored(id is None, bool(has_slot), calls, own, find_line(cursor, task, parent))


def _decide(cursor: Cursor, intent: Intent, found: Found, *, raised: int | None) -> Grant:
    """Return what is granted; nothing is written.

    Raises:
        Refused: Something does not fit.
    """
    task, terms = found.task, found.terms
    if terms.circles:
        refuse_circles(cursor, intent, terms.circles, calls=task.calls, depth=len(task.line))
    if terms.slots:
        refuse_over_slots(cursor, intent, terms.slots, opens_task=not task.has_slot)
    refuse_over_rate(intent, terms, found.ticks, found.sums)
    if terms.tokens:
        tokens.refuse_over_tokens(cursor, intent, terms.tokens)
    levels = tuple(found.levels())
    if raised is None:
        return reserve(intent.bill, levels, candidate=intent.candidate)
    return reserve_raised(intent, levels, thousandths=raised)


def _open_task(cursor: Cursor, task: Task, stored: Stored) -> None:
    if stored.is_new:
        insert_task(cursor, task, has_slot=True)
    elif not stored.has_slot:
        cursor.execute(OPEN_TASK, (task.id,))


def _hold(cursor: Cursor, intent: Intent, found: Found, *, reserved: int) -> None:
    """Hold the money and count the call, of its task and those above it and in every meter."""
    task, terms = found.task, found.terms
    if None in found.sums:
        meters.insert_missing(cursor, terms.places, found.sums)
    first, now = int(intent.n == 1), micros(intent.sent_at)
    cursor.execute(HOLD, (reserved, first, now, f"task:{task.own.id}", "all"))
    others = [(reserved, 0, now, f"task:{above.id}", "all") for above in task.line]
    others += [
        (reserved, 1 if place.counts_attempts else first, now, place.scope, place.window.key)
        for place in terms.places
    ]
    if others:
        cursor.executemany(HOLD, others)
    for ticks in found.ticks:
        tick(cursor, ticks, now)
    for each in terms.tokens:
        tokens.count(cursor, each.scope, now, intent.tokens)


def _insert(
    cursor: Cursor, intent: Intent, grant: Grant, *, owner: str, counted: int | None
) -> None:
    task, candidate = intent.task, intent.candidate
    if intent.n == 1:
        cursor.execute(
            INSERT_CALL,
            (intent.call_id, owner, task.id, task.type, task.agent, task.user, intent.door,
             intent.kind, intent.target, int(intent.stream), micros(intent.started_at),
             intent.request_bytes, intent.fingerprint, intent.client_retry, intent.input),
        )  # fmt: skip
    reserved = None if grant.reserved is None else grant.reserved.nano
    cursor.execute(
        INSERT_ATTEMPT,
        (intent.attempt_id, intent.call_id, task.id, intent.n, candidate.provider, candidate.model,
         reserved, grant.output_tokens, intent.price_version, micros(intent.sent_at), counted,
         grant.raised_thousandths, writes.text_of(intent.changes)),
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


def _unheard(intent: Intent) -> Settlement:
    """Return the end of an attempt whose caller was told that the store is down."""
    message = "the store was lost before it said that the attempt was admitted, so it never left"
    end = CallEnd(
        call_id=intent.call_id,
        state="refused",
        status=StoreDown.status,
        ended_at=intent.sent_at,
        code=StoreDown.code,
        message=message,
    )
    return Settlement(
        attempt_id=intent.attempt_id,
        state="failed",
        cost=Money(),
        estimated=False,
        usage=None,
        ended_at=intent.sent_at,
        error=message,
        action=ActionEnd(state="not_done"),
        call=end,
    )
