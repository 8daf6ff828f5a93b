"""What a platform's errors mean: who must act, what it has cost, and what may have happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from callgate.call import Headers
from callgate.errors import (
    Answer,
    BadCredential,
    BadRequest,
    BrokenReply,
    Failed,
    Forbidden,
    NoSuchModel,
    OutOfCredit,
    RateLimited,
    Reason,
    TimedOut,
    Transient,
)
from callgate.money import Money
from callgate.redact import Secret
from callgate.tools.platform.profiles import Profile
from callgate.tools.platform.reading import number_at, quote, spent, text_at
from callgate.wire.retry_after import retry_after_seconds

FIRST_SERVER_ERROR: Final = 500
UNAUTHENTICATED, NO_CREDIT, FORBIDDEN, NOT_FOUND, TOO_MANY = 401, 402, 403, 404, 429
TIMEOUTS: Final = frozenset({408, 504})
REDIRECTS: Final = range(300, 400)


class Complaint(msgspec.Struct, frozen=True, kw_only=True):
    """An answer with an error status."""

    platform: str
    tool: str
    status: int
    headers: Headers
    body: bytes
    page: Mapping[str, Any]
    """The body as an object; an empty one where it is none."""
    credential: Secret | None


def failure_of(complaint: Complaint, profile: Profile) -> Failed:
    """Return what an error means.

    What comes before a tool is run has cost nothing and done nothing. What an error of the tool's own
    has cost is what the answer tells, or nothing where the platform gives it back; whether it has
    done something is told by neither.
    """
    page = complaint.page
    said = _said(complaint, page, profile)
    where = f"{complaint.platform} answered {complaint.status} for {complaint.tool}: {said}"
    answer = Answer(status=complaint.status, headers=(), body=msgspec.json.encode({"error": said}))
    early = _early(complaint, page, profile, where, answer)
    if early is not None:
        return early
    failure = _late(complaint, where, answer)
    failure.cost = spent(number_at(page, profile.outcomes.cost), profile.credit)
    is_theirs = complaint.status >= FIRST_SERVER_ERROR
    if failure.cost is None and is_theirs and "server_error" in profile.refunds:
        failure.cost = Money()
    return failure


def _early(
    complaint: Complaint, page: Mapping[str, Any], profile: Profile, where: str, answer: Answer
) -> Failed | None:
    """Return the failure of a call that its platform did not begin."""
    status, name = complaint.status, complaint.platform
    if status == NO_CREDIT:
        return _out_of_credit(complaint, page, profile, answer)
    if status in {UNAUTHENTICATED, FORBIDDEN}:
        kind = BadCredential if status == UNAUTHENTICATED else Forbidden
        fix = f"check key under [platforms.{name}]; the agent's own key is fine"
        reason = Reason(code="bad_credential", fix=fix)
        msg = f"{name} rejects the gate's key ({status}): {text_at(page, profile.outcomes.error) or ''}"
        return kind(msg.rstrip(": "), billed=False, answer=answer, reason=reason)
    if status == NOT_FOUND:
        fix = f"take it out of tools under [platforms.{name}], or see what it is called there now"
        return NoSuchModel(
            where, billed=False, answer=answer, reason=Reason(code="no_such_tool", fix=fix)
        )
    if status == TOO_MANY:
        wait = retry_after_seconds(complaint.headers)
        return RateLimited(where, billed=False, answer=answer, retry_after_seconds=wait)
    return None


def _late(complaint: Complaint, where: str, answer: Answer) -> Failed:
    """Return the failure of a call that may have been begun."""
    status = complaint.status
    if status in TIMEOUTS:
        return TimedOut(where, billed=True, answer=answer)
    if status >= FIRST_SERVER_ERROR:
        wait = retry_after_seconds(complaint.headers)
        return Transient(where, billed=True, answer=answer, retry_after_seconds=wait)
    if status in REDIRECTS:
        msg = f"{where}; it leads elsewhere, and a key is not sent after it"
        return BrokenReply(msg, billed=True, answer=answer)
    return BadRequest(where, billed=True, answer=answer)


def _out_of_credit(
    complaint: Complaint, page: Mapping[str, Any], profile: Profile, answer: Answer
) -> OutOfCredit:
    places = profile.outcomes
    needed, has = number_at(page, places.required), number_at(page, places.refused_balance)
    name = complaint.platform
    told = "" if needed is None else f", and {complaint.tool} takes {needed:,}"
    msg = f"the account at {name} has {'too few' if has is None else f'{has:,}'} credits{told}"
    fix = f"top up the account at {name}"
    used = None if has is None else str(has)
    reason = Reason(
        code="out_of_credit",
        scope=f"platform:{name}",
        limit=used,
        needed=None if needed is None else str(needed),
        fix=fix,
    )
    empty = OutOfCredit(f"{msg}; {fix}", billed=False, answer=answer, reason=reason)
    empty.some_left = bool(has)
    return empty


def _said(complaint: Complaint, page: Mapping[str, Any], profile: Profile) -> str:
    told = text_at(page, profile.outcomes.error)
    return quote(
        complaint.body.decode("utf-8", "replace") if told is None else told, complaint.credential
    )
