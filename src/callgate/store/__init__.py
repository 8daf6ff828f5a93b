"""The store: what must survive a restart. The protocol here, one file for each database.

Writes are submitted at once, when the method is called, and return a future that is done when
they are durable: an await that is cancelled never takes a write back. Reads are plain calls of
a few microseconds and see every write whose future is done.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from typing import Protocol

import msgspec

from callgate.call import Caller, Candidate, Claims
from callgate.clock import Clock
from callgate.money import Money
from callgate.store.accounts import Booked as Booked
from callgate.store.accounts import BookedKind as BookedKind
from callgate.store.accounts import Bounded as Bounded
from callgate.store.accounts import CallKind as CallKind
from callgate.store.accounts import GateRow as GateRow
from callgate.store.accounts import Grouping as Grouping
from callgate.store.accounts import Hold as Hold
from callgate.store.accounts import Imbalance as Imbalance
from callgate.store.accounts import LimitRow as LimitRow
from callgate.store.accounts import Spending as Spending
from callgate.store.actions import Action as Action
from callgate.store.actions import ActionEnd as ActionEnd
from callgate.store.actions import Actions
from callgate.store.actions import ActionState as ActionState
from callgate.store.actions import Decision as Decision
from callgate.store.actions import LookUp as LookUp
from callgate.store.actions import Planned as Planned
from callgate.store.audited import AttemptRow as AttemptRow
from callgate.store.audited import AttemptState as AttemptState
from callgate.store.audited import CallRow as CallRow
from callgate.store.audited import CallState as CallState
from callgate.store.audited import TaskRow as TaskRow
from callgate.store.balances import Balance as Balance
from callgate.store.balances import Balances
from callgate.store.balances import BalanceSource as BalanceSource
from callgate.store.blocks import Block as Block
from callgate.store.blocks import Blocks
from callgate.store.blocks import Probe as Probe
from callgate.store.calendar import Window
from callgate.store.jobs import Job as Job
from callgate.store.jobs import Jobs
from callgate.store.jobs import Outlived as Outlived
from callgate.store.limits import Limit
from callgate.store.owners import GateIdentity as GateIdentity
from callgate.store.pins import Definition as Definition
from callgate.store.pins import Pinned as Pinned
from callgate.store.pins import Pins
from callgate.store.pins import Sight as Sight
from callgate.store.priced import FirstPrice as FirstPrice
from callgate.store.priced import NotedPrice as NotedPrice
from callgate.store.priced import PastAttempt as PastAttempt
from callgate.store.priced import Priced
from callgate.store.priced import Repricing as Repricing
from callgate.store.replies import MadeReply as MadeReply
from callgate.store.replies import Replies
from callgate.store.settling import CallEnd as CallEnd
from callgate.store.settling import Settlement as Settlement
from callgate.store.watched import Alert as Alert
from callgate.store.watched import AlertKind as AlertKind
from callgate.store.watched import BudgetRow as BudgetRow
from callgate.store.watched import Overrun as Overrun
from callgate.store.watched import Performance as Performance
from callgate.store.watched import Raised as Raised
from callgate.store.watched import Watched
from callgate.task import Task


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """The most that an attempt can cost, in the parts that admission decides on."""

    input_femto: int
    """The whole input at its dearest rate, in femto-dollars."""
    output_femto: int
    """One output token at its dearest rate, in femto-dollars."""
    choices: int = 1
    """How many outputs the request asks for; the output limit holds for each."""
    output_tokens: int
    """The output limit wanted, in tokens for each choice."""
    least_output_tokens: int
    """The lowest limit that is still worth sending; equal to ``output_tokens`` where the
    request named its limit, which is never lowered."""

    def femto(self, output_tokens: int) -> int:
        """Return the bound in femto-dollars with an output limit of ``output_tokens``."""
        return self.input_femto + self.output_femto * self.choices * output_tokens


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that must be durable before an attempt leaves."""

    task: Task
    """Written if it is new; opened again if it had ended."""
    call_id: str
    attempt_id: str
    n: int
    door: str
    kind: str = "model"
    target: str
    """The name that the agent asked for."""
    stream: bool
    candidate: Candidate
    bill: Bill | None
    """None where the cost has no known bound: then a task with a budget refuses."""
    price_version: str | None
    request_bytes: int
    started_at: float
    """When the call came in, seconds since 1970."""
    sent_at: float
    """When this attempt was made, seconds since 1970."""
    windows: tuple[Window, ...]
    """The hour, the day and the month of that instant, where the gate is."""
    tokens: int = 0
    """How many it is expected to take, where tokens are limited."""
    fingerprint: bytes | None = None
    """A digest of what the request asks, the same for the same request; None takes no part in
    ``max_repeats``."""
    client_retry: int = 0
    """How often its client had sent the same before, where an earlier one was admitted."""
    changes: tuple[str, ...] = ()
    """What the attempt's row says of it from the first on; its settlement says it again."""
    input: str | None = None
    """What the call asks for, as its row may keep it; None keeps nothing."""
    action: Planned | None = None
    """What it is about to do, where that is to be done once."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What was admitted."""

    reserved: Money | None
    output_tokens: int | None
    """The output limit that the reservation pays for; None without a bill."""
    raised_thousandths: int | None = None
    """By how many the bill was multiplied, as an earlier one of its model was above its reservation;
    None where none was."""
    idempotency_key: str | None = None
    """By which its tool knows what it does; None where it does nothing that happens once."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A call that ended before any attempt was admitted: the whole audit row at once."""

    end: CallEnd
    caller: Caller
    claims: Claims
    """What tells of its task where there is none."""
    task: Task | None
    """Written if it is new, never opened again; None where the call was refused before it had
    one."""
    door: str
    kind: str = "model"
    target: str | None
    stream: bool
    request_bytes: int
    client_retry: int = 0
    started_at: float
    input: str | None = None
    """What it asked for, as its row may keep it; None keeps nothing."""


