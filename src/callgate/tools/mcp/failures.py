"""What went wrong with a call of a server, as the road takes it: who must act, and what may have happened.

``billed`` is False only where the server has not begun: it was not reached, or it refused the
request for what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

from mcp import MCPError
from mcp_types import (
    CONNECTION_CLOSED,
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    PARSE_ERROR,
    REQUEST_TIMEOUT,
    UNSUPPORTED_PROTOCOL_VERSION,
)

from callgate.call import ToolResult
from callgate.errors import (
    BadCredential,
    BadRequest,
    BrokenReply,
    Failed,
    Forbidden,
    OutOfCredit,
    RateLimited,
    TimedOut,
    Transient,
)
from callgate.tools.mcp.http import Trip
from callgate.tools.mcp.stdio import TOO_LARGE

NEVER_BEGUN: Final = frozenset(
    {
        INVALID_PARAMS,
        INVALID_REQUEST,
        METHOD_NOT_FOUND,
        MISSING_REQUIRED_CLIENT_CAPABILITY,
        UNSUPPORTED_PROTOCOL_VERSION,
    }
)
"""Codes by which a server refuses a request for what it is.

Source: JSON-RPC 2.0 §5.1; specification of MCP 2026-07-28, "Error codes".
"""

SESSION_GONE: Final = "Session terminated"
"""What the SDK says where a server no longer knows its session (404).

Source: mcp 2.3, client/streamable_http.py.
"""

OPERATORS: Final[Mapping[int, type[Failed]]] = {
    401: BadCredential,
    402: OutOfCredit,
    403: Forbidden,
}
"""Statuses that only an operator can change."""

LONGEST: Final = 500
"""How many characters of what a server says about its failure are passed on."""


def failure_of(server: str, error: MCPError, noted: Trip) -> Failed | ToolResult:
    """Return what an error of the protocol means; a result where it is the tool's own word.

    Args:
        server: The server's name.
        error: What the SDK raised: an error of the server, or one of its own with a like code.
        noted: What is known of the exchange besides, over HTTP.
    """
    said = error.error.message[:LONGEST]
    by_status = _by_status(server, said, noted)
    if by_status is not None:
        return by_status
    known = BY_CODE.get(error.error.code)
    if known is not None:
        return known(server, said)
    if error.error.code in NEVER_BEGUN:
        return BadRequest(f"the MCP server {server} does not take this call: {said}", billed=False)
    # What is left are codes of the server's own: the tool has answered, and this is its answer.
    return ToolResult(content=({"type": "text", "text": said},), is_error=True)


def _by_status(server: str, said: str, noted: Trip) -> Failed | None:
    """Return what the status of HTTP means, where it says more than the error."""
    if noted.failure is not None:
        return _broken(server, noted)
    status, wait = noted.status or HTTPStatus.OK, noted.retry_after_seconds
    who = f"the MCP server {server} answered {status}: {said}"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited(who, billed=False, retry_after_seconds=wait)
    if status == HTTPStatus.NOT_FOUND and said == SESSION_GONE:
        return Transient(f"the MCP server {server} has forgotten its session", billed=False)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Transient(who, billed=True, retry_after_seconds=wait)
    operators = OPERATORS.get(status)
    return None if operators is None else operators(who, billed=False)


def _broken(server: str, noted: Trip) -> Failed:
    who = f"the MCP server {server}: {noted.failure}"
    if not noted.reached:
        return Transient(f"{who}; nothing was sent", billed=False)
    if noted.status is None:
        return Transient(f"{who}; whether the call has happened is not known", billed=True)
    return BrokenReply(who, billed=True)


def _closed(server: str, said: str) -> Failed:
    msg = f"the MCP server {server} ended before it answered ({said}); whether the call has happened is not known"
    return Transient(msg, billed=True)


def _timed_out(server: str, said: str) -> Failed:
    return TimedOut(f"the MCP server {server} says that it took too long: {said}", billed=True)


def _internal(server: str, said: str) -> Failed:
    return Transient(f"the MCP server {server} failed within: {said}", billed=True)


def _unreadable(server: str, said: str) -> Failed:
    return BrokenReply(f"the reply of the MCP server {server} cannot be read: {said}", billed=True)


def _stale(server: str, said: str) -> Failed:
    return Transient(f"the MCP server {server} has changed its tool: {said}", billed=False)


BY_CODE: Final[dict[int, Callable[[str, str], Failed]]] = {
    CONNECTION_CLOSED: _closed,
    HEADER_MISMATCH: _stale,
    INTERNAL_ERROR: _internal,
    PARSE_ERROR: _unreadable,
    REQUEST_TIMEOUT: _timed_out,
    TOO_LARGE: _unreadable,
}
