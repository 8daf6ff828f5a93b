"""Messages of JSON-RPC, as MCP uses them: read, refused and written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from callgate.errors import Malformed, Reason

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
HEADER_MISMATCH: Final = -32020
UNSUPPORTED_VERSION: Final = -32022
"""Codes of errors.

Source: JSON-RPC 2.0 §5.1; MCP 2026-07-28, "Error Codes", which leaves all numbers outside of -32768 to
-32000 to whoever needs them: what the gate itself refuses has its HTTP status for a code.
"""

CANCELLED: Final = 0
"""What an earlier client is answered that has cancelled its call and reads nothing of it.

Source: the official SDK (``REQUEST_CANCELLED``).
"""

NO_ARGUMENTS: Final = b"{}"


class Params(msgspec.Struct, frozen=True, kw_only=True):
    """What of the parameters of any request is read."""

    meta: Mapping[str, Any] | None = msgspec.field(name="_meta", default=None)
    name: str | None = None
    """Of a tool."""
    arguments: Raw = Raw(NO_ARGUMENTS)
    """Of a call, in the bytes that came."""
    cursor: str | None = None
    """Where a listing goes on."""
    version: str | None = msgspec.field(name="protocolVersion", default=None)
    """What ``initialize`` offers."""
    request: int | str | None = msgspec.field(name="requestId", default=None)
    """What ``notifications/cancelled`` is about."""
    capabilities: Mapping[str, Any] | None = None
    """What the client of an ``initialize`` can do."""
    state: str | None = msgspec.field(name="requestState", default=None)
    """Which question a call brings the answer to."""
    answers: Mapping[str, Any] | None = msgspec.field(name="inputResponses", default=None)
    """The answers that it brings."""
    notifications: Mapping[str, Any] | None = None
    """What ``subscriptions/listen`` wants to hear of."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One request or notification."""

    jsonrpc: Literal["2.0"]
    method: str
    id: int | str | UnsetType = UNSET
    """A notification has none."""
    params: Params = Params()

    @property
    def meta(self) -> Mapping[str, Any]:
        """What it says about itself."""
        return self.params.meta or {}

    @property
    def progress_token(self) -> int | str | None:
        """Under what name it wants to hear of progress."""
        token = self.meta.get("progressToken")
        is_one = isinstance(token, int | str) and not isinstance(token, bool)
        return token if is_one else None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a client to a request of ours."""

    jsonrpc: Literal["2.0"]
    id: str
    result: Mapping[str, Any] | None = None
    """None where it is an error."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A message whose parameters nobody has looked at."""

    jsonrpc: Literal["2.0"]
    method: str
    id: int | str | UnsetType = UNSET
    params: Raw = Raw(NO_ARGUMENTS)


class ProtocolFlaw(Malformed):
    """A message that is not as the protocol has it.

    Attributes:
        number: The code of JSON-RPC.
        data: What else there is to tell about it.
        id: The request that it is about, where that could be read.
    """

    code = "malformed"

    def __init__(
        self,
        message: str,
        *,
        number: int,
        data: Any = None,
        id: int | str | UnsetType = UNSET,
        fix: str = "send what the specification of MCP says",
    ) -> None:
        super().__init__(message, reason=Reason(code="malformed", rule="mcp", fix=fix))
        self.number = number
        self.data = data
        self.id = id


def read(body: bytes) -> Message:
    """Read a message.

    Raises:
        ProtocolFlaw: It is none.
    """
    try:
        return _MESSAGES.decode(body)
    except msgspec.ValidationError as error:
        told = str(error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _no_json(error) from error
    # It is JSON, as far as it was read, and no message: its parameters are wrong, or all of it is.
    try:
        envelope = _ENVELOPES.decode(body)
    except msgspec.ValidationError as error:
        msg = f"the body is no single request or notification of JSON-RPC 2.0: {told}"
        fix = "send one message in each POST; batches are not taken"
        raise ProtocolFlaw(msg, number=INVALID_REQUEST, fix=fix) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _no_json(error) from error
    msg = f"the parameters of {envelope.method} are wrong: {told}"
    raise ProtocolFlaw(msg, number=INVALID_PARAMS, id=envelope.id)


def read_answer(body: bytes) -> Answer | None:
    """Return the answer to a request of ours that a body is; None if it is none."""
    try:
        return _ANSWERS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _no_json(error: Exception) -> ProtocolFlaw:
    why = "is nested too deeply" if isinstance(error, RecursionError) else f"is no JSON: {error}"
    return ProtocolFlaw(f"the body {why}", number=PARSE_ERROR)


def result(id: int | str | UnsetType, value: Mapping[str, Any]) -> bytes:
    """Write the answer to a request."""
    return msgspec.json.encode({"jsonrpc": "2.0", "id": id, "result": value})


def failure(id: int | str | UnsetType, number: int, message: str, data: Any = None) -> bytes:
    """Write an error; one that is about no request that could be read has no id."""
    page: dict[str, Any] = {"jsonrpc": "2.0"}
    if id is not UNSET:
        page["id"] = id
    page["error"] = {"code": number, "message": message}
    if data is not None:
        page["error"]["data"] = data
    return msgspec.json.encode(page)


def request(id: str, method: str, params: Mapping[str, Any]) -> bytes:
    """Write what a client of an earlier generation is asked."""
    return msgspec.json.encode({"jsonrpc": "2.0", "id": id, "method": method, "params": params})


def notification(method: str, params: Mapping[str, Any]) -> bytes:
    """Write what is told without being asked."""
    return msgspec.json.encode({"jsonrpc": "2.0", "method": method, "params": params})


_MESSAGES: Final = msgspec.json.Decoder(Message)
_ANSWERS: Final = msgspec.json.Decoder(Answer)
_ENVELOPES: Final = msgspec.json.Decoder(Envelope)
