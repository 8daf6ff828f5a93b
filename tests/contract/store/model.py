"""What a store should say, worked out from a list of all that happened, as slowly as need be."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from callgate.call import Candidate
from callgate.errors import DeadlinePassed, Looping, OverBudget, OverLimit, Refused, Unpriced
from callgate.money import Money
from callgate.store import ActionEnd, Bill, Grant, Intent
from callgate.store.limits import Limit
from callgate.task import Task
from tests.contract.store.deeds import Deeds

IDLE_SECONDS: Final = 300.0

LENGTHS: Final = {"per_minute": 60_000_000, "per_hour": 3_600_000_000}
WINDOWS: Final = {
    "per_day": "%Y-%m-%d",
    "budget_per_hour": "%Y-%m-%d %H %z",
    "budget_per_day": "%Y-%m-%d",
    "budget_per_month": "%Y-%m",
}
"""What two instants of one window have in common, where one lives."""

Outcome = Grant | type[Refused]


def whole(at: float) -> int:
    """Return an instant in whole microseconds."""
    return round(at * 1_000_000)


@dataclass
class Attempt:
    """An attempt that was let through."""

    intent: Intent
    gate: int
    reserved: int | None
    raised: int | None = None
    """By how many thousandths its bound was multiplied."""
    cost: int | None = None
    state: str = "running"

    @property
    def held(self) -> int:
        return (self.reserved or 0) if self.state == "running" else 0


@dataclass
class Call:
    """A call, from its first attempt on."""

    task: str
    agent: str
    gate: int
    fingerprint: bytes | None
    ended_at: float | None = None


@dataclass
class Model:
    """Tasks, calls, attempts and limits: all that ever happened."""

    zone: str
    tasks: dict[str, Task] = field(default_factory=dict[str, Task])
    known: set[str] = field(default_factory=set[str])
    """Tasks that are stored."""
    open: set[str] = field(default_factory=set[str])
    """Tasks that have not ended."""
    running: set[str] = field(default_factory=set[str])
    """Tasks that have a slot."""
    calls: dict[str, Call] = field(default_factory=dict[str, Call])
    seen: dict[str, float] = field(default_factory=dict[str, float])
    """When a task, or one below it, was last seen to do something."""
    attempts: dict[str, Attempt] = field(default_factory=dict[str, Attempt])
    limits: list[Limit] = field(default_factory=list[Limit])
    raised: dict[Candidate, int] = field(default_factory=dict[Candidate, int])
    """By how many thousandths bounds are multiplied."""
    deeds: Deeds = field(default_factory=Deeds)
    """What is done once."""

    # What is booked where.

    def line(self, task: str) -> list[str]:
        """Return a task and all above it."""
        above = self.tasks[task].parent
        return [task] if above is None else [task, *self.line(above)]

    def spent(self, task: str) -> int:
        return sum(a.cost or 0 for a in self._below(task))

    def held(self, task: str) -> int:
        return sum(attempt.held for attempt in self._below(task))

    def _below(self, task: str) -> list[Attempt]:
        return [a for a in self.attempts.values() if task in self.line(a.intent.task.id)]

    def within(self, scope: str, name: str, at: float) -> list[Attempt]:
        """Return the attempts of a scope in the window of an instant that a limit counts."""
        pattern, zone = WINDOWS[name], ZoneInfo(self.zone)
        told = datetime.fromtimestamp(at, zone).strftime(pattern)
        return [
            attempt
            for attempt in self.attempts.values()
            if scope in scopes(attempt.intent)
            and datetime.fromtimestamp(attempt.intent.sent_at, zone).strftime(pattern) == told
        ]

    # What holds.

    def standing(self, scope: str, now: float) -> dict[str, Limit]:
        """Return the limits of a scope, by name."""
        rows = [row for row in self.limits if row.until is None or row.until > now]
        own = [row for row in rows if row.scope == scope]
        named = any(row.scope == scope and row.source == "file" for row in self.limits)
        if scope.startswith("user:") and not named:
            own = [*own, *(row for row in rows if row.scope == "user:*")]
        # The last one wins: of every user before its own, of the file before an override.
        own.sort(key=lambda row: (row.scope == scope, row.source == "override"))
        return {row.name: row for row in own}

    def admit(self, intent: Intent, gate: int) -> Outcome:
        """Return the grant, or what it is refused with."""
        task = intent.task
        if task.deadline_at is not None and intent.sent_at > task.deadline_at:
            return DeadlinePassed
        refused = self.deeds.refusal(intent)
        if refused is not None:
            return refused
        held_to = [
            (scope, limit)
            for scope in scopes(intent)
            for limit in self.standing(scope, intent.sent_at).values()
        ]
        first = intent.n == 1
        if first and any(self._circles(intent, limit) for _, limit in held_to):
            return Looping
        if any(self._too_many(intent, scope, limit) for scope, limit in held_to):
            return OverLimit
        grant = self._money(intent, held_to)
        if not isinstance(grant, Grant):
            return grant
        self._note(intent, gate, grant)
        return msgspec.structs.replace(grant, idempotency_key=self.deeds.begin(intent))

    def _circles(self, intent: Intent, limit: Limit) -> bool:
        calls = [call for call in self.calls.values() if call.task == intent.task.id]
        alike = [call for call in calls if call.fingerprint == intent.fingerprint is not None]
        used = {
            "max_calls": len(calls),
            "max_repeats": len(alike) if intent.fingerprint is not None else -1,
            "max_depth": len(self.line(intent.task.id)) - 2,
        }
        return used.get(limit.name, -1) >= limit.value

    def _too_many(self, intent: Intent, scope: str, limit: Limit) -> bool:
        counts = intent.n == 1 or scope.startswith("provider:")
        if limit.name == "concurrency":
            return self._slots(intent, scope, limit.value)
        return (
            counts
            and (limit.name == "per_day" or limit.name in LENGTHS)
            and self.used(scope, limit, intent.sent_at) >= limit.value
        )

    def _slots(self, intent: Intent, scope: str, most: int) -> bool:
        takes_one = intent.n == 1 or scope.startswith("provider:")
        if not scope.startswith(("agent:", "provider:")):
            takes_one = intent.task.id not in self.running
        return takes_one and self.in_flight(scope, intent.sent_at) >= most

    def in_flight(self, scope: str, now: float) -> int:
        """Return how many take a slot of a scope."""
        kind, _, name = scope.partition(":")
        if kind == "agent":
            return sum(c.ended_at is None and c.agent == name for c in self.calls.values())
        if kind == "provider":
            running = (a for a in self.attempts.values() if a.state == "running")
            return sum(a.intent.candidate.provider == name for a in running)
        return sum(
            {"gate": "", "type": task.type, "user": task.user}[kind] == name
            and (task.deadline_at is None or task.deadline_at > now)
            for task in map(self.tasks.__getitem__, self.running)
        )

    def used(self, scope: str, limit: Limit, now: float) -> int:
        """Return what counts against a limit at an instant, in calls or nano-dollars."""
        by_attempt = scope.startswith("provider:")
        if limit.name in LENGTHS:
            within = [
                a
                for a in self.attempts.values()
                if scope in scopes(a.intent)
                and whole(now) - whole(a.intent.sent_at) <= LENGTHS[limit.name]
            ]
        else:
            within = self.within(scope, limit.name, now)
        if limit.name in {*LENGTHS, "per_day"}:
            return sum(by_attempt or attempt.intent.n == 1 for attempt in within)
        return sum(attempt.cost or 0 for attempt in within)

    def left(self, intent: Intent, held_to: list[tuple[str, Limit]]) -> list[int]:
        """Return what is left of every budget that an attempt draws from."""
        left = [
            budget.nano - self.spent(task) - self.held(task)
            for task in self.line(intent.task.id)
            if (budget := self.tasks[task].budget) is not None
        ]
        for scope, limit in held_to:
            if limit.name.startswith("budget"):
                within = self.within(scope, limit.name, intent.sent_at)
                booked = sum((a.cost or 0) + a.held for a in within)
                left.append(limit.value - booked)
        return left

    def _money(self, intent: Intent, held_to: list[tuple[str, Limit]]) -> Outcome:
        left = self.left(intent, held_to)
        bill = intent.bill
        if bill is None:
            return Unpriced if left else Grant(reserved=None, output_tokens=None)
        by = self.raised.get(intent.candidate)
        for tokens in range(bill.output_tokens, bill.least_output_tokens - 1, -1):
            needed = raised_nano(bill, tokens, by or 1_000)
            if all(needed <= max(0, each) for each in left):
                return Grant(reserved=Money(needed), output_tokens=tokens, raised_thousandths=by)
        return OverBudget

    # What happens.

    def _note(self, intent: Intent, gate: int, grant: Grant) -> None:
        task = intent.task.id
        self._see(task, intent.sent_at)
        for those in (self.known, self.open, self.running):
            those.add(task)
        if intent.n == 1:
            self.calls[intent.call_id] = Call(task, intent.task.agent, gate, intent.fingerprint)
        reserved = None if grant.reserved is None else grant.reserved.nano
        attempt = Attempt(intent, gate, reserved, grant.raised_thousandths)
        self.attempts[intent.attempt_id] = attempt

    def settle(
        self, id: str, cost: int | None, *, at: float, ends: bool, action: ActionEnd | None = None
    ) -> None:
        """Book an attempt, and end its call if that has an end."""
        attempt = self.attempts[id]
        if attempt.state == "ended":
            return
        if action is not None:
            self.deeds.end(id, action.state)
        self._see(attempt.intent.task.id, at)
        attempt.cost, attempt.state = attempt.reserved if cost is None else cost, "ended"
        if cost is not None and attempt.reserved and cost > attempt.reserved:
            candidate = attempt.intent.candidate
            needed = -(-cost * (attempt.raised or 1_000) // attempt.reserved)
            self.raised[candidate] = max(needed, self.raised.get(candidate, 0))
        call = self.calls[attempt.intent.call_id]
        if ends:
            call.ended_at = at

    def refuse(self, task: str, at: float) -> None:
        """Record a call that was refused, and its task."""
        if task not in self.known:
            self.known.add(task)
            self.open.add(task)
        self.seen[task] = at

    def end(self, task: str) -> None:
        """End a task."""
        self.open.discard(task)
        self.running.discard(task)

    def kill(self, gate: int, now: float) -> None:
        """Book what a gate had under way at its death."""
        for attempt in self.attempts.values():
            if attempt.gate == gate and attempt.state == "running":
                self._see(attempt.intent.task.id, now)
                attempt.cost, attempt.state = attempt.reserved, "abandoned"
                self.deeds.end(attempt.intent.attempt_id, "unknown")
        for call in self.calls.values():
            if call.gate == gate and call.ended_at is None:
                call.ended_at = now

    def reap(self, now: float) -> None:
        """End what time has ended, as one heartbeat does."""
        for task in [self.tasks[id] for id in self.open]:
            if task.deadline_at is not None and task.deadline_at < now:
                self.end(task.id)
        waits = {self.tasks[id].parent for id in self.open}
        for id in [id for id in self.open if id not in waits and self._is_idle(id, now)]:
            self.end(id)

    def _is_idle(self, task: str, now: float) -> bool:
        runs = any(call.task == task and call.ended_at is None for call in self.calls.values())
        seen = max(self.seen.get(task, 0.0), self.tasks[task].started_at)
        return not runs and seen <= now - IDLE_SECONDS

    def _see(self, task: str, at: float) -> None:
        for each in self.line(task):
            self.seen[each] = at


def raised_nano(bill: Bill, tokens: int, by: int) -> int:
    """Return what is held for a bill whose rates are multiplied by thousandths, each rounded up."""
    given, each = (-(-femto * by // 1_000) for femto in (bill.input_femto, bill.output_femto))
    return -(-(given + each * bill.choices * tokens) // 1_000_000)


def scopes(intent: Intent) -> list[str]:
    """Return every scope of an attempt."""
    task = intent.task
    known = ["gate", f"agent:{task.agent}", f"type:{task.type}"]
    known.append(f"provider:{intent.candidate.provider}")
    return known if task.user is None else [*known, f"user:{task.user}"]
