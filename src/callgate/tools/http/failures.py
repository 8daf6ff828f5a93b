"""What a status of an error means: an answer for the agent, or a failure of a kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from callgate.call import ToolResult
from callgate.config.tool_policies import HttpPolicy, Meaning
from callgate.errors import (
    BadCredential,
    BadRequest,
    BrokenReply,
    Failed,
    Forbidden,
    OutOfCredit,
    RateLimited,
    Reason,
    TimedOut,
    Transient,
)
from callgate.tools.http.replies import Received, cost_of, message_of
from callgate.tools.results import said
from callgate.wire.retry_after import hinted_seconds, retry_after_seconds

MEANINGS: Final[Mapping[int, Meaning]] = {
    401: "bad_credential",
    402: "out_of_credit",
    403: "forbidden",
    404: "answer",
    408: "timed_out",
    409: "answer",
    410: "answer",
    425: "transient",
    429: "rate_limited",
    504: "timed_out",
}
"""What statuses mean; others below 500 are bad requests, those from there on may pass.

Source: RFC 9110 §15.5 and §15.6; docs/failures.md, "When a tool fails".
"""

FIRST_SERVER_ERROR: Final = 500
UNAVAILABLE: Final = 503
TOO_EARLY: Final = 425

FIELDS: Final = ("loc", "field", "path", "pointer", "param", "name")
"""Where a list of flaws says which field is meant.

Source: FastAPI's validation errors (``loc``), RFC 9457 (``pointer``), JSON:API, Stripe (``param``).
"""

MOST_FLAWS: Final = 5


def refusal_of(received: Received, http: HttpPolicy) -> ToolResult:
    """Return what a reply with the status of an error tells the agent.

    Raises:
        Failed: It is no answer but a failure.
    """
    meaning = http.errors.get(received.status) or MEANINGS.get(received.status)
    if meaning is None:
        meaning = "transient" if received.status >= FIRST_SERVER_ERROR else "bad_request"
    page = _page(received)
    told = received.quote(message_of(page, http) or _usual_message(page) or received.text)
    if meaning == "answer":
        return said(f"{received.status}: {told}", is_error=True)
    failure = _failure(meaning, told, received, page)
    failure.cost = cost_of(page, http)
    raise failure


def redirected(received: Received, *, method: str) -> BrokenReply:
    """Return what it means that a reply leads elsewhere, where nobody follows."""
    fix = f"put the address that it is at now into url under [tools.{received.tool}.http]"
    place = received.quote(received.header("location").partition("?")[0])
    msg = f"{received.tool} was answered with {received.status}, which leads to {place}; a key is not sent after it; {fix}"
    return BrokenReply(msg, billed=method != "GET", reason=Reason(code=BrokenReply.code, fix=fix))


def _failure(meaning: Meaning, told: str, received: Received, page: Any) -> Failed:
    tool, status = received.tool, received.status
    msg = f"{tool} was answered with {status}: {told}"
    wait = retry_after_seconds(received.headers)
    if wait is None:
        wait = hinted_seconds(_object(_object(page).get("error")))
    match meaning:
        case "bad_credential" | "forbidden":
            return _rejected(meaning, received, told)
        case "out_of_credit":
            fix = "top up the account there; nothing is called there until then"
            reason = Reason(code=OutOfCredit.code, fix=fix)
            return OutOfCredit(f"{msg}; {fix}", billed=False, reason=reason)
        case "rate_limited":
            return RateLimited(msg, billed=False, retry_after_seconds=wait)
        case "timed_out":
            return TimedOut(msg, billed=True, retry_after_seconds=wait)
        case "transient":
            return Transient(msg, billed=_may_have_happened(status, wait), retry_after_seconds=wait)
        case "bad_request" | "answer":
            fix = "correct the arguments"
            reason = Reason(code=BadRequest.code, fix=fix)
            return BadRequest(f"{msg}; {fix}", billed=False, reason=reason)


def _may_have_happened(status: int, wait: float | None) -> bool:
    """Whether a server that failed may have done its work before.

    One that says when it is back has not begun; a 503 without that may be of a proxy that lost it.
    """
    return status != TOO_EARLY and not (status == UNAVAILABLE and wait is not None)


def _rejected(meaning: Meaning, received: Received, told: str) -> BadCredential:
    tool = received.tool
    fix = f"check key under [tools.{tool}]; the agent's own key is fine"
    kind = BadCredential if meaning == "bad_credential" else Forbidden
    msg = f"{tool} was answered with {received.status}: its server rejects the gate's key: {told}"
    return kind(msg, billed=False, reason=Reason(code="bad_credential", fix=fix))


def _page(received: Received) -> Any:
    try:
        return received.page()
    except ValueError:
        return None


def _usual_message(page: object) -> str | None:
    """Return the text of an error from where servers usually put it, with the fields it is about."""
    table = _object(page)
    error = table.get("error")
    inner = _object(error) or table
    texts = (inner.get("message"), inner.get("detail"), inner.get("title"), error)
    text = next((one for one in texts if isinstance(one, str) and one), "")
    lists = (inner.get("detail"), inner.get("errors"), inner.get("invalid-params"))
    flaws = [flaw for one in lists for flaw in _flaws(one)]
    return "; ".join(filter(None, (text, *flaws[:MOST_FLAWS]))) or None


def _flaws(listed: object) -> Iterator[str]:
    """Give what a list of flaws says, each with its field."""
    for one in cast("list[object]", listed) if isinstance(listed, list) else ():
        flaw = _object(one)
        field = next((flaw[name] for name in FIELDS if flaw.get(name)), "")
        steps = cast("list[object]", field) if isinstance(field, list) else [field]
        place = ".".join(map(str, steps))
        words = (flaw.get("msg"), flaw.get("message"), flaw.get("detail"), flaw.get("reason"), one)
        said = next((word for word in words if isinstance(word, str)), "is wrong")
        yield f"{place}: {said}" if place else said


def _object(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}
