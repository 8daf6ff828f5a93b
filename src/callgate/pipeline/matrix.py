"""The matrix: what is done about each kind of failure, as data; ``retry`` and ``route`` go by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from callgate.call import Tool
from callgate.errors import (
    BadCredential,
    BadRequest,
    BreakerOpen,
    BrokenReply,
    Failed,
    NoSuchModel,
    OutcomeUnknown,
    OutOfCredit,
    Quarantined,
    RateLimited,
    Reason,
    TimedOut,
    ToolBug,
    Transient,
)


class Strategy(msgspec.Struct, frozen=True, kw_only=True):
    """What is done about one kind of failure."""

    retries: bool = False
    """Whether the same candidate is asked again, after a wait."""
    falls_back: bool = False
    """Whether another candidate may serve: the failure tells of who served, not of the request."""
    counts: bool = False
    """Whether it tells that who served is not well."""
    corrects: bool = False
    """Whether the agent may send a corrected request, once."""


MATRIX: Final[Mapping[type[Failed], Strategy]] = {
    Transient: Strategy(retries=True, falls_back=True, counts=True),
    TimedOut: Strategy(retries=True, falls_back=True, counts=True),
    BreakerOpen: Strategy(retries=True, falls_back=True),
    RateLimited: Strategy(retries=True, falls_back=True),
    BadRequest: Strategy(corrects=True),
    NoSuchModel: Strategy(falls_back=True),
    BadCredential: Strategy(falls_back=True),
    OutOfCredit: Strategy(falls_back=True),
    Quarantined: Strategy(falls_back=True),
    BrokenReply: Strategy(counts=True),
    OutcomeUnknown: Strategy(counts=True),
    ToolBug: Strategy(counts=True),
}
"""By kind of failure. A kind that is not in it is treated as the nearest above it that is.

Source: the mission of this project; the matrix of a tool's failures has the same rows.
"""

UNSURE: Final = (Transient, BrokenReply, ToolBug)
"""Failures after which a tool may have done its work, where they say so."""

NOTHING: Final = Strategy()
"""What is done about a failure of no known kind."""


def strategy_of(failure: Failed) -> Strategy:
    """Return what is done about a failure."""
    for kind in type(failure).__mro__:
        strategy = MATRIX.get(kind)
        if strategy is not None:
            return strategy
    return NOTHING


def judged(failure: Failed, tool: Tool) -> Failed:
    """Return a failure as it is for a tool: what may have happened is not done again."""
    may_be_repeated = tool.is_repeatable or tool.takes_key
    if may_be_repeated or not failure.billed or not isinstance(failure, UNSURE):
        return failure
    fix = "find out whether it has happened before anything is tried again"
    msg = (
        f"nobody knows whether {tool.name} has done its work: {failure.message}; it is not repeated, "
        f"as it is no read and not idempotent; {fix}"
    )
    unknown = OutcomeUnknown(
        msg, billed=True, answer=failure.answer, reason=Reason(code=OutcomeUnknown.code, fix=fix)
    )
    unknown.cost = failure.cost
    return unknown