class Resent(msgspec.Struct, frozen=True, kw_only=True):
    """A request of which a client says that it has sent it before."""

    agent: str
    user: str | None
    task_type: str | None
    task_id: str | None
    """None where the request names no task: then it was one of its own."""
    fingerprint: bytes
    since: float
    """How far back the earlier one may lie, seconds since 1970."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key that opens a door, without the key itself."""

    id: str
    digest: bytes
    """SHA-256 of the key; the key itself is never stored."""
    agent: str
    task_id: str | None = None
    label: str = ""
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None


class Store(Watched, Priced, Blocks, Replies, Jobs, Balances, Pins, Actions, Protocol):
    """Ledger, audit log, tasks, keys and alerts in one database."""

    @property
    def clock(self) -> Clock:
        """The time that every gate of this store goes by."""
        ...

    def admit(self, intent: Intent, /) -> Future[Grant]:
        """Hold the money and write the attempt's intent, in one transaction, or do neither.

        Raises (through the future):
            OverBudget: ``spent + held + bill > budget`` even at the lowest output limit.
            Unpriced: The task has a budget and the intent has no bill.
            OverLimit: Too many calls in a window, or too many at once.
            Looping: Too many calls of the task, the same call too often, or too deep a task.
            DeadlinePassed: The task's deadline is over.
            AlreadyDone: What is to be done once is done.
            StillRunning: It is being done just now.
            StillUnknown: It may have been done.
            Malformed: The task exists and belongs to another agent, user or type
                (``task_mismatch``), its user has no such parent (``parent_mismatch``), or the bill
                is beyond reason.
            StoreDown: Nothing could be written.
        """
        ...

    def settle(self, settlement: Settlement, /) -> Future[Overrun | None]:
        """Free the hold, book the cost and write the outcome; a second time does nothing.

        An attempt that was given up for dead, and so booked at its reservation, is corrected. A cost
        above the reservation raises an alert, and the bound of its model from then on.
        """
        ...

    def end_call(self, end: CallEnd, /) -> Future[None]:
        """Write the outcome of a call whose attempts are all settled."""
        ...

    def refuse(self, refusal: Refusal, /) -> Future[None]:
        """Write the audit row of a call that never had an attempt, and its task if it is new.

        A call that names the task of another agent is no call of that task.
        """
        ...

    def create_task(self, task: Task, /) -> Future[Task]:
        """Write a task; return the stored one if it exists.

        Raises (through the future):
            Malformed: It is somebody else's, or its user has no such parent.
            Looping: Too many tasks stand above it.
        """
        ...

    def end_task(self, task_id: str, ended_at: float, /) -> Future[None]:
        """Mark a task as ended."""
        ...

    def create_key(self, key: Key, /) -> Future[None]:
        """Write a key."""
        ...

    def revoke_key(self, key_id: str, revoked_at: float, /) -> Future[bool]:
        """Revoke a key; return False if there is none of that id."""
        ...

    def load_limits(self, limits: Sequence[Limit], revision: int, /) -> Future[bool]:
        """Let the limits of a settings file hold; False if those of a newer file do already.

        Args:
            limits: All limits of the file.
            revision: The larger, the newer; the file's own time of change in nanoseconds.
        """
        ...

    def override(self, limit: Limit, /) -> Future[None]:
        """Let an override hold, instead of the one that the scope had and of the file's."""
        ...

    def lift(self, scope: str, name: str, /) -> Future[bool]:
        """Take an override back; return False if there is none."""
        ...

    def raise_budget(self, task_id: str, budget: Money | None, /) -> Future[bool]:
        """Set a task's own budget; None takes the limit away. Return False for an unknown task."""
        ...

    def unblock_task(self, task_id: str, /) -> Future[bool]:
        """Forget what a task has to put right; return False if that is nothing."""
        ...

    def limits(self, windows: Sequence[Window] = (), /) -> Sequence[LimitRow]:
        """Return every limit with what is used of it now.

        Args:
            windows: The hour, the day and the month of now; without them nothing used is told.
        """
        ...

    def spending(
        self,
        by: Grouping | None,
        /,
        *,
        since: float,
        until: float,
        days: Sequence[Window] = (),
        kind: CallKind | None = None,
    ) -> Sequence[Spending]:
        """Return what was spent, the most first; by day, the first first.

        Args:
            by: What it is told apart by; None for all of it together.
            since: The first instant, seconds since 1970.
            until: The first instant that is not in it any more.
            days: The days between them, needed where it is told by day.
            kind: Calls of this kind only; None for all.
        """
        ...

    def booked(self, windows: Sequence[Window], /, *, providers: Sequence[str]) -> Sequence[Booked]:
        """Return what the attempts of some windows add up to, by model and by how they stand.

        Args:
            windows: Which share no instant, each with a name of its own.
            providers: Whose attempts.
        """
        ...

    def bounded(self, *, since: float, until: float) -> Sequence[Bounded]:
        """Return how bounds fitted by task type and model, first where most was held for nothing.

        Args:
            since: The first instant, seconds since 1970.
            until: The first instant that is not in it any more.
        """
        ...

    def spent_since(self, scope: str, instants: Sequence[float], /) -> Sequence[Money]:
        """Return what the attempts of a scope have cost since each of some instants."""
        ...

    def first_sent_at(self) -> float | None:
        """Return when the first attempt of all left; None where none has."""
        ...

    def users(self) -> Sequence[str]:
        """Return every user that a task was for."""
        ...

    def holds(self) -> Sequence[Hold]:
        """Return the attempts that run, the oldest first."""
        ...

    def set_url(self, url: str, /) -> Future[None]:
        """Note where this process can be reached, once its server listens."""
        ...

    def set_reload(self, reloaded_at: float, error: str | None, /) -> Future[None]:
        """Note how this process's last reload of the settings went."""
        ...

    def find_key(self, digest: bytes, /) -> Key | None:
        """Return the key with this SHA-256, revoked or expired ones too."""
        ...

    def keys(self) -> Sequence[Key]:
        """Return all keys, newest first."""
        ...

    def find_task(self, task_id: str, /) -> Task | None:
        """Return a task."""
        ...

    def count_retries(self, task_id: str, /) -> int:
        """Return how often something was tried again for a task, by the gate or by its client."""
        ...

    def find_earlier(self, resent: Resent, /) -> str | None:
        """Return the task of an earlier call that a client sends again; None where there is none."""
        ...

    def task_row(self, task_id: str, /) -> TaskRow | None:
        """Return a task with its ledger."""
        ...

    def tasks(self, *, limit: int = 50, agent: str | None = None) -> Sequence[TaskRow]:
        """Return tasks, newest first."""
        ...

    def calls(
        self, *, task_id: str | None = None, limit: int | None = 50, state: CallState | None = None
    ) -> Sequence[CallRow]:
        """Return calls with their attempts, newest first."""
        ...

    def find_call(self, call_id: str, /) -> CallRow | None:
        """Return one call with its attempts."""
        ...

    def gates(self) -> Sequence[GateRow]:
        """Return the gate processes whose heartbeat is at most 20 seconds old."""
        ...

    def verify(self) -> Sequence[Imbalance]:
        """Return every scope whose ledger is not what its attempts add up to."""
        ...

    async def close(self) -> None:
        """Finish what was submitted, book what still runs as unknown, and close."""
        ...
