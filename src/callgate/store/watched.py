"""What is watched: alerts, budgets as they stand, and bounds that were too low."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from callgate.call import Candidate
from callgate.money import Money
from callgate.store.calendar import Window

AlertKind = Literal[
    "share", "run_out", "burn", "low_balance", "overrun", "effect_unknown", "breaker", "credential",
    "model", "missing", "credit", "tool",
]  # fmt: skip
"""``share``: of a budget, so much is spent; ``run_out``: it is soon; ``burn``: at this rate it is
before its month ends; ``low_balance``: an account that is paid in advance has too little left;
``overrun``: a bill was above its reservation; ``effect_unknown``: nobody knows whether a tool has done
what it was asked for; ``tool``: one is not what was accepted; the others: who is not asked
for now, and why, as :data:`callgate.store.blocks.BlockKind` has it."""

Severity = Literal["info", "warning", "critical"]

Facts = Mapping[str, str | int | None]
"""What a sentence tells, for machines, in the names of every listing: ``spent_nano_usd``."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Something that somebody should know, from when it began until it is over."""

    id: str
    fingerprint: str
    """What it is about: while one is open, there is no second."""
    kind: AlertKind
    severity: Severity
    scope: str
    """Whom it concerns, as limits name it, or ``task:`` or ``model:`` and a name; of who is not asked,
    ``provider:`` or ``model:`` and its name."""
    rule: str | None
    """The setting that drew the line."""
    message: str
    facts: Facts
    raised_at: float
    resolved_at: float | None = None
    """When it was over; None while it is open."""
    change: int = 0
    """The number of its last change of state, as the store gave it: raised or resolved."""


class BudgetRow(msgspec.Struct, frozen=True, kw_only=True):
    """A budget that holds, and how it stands."""

    scope: str
    """Whose it is: of a budget of every user, the user's."""
    rule: str
    cap: Money
    spent: Money
    held: Money
    window: Window | None
    """None for a task's own budget, which lasts as long as the task."""
    is_everyones: bool = False
    """Whether it is a user's because every user has such a one."""


class Overrun(msgspec.Struct, frozen=True, kw_only=True):
    """A bill that was above its reservation."""

    attempt_id: str
    candidate: Candidate
    billed: Money
    reserved: Money
    thousandths: int | None
    """By how many its model's bound is multiplied from then on; None where nothing was held."""
    told: str
    """All of it in a sentence, with what to do."""


class Raised(msgspec.Struct, frozen=True, kw_only=True):
    """What is held of a model besides its bound, as a bill was above it."""

    candidate: Candidate
    thousandths: int
    """By how many it is multiplied."""
    counted: bool = False
    """Whether only counts are, and proven bounds stay as they are."""


class Performance(msgspec.Struct, frozen=True, kw_only=True):
    """What a candidate's latest attempts came to."""

    attempts: int
    failures: int
    """Those of them that failed by who served, and not by what was asked."""
    first_content_seconds: float | None
    """How long the first content took in half of those that had any; None where none had."""

    @property
    def success_rate(self) -> float:
        """The share of good ones, drawn towards a half where there are few.

        Source: Laplace's rule of succession.
        """
        return (self.attempts - self.failures + 1) / (self.attempts + 2)


class Watched(Protocol):
    """The part of the store that alerts stand on."""

    def alerts(self, *, limit: int | None = 50, only_open: bool = False) -> Sequence[Alert]:
        """Return alerts, newest first."""
        ...

    def alerts_since(self, change: int, /, *, limit: int) -> Sequence[Alert]:
        """Return the alerts that were raised or resolved since a change of one, in that order.

        Whoever delivers them keeps the ``change`` of the last one, and goes on from there.

        Args:
            change: That number; 0 to begin with.
            limit: How many at most.
        """
        ...

    def raise_alerts(self, alerts: Sequence[Alert], /) -> Future[Sequence[Alert]]:
        """Raise alerts, and return those that are new: one that is open gets new words and facts."""
        ...

    def resolve_alerts(
        self, fingerprints: Sequence[str], resolved_at: float, /
    ) -> Future[Sequence[Alert]]:
        """Mark what is open of these as over, and return it."""
        ...

    def open_alerts(self) -> Future[Sequence[Alert]]:
        """Return every alert that is open, newest first; as many as they are, the loop goes on."""
        ...

    def budgets(
        self, windows: Sequence[Window], /, *, least_share: float
    ) -> Future[Sequence[BudgetRow]]:
        """Return every budget that holds and was spent from; meanwhile the event loop goes on.

        Of each user without a budget of its own, and of each open task, only one of which a share
        is spent.

        Args:
            windows: The hour, the day and the month of now.
            least_share: That share, 0 to 1.
        """
        ...

    def spent_by_scope(
        self, kind: str, instants: Sequence[float], /
    ) -> Future[Mapping[str, Sequence[Money]]]:
        """Return what the attempts of every scope of a kind have cost since each of some instants.

        That may take long, and the event loop goes on.
        """
        ...

    def performance(self, since: float, /) -> Future[Mapping[Candidate, Performance]]:
        """Return how each candidate has done since an instant; meanwhile the event loop goes on."""
        ...

    def overruns(self) -> Sequence[Raised]:
        """Return which bounds and counts are multiplied, as a bill was above them, by model."""
        ...

    def forget_overrun(self, candidate: Candidate, now: float, /) -> Future[bool]:
        """Let a model's own bound hold again; return False if it did."""
        ...
