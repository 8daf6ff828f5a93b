"""What a provider's refusal means, as far as both families agree on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol, cast

import msgspec

from callgate.call import Headers
from callgate.errors import (
    Answer,
    BadCredential,
    BadRequest,
    BrokenReply,
    CallgateError,
    Failed,
    Forbidden,
    NoSuchModel,
    OutOfCredit,
    RateLimited,
    Reason,
    TimedOut,
    Transient,
)
from callgate.redact import redact
from callgate.wire.replies import member, object_of, text
from callgate.wire.retry_after import hinted_seconds, retry_after_seconds

LONGEST_QUOTE: Final = 300
"""Characters of a provider's own words that a message repeats."""

UNAUTHENTICATED: Final = 401
NO_CREDIT: Final = 402
NOT_FOUND: Final = 404
TOO_MANY: Final = 429
TIMEOUTS: Final = frozenset({408, 504})
"""Statuses behind which the provider may still have answered, and charged for it."""

TRANSIENT: Final = frozenset({408, 425, 429, 529})
FIRST_ERROR: Final = 400
FIRST_SERVER_ERROR: Final = 500
LAST_ERROR: Final = 599

JSON_HEADERS: Final = (("content-type", "application/json"),)
"""What an error event would have had as a plain answer."""


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
    is_key: bool = False
    """Whether its structured code says that the key is wrong, whatever its status says."""
    is_filtered: bool = False
    """Whether its structured code says that a model was asked what to think of the input."""
    began: bool = False
    """Whether it came after a status of 200, when work may have been done already."""


def failure_of(complaint: Complaint) -> Failed:
    """Return what a refusal means for the road.

    An error status before any output is not charged for by the providers, but for an input that
    Azure's content filter has judged; a timeout on the way to them may hide a reply that is, and so
    may an error inside a reply that had begun.

    Source: Microsoft's "Manage costs for Azure OpenAI" (HTTP error response codes and billing).
    """
    status = complaint.status
    answer = Answer(status=status, headers=complaint.headers, body=complaint.body)
    told = f"the provider answered {status}: {complaint.message}"
    if complaint.is_money or status == NO_CREDIT:
        fix = "top up the account at the provider, or route to another one"
        return OutOfCredit(
            told, billed=False, answer=answer, reason=Reason(code="out_of_credit", fix=fix)
        )
    if complaint.is_key or status in {401, 403}:
        fix = "check the provider's key in the settings; the agent's own key is fine"
        msg = f"the provider rejects the gate's credential ({status}): {complaint.message}"
        is_key = complaint.is_key or status == UNAUTHENTICATED
        kind = BadCredential if is_key else Forbidden
        return kind(msg, billed=False, answer=answer, reason=Reason(code="bad_credential", fix=fix))
    if status in TRANSIENT or status >= FIRST_SERVER_ERROR:
        return _transient(complaint, told, answer)
    if status == NOT_FOUND and complaint.is_model:
        return NoSuchModel(told, billed=False, answer=answer)
    return BadRequest(told, billed=complaint.is_filtered, answer=answer)


def _transient(complaint: Complaint, told: str, answer: Answer) -> Failed:
    wait = retry_after_seconds(complaint.headers)
    if wait is None:
        wait = hinted_seconds(error_object(complaint.body))
    if complaint.status == TOO_MANY:
        return RateLimited(told, billed=False, answer=answer, retry_after_seconds=wait)
    is_timeout = complaint.status in TIMEOUTS
    kind = TimedOut if is_timeout else Transient
    billed = is_timeout or complaint.began
    return kind(told, billed=billed, answer=answer, retry_after_seconds=wait)


def error_object(body: bytes) -> dict[str, Any]:
    """Return the error of a body, in any of the forms that are in use; empty where it has none.

    Beside ``{"error": {…}}`` there are ``{"error": "…"}``, the bare object (``{"object":
    "error", "message": …}``), ``{"detail": …}``, and a list that holds one of these.
    """
    try:
        page = object_of(_only_item(body))
    except BrokenReply:
        return {}
    error = page.get("error")
    if isinstance(error, dict):
        return cast("dict[str, Any]", error)
    if isinstance(error, str) and error:
        return {**page, "message": error}
    return page if is_bare_error(page) else {}


def is_bare_error(page: Mapping[str, Any]) -> bool:
    """Whether an object is an error without saying so in a member ``error``."""
    return bool(page.get("message") or page.get("detail")) and "choices" not in page


def _only_item(body: bytes) -> bytes:
    text = body.strip()
    return text[1:-1] if text[:1] == b"[" and text[-1:] == b"]" else text


def quote(error: dict[str, Any], body: bytes) -> str:
    """Return a provider's words, redacted, on one line and short."""
    said = error.get("message") or error.get("detail") or body.decode(errors="replace")
    return redact(" ".join(str(said).split()))[:LONGEST_QUOTE] or "(no body)"


def sentence_of(error: CallgateError) -> str:
    """Return what an error tells a person: what happened, and what to do about it."""
    fix = error.reason.fix
    return error.message if fix is None else f"{error.message.rstrip('.')}. What to do: {fix}"


def own_words(error: CallgateError) -> dict[str, Any] | None:
    """Return the error object with which the provider itself broke a reply off, if it did."""
    answer = error.answer if isinstance(error, Failed) else None
    if answer is None:
        return None
    try:
        page = object_of(answer.body)
    except BrokenReply:
        return None
    return page if text(member(page, "error"), "message") else None


class Progress(Protocol):
    """How far the reading of a stream has come."""

    @property
    def has_content(self) -> bool:
        """Whether a reader has seen any of it."""
        ...


def broken(message: str, progress: Progress) -> Failed:
    """Return what a stream that broke means: before any content it may be tried again.

    Either way it may have been billed.
    """
    kind = BrokenReply if progress.has_content else Transient
    return kind(message, billed=True)
