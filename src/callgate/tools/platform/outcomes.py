"""What a platform's answer comes to: a result, a failure, or a job that goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from callgate.call import ToolResult
from callgate.errors import BrokenReply, TimedOut
from callgate.money import Money
from callgate.redact import redact
from callgate.tools.platform.profiles import Profile, Refund
from callgate.tools.platform.reading import LONGEST_QUOTE, member, number_at, spent, text_at

LONGEST_JOB_ID: Final = 200
"""Characters; it is a row of the store and a part of an address."""


class Job(msgspec.Struct, frozen=True):
    """A call that its platform goes on with by itself."""

    id: str
    """What the platform calls it."""


def outcome_of(page: Mapping[str, Any], profile: Profile, *, tool: str) -> ToolResult | Job:
    """Return what an answer of a good status comes to.

    Args:
        page: The answer.
        profile: The ways of its platform.
        tool: What was called, for messages.

    Raises:
        TimedOut: The platform has ended the tool, which took too long.
        BrokenReply: The answer says nothing that can be understood.
    """
    places = profile.outcomes
    status = member(page, places.status)
    if not isinstance(status, str | bool):
        msg = f"the answer for {tool} has no status that could be read"
        raise _broken(msg, page, profile)
    if status in places.pending:
        return Job(_job_id(page, profile, tool))
    if status in places.done:
        return _result(page, profile)
    said = redact(text_at(page, places.error) or f"{tool} failed")[:LONGEST_QUOTE]
    if status in places.failed:
        blocks = ({"type": "text", "text": said},)
        cost = _cost(page, profile, "failed")
        return ToolResult(content=blocks, is_error=True, cost=cost)
    if status in places.timed_out:
        late = TimedOut(f"the platform has ended {tool}: {said}", billed=True)
        late.cost = _cost(page, profile, "timeout")
        raise late
    msg = f"the answer for {tool} has the status {status!r}, which nobody knows"
    raise _broken(redact(msg)[:LONGEST_QUOTE], page, profile)


def _job_id(page: Mapping[str, Any], profile: Profile, tool: str) -> str:
    job_id = text_at(page, profile.outcomes.job_id)
    if job_id is None or len(job_id) > LONGEST_JOB_ID or profile.job_path is None:
        msg = (
            f"the answer for {tool} says that it goes on, and names no job that could be asked for"
        )
        raise _broken(msg, page, profile)
    return job_id


def _result(page: Mapping[str, Any], profile: Profile) -> ToolResult:
    output = member(page, profile.outcomes.output)
    is_text = isinstance(output, str)
    text = output if is_text else msgspec.json.encode(output).decode()
    return ToolResult(
        content=({"type": "text", "text": text},),
        structured=None if is_text else output,
        cost=spent(number_at(page, profile.outcomes.cost), profile.credit),
    )


def _cost(page: Mapping[str, Any], profile: Profile, refund: Refund) -> Money | None:
    """Return what a call that went wrong has cost; None where neither answer nor rule tells."""
    told = spent(number_at(page, profile.outcomes.cost), profile.credit)
    return Money() if told is None and refund in profile.refunds else told


def _broken(message: str, page: Mapping[str, Any], profile: Profile) -> BrokenReply:
    broken = BrokenReply(message, billed=True)
    broken.cost = spent(number_at(page, profile.outcomes.cost), profile.credit)
    return broken
