"""What a provider's refusal means, as far as both families agree on it."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from callgate.call import Headers
from callgate.errors import (
    Answer,
    BadCredential,
    BadRequest,
    BrokenReply,
    Failed,
    NoSuchModel,
    OutOfCredit,
    RateLimited,
    Reason,
    TimedOut,
    Transient,
)
from callgate.redact import redact
from callgate.wire.retry_after import retry_after_seconds

LONGEST_QUOTE = 300
"""Characters of a provider's own words that a message repeats."""

NO_CREDIT = 402
NOT_FOUND = 404
TOO_MANY = 429
TIMEOUTS = frozenset({408, 504})
TRANSIENT = frozenset({408, 425, 429, 529})
FIRST_SERVER_ERROR = 500


class Complaint(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's refusal, read."""

    status: int
    headers: Headers
    body: bytes
    message: str
    """What the provider said, redacted and short."""
    is_money: bool
    """Whether its structured code says that there is no money, never its prose."""
    is_model: bool
    """Whether it says that it has no such model."""


def failure_of(complaint: Complaint) -> Failed:
    """Return what a refusal means for the road.

    An error status before any output is not charged for by the providers; a timeout on the way
    to them may hide a reply that is.
    """
    status = complaint.status
    answer = Answer(status=status, headers=complaint.headers, body=complaint.body)
    told = f"the provider answered {status}: {complaint.message}"
    if complaint.is_money or status == NO_CREDIT:
        fix = "top up the account at the provider, or route to another one"
        return OutOfCredit(
            told, billed=False, answer=answer, reason=Reason(code="out_of_credit", fix=fix)
        )
    if status in {401, 403}:
        fix = "check the provider's key in the settings; the agent's own key is fine"
        msg = f"the provider rejects the gate's credential ({status}): {complaint.message}"
        return BadCredential(
            msg, billed=False, answer=answer, reason=Reason(code="bad_credential", fix=fix)
        )
    if status in TRANSIENT or status >= FIRST_SERVER_ERROR:
        return _transient(complaint, told, answer)
    if status == NOT_FOUND and complaint.is_model:
        return NoSuchModel(told, billed=False, answer=answer)
    return BadRequest(told, billed=False, answer=answer)


def _transient(complaint: Complaint, told: str, answer: Answer) -> Failed:
    wait = retry_after_seconds(complaint.headers)
    if complaint.status == TOO_MANY:
        return RateLimited(told, billed=False, answer=answer, retry_after_seconds=wait)
    kind = TimedOut if complaint.status in TIMEOUTS else Transient
    billed = complaint.status in TIMEOUTS
    return kind(told, billed=billed, answer=answer, retry_after_seconds=wait)


def error_object(body: bytes) -> dict[str, Any]:
    """Return the ``error`` object of a body; empty where it has none."""
    try:
        page = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return {}
    error = page.get("error") if isinstance(page, dict) else None
    return error if isinstance(error, dict) else {}


def quote(error: dict[str, Any], body: bytes) -> str:
    """Return a provider's words, redacted and short."""
    said = error.get("message") or body.decode(errors="replace")
    return redact(str(said))[:LONGEST_QUOTE]


class Progress(Protocol):
    """How far the reading of a stream has come."""

    has_content: bool


def broken(message: str, progress: Progress) -> Failed:
    """Return what a stream that broke means: before any content it may be tried again.

    Either way it may have been billed.
    """
    kind = BrokenReply if progress.has_content else Transient
    return kind(message, billed=True)
