"""How attempts and calls end, as it is booked and written."""

from __future__ import annotations

import msgspec

from callgate.call import Usage
from callgate.money import Money
from callgate.store.actions import ActionEnd
from callgate.store.audited import AttemptState, CallState


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended; its hold is freed and its cost is booked, exactly once."""

    attempt_id: str
    state: AttemptState
    cost: Money | None
    """None books the reservation (or leaves the cost unknown where there was none)."""
    least: Money | None = None
    """What it surely cost, where the whole is unknown: no estimate is below it."""
    estimated: bool
    usage: Usage | None
    ended_at: float
    first_byte_at: float | None = None
    http_status: int | None = None
    error: str | None = None
    """Class and message of the failure, redacted."""
    price_version: str | None = None
    """Of the price that was applied; None leaves that of the intent."""
    service_tier: str | None = None
    """How the reply says that it was served; where it says nothing, whose price was applied."""
    unpriced: str | None = None
    """What it has used that no price tells."""
    model: str | None = None
    reply_id: str | None = None
    finish_reason: str | None = None
    changes: tuple[str, ...] = ()
    is_bad: bool = False
    """Whether the model called the request bad, which the agent may put right once."""
    action: ActionEnd | None = None
    """What became of what it was to do once."""
    call: CallEnd | None = None
    """The call's own outcome, where this attempt ends it; saves a commit."""


class CallEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended, as its audit row tells."""

    call_id: str
    state: CallState
    status: int
    """The HTTP status of the answer."""
    ended_at: float
    code: str | None = None
    """The code of the refusal or failure."""
    message: str | None = None
    """Its sentence, redacted."""
    rule: str | None = None
    ends_task: str | None = None
    """The task to mark as ended with this call, where it existed for this one call only."""
