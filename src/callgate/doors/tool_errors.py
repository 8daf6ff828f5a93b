"""What an agent is told where a call to a tool did not succeed, the same at every door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, Final

import msgspec

from callgate.call import Earlier, ToolResult
from callgate.clock import rfc3339
from callgate.errors import (
    BadCredential,
    BadRequest,
    BreakerOpen,
    BrokenReply,
    CallgateError,
    Denied,
    Failed,
    InvalidArguments,
    NoSuchModel,
    OutcomeUnknown,
    OutOfCredit,
    OverBudget,
    OverLimit,
    Quarantined,
    RateLimited,
    Reason,
    Refused,
    StillRunning,
    StillUnknown,
    TimedOut,
    ToolBug,
    ToolChanged,
    Transient,
    Unknown,
    Unpriced,
)
from callgate.pipeline import ToolPassage

KINDS: Final[Mapping[type[CallgateError], str]] = {
    InvalidArguments: "invalid_arguments",
    BadRequest: "invalid_arguments",
    Unknown: "not_found",
    NoSuchModel: "not_found",
    OverLimit: "rate_limited",
    RateLimited: "rate_limited",
    BreakerOpen: "transient",
    TimedOut: "timed_out",
    Transient: "transient",
    OutcomeUnknown: "outcome_unknown",
    StillUnknown: "outcome_unknown",
    StillRunning: "still_running",
    BadCredential: "auth",
    Quarantined: "auth",
    OutOfCredit: "funds",
    OverBudget: "funds",
    Unpriced: "funds",
    Denied: "denied",
    BrokenReply: "bad_output",
    ToolBug: "tool_bug",
    ToolChanged: "tool_changed",
}
"""By error: what kind it is to an agent. One that is not in it is the nearest above it that is."""

NEUTRAL: Final[Mapping[str, str]] = {
    "auth": "{tool} cannot be used now: its operator must renew its credentials. Choose another way, or say so.",
    "tool_bug": "{tool} is broken and its operator has been told. Choose another way, or say so.",
    "tool_changed": "{tool} is unavailable now, and its operator has been told. Choose another way, or say so.",
    "internal": "The gate made a mistake of its own; its operator can look for {call} in its log.",
}
"""By kind: what is said in the place of a message that would tell more than an agent needs."""

HINTS: Final[Mapping[str, str]] = {
    "invalid_arguments": "Correct the arguments and call once more.",
    "not_found": "Call a tool that is listed.",
    "rate_limited": "Call again after the time that is named, or do without.",
    "transient": "It was tried as often as is allowed. Call again later, or choose another way.",
    "timed_out": "It was tried as often as is allowed. Call again later, or choose another way.",
    "outcome_unknown": "It may have happened. Do not call it again before you have looked whether it has.",
    "still_running": "It is being done. Call again after the time that is named to hear what came of it.",
    "auth": "Calling again does not help.",
    "funds": "The money is spent. Finish with what you have.",
    "denied": "The same call does not help. Do what the message says, or choose another way.",
    "bad_output": "What it answered cannot be used. Ask for less, or choose another way.",
    "tool_bug": "Calling again does not help.",
    "tool_changed": "Calling again does not help.",
    "refused": "Do what the message says.",
    "failed": "Choose another way.",
    "internal": "Calling again does not help.",
}
"""By kind: what an agent can do about it."""


class ToolError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A call to a tool that did not succeed, as an agent reads it."""

    kind: str
    """What kind of error it is; a program can go by it."""
    message: str
    retryable: bool
    """Whether the same call can succeed a little later."""
    retry_after_ms: int | None = None
    attempts: int
    """How often the tool was called."""
    call_id: str
    hint: str
    """What to do about it."""
    reason: Reason | None = None
    """The rule and the number, and what lifts it."""


def tool_error(error: BaseException, passage: ToolPassage) -> ToolError:
    """Return what an agent is told of an error; nothing from within the gate or a tool's code."""
    kind = _kind(error)
    told = error.message if isinstance(error, CallgateError) else ""
    neutral = NEUTRAL.get(kind)
    if neutral is not None:
        told = neutral.format(tool=passage.call.name, call=passage.call.id)
    after = _retry_after_seconds(error)
    return ToolError(
        kind=kind,
        message=told,
        retryable=after is not None,
        retry_after_ms=None if after is None else ceil(after * 1_000),
        attempts=passage.attempts,
        call_id=passage.call.id,
        hint=HINTS[kind],
        reason=error.reason if neutral is None and isinstance(error, CallgateError) else None,
    )


def _kind(error: BaseException) -> str:
    for above in type(error).__mro__:
        kind = KINDS.get(above)
        if kind is not None:
            return kind
    if isinstance(error, Refused):
        return "refused"
    return "failed" if isinstance(error, Failed) else "internal"


def _retry_after_seconds(error: BaseException) -> float | None:
    """Return when the same call can succeed; None where waiting does not help, or nobody knows when."""
    if isinstance(error, OverLimit):
        return error.retry_after_seconds
    if isinstance(error, Transient):
        return error.retry_after_seconds
    return None


def result_page(passage: ToolPassage, result: ToolResult) -> dict[str, Any]:
    """Return a result as the doors show it, with the call that it is of."""
    ours: dict[str, Any] = {
        "call_id": passage.call.id,
        "task_id": None if passage.task is None else passage.task.id,
        "attempts": passage.attempts,
    }
    if result.already_done is not None:
        ours["already_done"] = earlier_page(result.already_done)
    page: dict[str, Any] = {
        "content": shown_content(result),
        "is_error": result.is_error,
        "callgate": ours,
    }
    if result.structured is not None:
        page["structured"] = result.structured
    return page


def shown_content(result: ToolResult) -> Sequence[Mapping[str, Any]]:
    """Return what a tool said as a model is to read it: it is told where nothing was done now.

    Otherwise it would believe that two of what it asked for were done.
    """
    earlier = result.already_done
    if earlier is None:
        return result.content
    same = "" if earlier.is_same else " with other arguments"
    said = "what it said then stands above" if result.content else "what it said then is not known"
    text = (
        f"This was already done at {rfc3339(earlier.done_at)}{same}; nothing was done now, and {said}. "
        "Do not call it again for the same purpose."
    )
    return (*result.content, {"type": "text", "text": text})


def earlier_page(earlier: Earlier) -> dict[str, Any]:
    """Return when something was done before, for programs."""
    return {
        "call_id": earlier.call_id,
        "done_at": rfc3339(earlier.done_at),
        "same_arguments": earlier.is_same,
    }
