"""What the ledger tells people: what was spent, is held and is left, and whether it adds up."""

from __future__ import annotations

from typing import Literal

import msgspec

from callgate.call import Usage
from callgate.money import Money
from callgate.store.limits import Limit
from callgate.store.owners import GateIdentity

Grouping = Literal["type", "model", "tool", "user", "agent", "provider", "day"]
"""What spending is told apart by."""

CallKind = Literal["model", "tool"]


class LimitRow(msgspec.Struct, frozen=True, kw_only=True):
    """A limit, as listings show it."""

    limit: Limit
    holds: bool
    """False for a line of the file that an override stands before, and for one that has ended."""
    used: int | None = None
    """Calls or nano-dollars that count against it now; None where it holds for each task."""
    held: int = 0
    """Nano-dollars that running attempts hold besides."""
    user: str | None = None
    """Whose use that is, where it holds for every user: of the one who has used most."""
    resets_at: float | None = None
    """When its window ends, seconds since 1970; None where it has none that does."""


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """What one task type, model, user ... has spent in a time; shares no attempt with another."""

    name: str | None
    """None where the attempts name none, such as those of a task without a user."""
    tasks: int
    calls: int
    input_tokens: int
    output_tokens: int
    cost: Money
    """As far as it is known, estimates too."""
    estimated: Money
    """The part of it that is an estimate."""
    unknown_costs: int
    """Attempts whose cost nobody knows; they are in no sum."""
    held: Money
    """What attempts that run may cost at most, besides."""
    p50: Money | None
    """What half of the tasks cost at most, of those whose cost is known; as are the next two."""
    p95: Money | None
    most: Money | None


BookedKind = Literal["known", "estimated", "unknown", "free", "running"]
"""How attempts stand: their cost is known, is what was held, is unknown or is nothing, as they were
not served; or they run."""


class Booked(msgspec.Struct, frozen=True, kw_only=True):
    """What the attempts of one window, model and kind add up to; shares none with another."""

    window: str
    """The name of the window."""
    provider: str
    model: str
    """What was asked for."""
    answered_by: str | None
    """The model that says it answered."""
    service_tier: str | None
    kind: BookedKind
    attempts: int
    cost: Money
    """What is spent; nothing for those that run, or whose cost is unknown."""
    reserved: Money
    """What was held for them, as far as it had a bound."""
    usage: Usage
    """As far as it was told."""


class Bounded(msgspec.Struct, frozen=True, kw_only=True):
    """What attempts of one task type at one model held and cost; shares none with another.

    Only those that were served, and whose cost is known.
    """

    task_type: str
    model: str
    """``provider:model``."""
    attempts: int
    counted: int
    """How many of them held a count instead of a proven bound."""
    passed: int
    """How many of them cost more than was held."""
    reserved: Money
    cost: Money
    request_bytes: int
    """What their requests took, images too."""
    input_tokens: int
    """What those turned out to have."""
    most_input_tokens: int
    """Of one attempt; as are the next three."""
    p50_output_tokens: int
    p95_output_tokens: int
    most_output_tokens: int
    output_tokens_limit: int
    """The highest that was held for."""


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that runs, and who will settle it."""

    attempt_id: str
    call_id: str
    task_id: str
    model: str
    """``provider:model``."""
    reserved: Money | None
    sent_at: float
    owner: GateIdentity | None
    """The gate that runs it; None where it is on the list no more."""
    owner_lives: bool


class Imbalance(msgspec.Struct, frozen=True, kw_only=True):
    """A scope whose ledger is not what its attempts add up to; there must never be one."""

    scope: str
    window: str
    spent: Money
    held: Money
    calls: int
    """Counted calls or attempts."""
    attempts_spent: Money
    attempts_held: Money
    attempts_calls: int


class GateRow(msgspec.Struct, frozen=True, kw_only=True):
    """One running gate process that uses this store: the owner of its attempts."""

    id: str
    host: str
    place: str | None
    """Where its pid means something; see :class:`callgate.store.GateIdentity`."""
    pid: int
    pid_started: str | None
    url: str | None
    """Where it can be reached; None for one that serves its own process only."""
    started_at: float
    beat_at: float
    reloaded_at: float | None = None
    reload_error: str | None = None
    """What was wrong with the settings at the last reload; None if it went well."""
