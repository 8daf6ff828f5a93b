"""The address of MCP: who asks, in which generation, and what for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from msgspec import UNSET, UnsetType
from starlette.types import Receive, Scope, Send

from callgate.call import Caller
from callgate.doors.exchange import Exchange, key_of, retry_headers
from callgate.doors.mcp.calling import Calls
from callgate.doors.mcp.channel import JSON, takes_events
from callgate.doors.mcp.generations import (
    SERVER,
    STATELESS,
    SUPPORTED,
    VERSION_HEADER,
    Generation,
    generation_of,
    negotiated,
    unsupported,
)
from callgate.doors.mcp.listing import tool_page
from callgate.doors.mcp.messages import (
    METHOD_NOT_FOUND,
    Message,
    ProtocolFlaw,
    failure,
    read,
    read_answer,
    result,
)
from callgate.doors.mcp.names import named, wants_flat
from callgate.doors.mcp.news import News
from callgate.doors.mcp.origins import check_origin
from callgate.doors.mcp.sessions import HEADER, new_session
from callgate.errors import CallgateError, ClientLeft, Refused
from callgate.gate import Gate

PATH: Final = "/mcp"

Headers = Iterable[tuple[str, str]]

CAPABILITIES: Final = {"tools": {"listChanged": True}}

INSTRUCTIONS: Final = (
    "Every call is governed: it may be refused, with the rule and what to do about it in the text. "
    "Do not repeat a call whose outcome is unknown before you have looked whether it has happened."
)

STATUSES: Final = {METHOD_NOT_FOUND: 404}
"""HTTP statuses of flaws, where it is not 400.

Source: MCP 2026-07-28, "Protocol Version Header".
"""


class McpEndpoint:
    """Takes messages of MCP; an ASGI application."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._calls = Calls(gate)
        self._news = News(gate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        try:
            # Not from the address: what stands there is kept in logs on the way.
            caller = self._gate.authenticate(key_of(exchange.header))
        except Refused as stranger:
            await _turn_away(exchange, stranger)
            return
        try:
            check_origin(exchange, self._gate.settings.gate.hosts, address=scope["server"][0])
            if exchange.method == "POST":
                await self._post(exchange, caller)
            elif exchange.method == "GET" and _may_listen(exchange):
                await self._news.tell(exchange, caller)
            else:
                await exchange.answer(405, [("allow", "POST, GET")], b"")
        except ClientLeft:
            return
        except Refused as refused:
            told, headers = await self._calls.refuse(exchange, caller, refused)
            await _answer_error(exchange, told, headers)

    async def _post(self, exchange: Exchange, caller: Caller) -> None:
        body = await exchange.body(self._gate.settings.gate.max_body_bytes)
        answer = read_answer(body) if b'"method"' not in body else None
        if answer is not None and self._calls.answer(caller, answer):
            await exchange.answer(202, (), b"")
            return
        message = read(body)
        if message.id is UNSET:
            await self._note(exchange, caller, message)
            return
        generation = None
        try:
            generation = generation_of(exchange, message)
            await self._answer(exchange, caller, message, generation)
        except ProtocolFlaw as flaw:
            await self._refuse(exchange, caller, message, flaw, generation)

    async def _note(self, exchange: Exchange, caller: Caller, message: Message) -> None:
        """Take a notification."""
        told = exchange.header(VERSION_HEADER)
        if told is not None and told not in SUPPORTED:
            await _answer_error(exchange, unsupported(message, told))
            return
        # A client of today cancels by hanging up.
        if message.method == "notifications/cancelled" and told not in STATELESS:
            await self._calls.cancel(exchange, caller, message)
        await exchange.answer(202, (), b"")

    async def _answer(
        self, exchange: Exchange, caller: Caller, message: Message, generation: Generation
    ) -> None:
        if message.method == "tools/call":
            if wants_flat(exchange):
                message = named(message, self._gate.tools(caller))
            await self._calls.call(exchange, caller, message, generation)
        elif message.method == "tools/list":
            flat = wants_flat(exchange)
            page = tool_page(self._gate.tools(caller), message, generation, flat=flat)
            await exchange.answer(200, JSON, result(message.id, page))
        elif generation.is_stateless:
            await self._answer_stateless(exchange, caller, message, generation)
        else:
            await _answer_handshake(exchange, message)

    async def _answer_stateless(
        self, exchange: Exchange, caller: Caller, message: Message, generation: Generation
    ) -> None:
        if message.method == "server/discover":
            known: dict[str, Any] = {
                "supportedVersions": SUPPORTED,
                "capabilities": CAPABILITIES,
                "instructions": INSTRUCTIONS,
            }
            await exchange.answer(200, JSON, result(message.id, generation.listed(known)))
        elif message.method == "subscriptions/listen":
            await self._news.tell(exchange, caller, message, generation)
        else:
            raise _no_such_method(message)

    async def _refuse(
        self,
        exchange: Exchange,
        caller: Caller,
        message: Message,
        flaw: ProtocolFlaw,
        generation: Generation | None,
    ) -> None:
        """Tell what is wrong with a request; one that would have been a call leaves a row."""
        told: CallgateError = flaw
        headers: Headers = JSON
        if message.method == "tools/call":
            name = message.params.name or ""
            told, headers = await self._calls.refuse(exchange, caller, flaw, name=name)
        # Earlier clients take a status for a fault of the connection, and read no further.
        is_read = generation is not None and not generation.is_stateless
        status = 200 if is_read else STATUSES.get(flaw.number, told.status)
        await _answer_error(exchange, told, headers, id=message.id, status=status)


async def _answer_handshake(exchange: Exchange, message: Message) -> None:
    """Answer what only earlier generations ask."""
    if message.method == "ping":
        await exchange.answer(200, JSON, result(message.id, {}))
        return
    if message.method != "initialize":
        raise _no_such_method(message)
    agreed: dict[str, Any] = {
        "protocolVersion": negotiated(message.params.version),
        "capabilities": CAPABILITIES,
        "serverInfo": SERVER,
        "instructions": INSTRUCTIONS,
    }
    session = (HEADER, new_session(message))
    await exchange.answer(200, (*JSON, session), result(message.id, agreed))


async def _turn_away(exchange: Exchange, stranger: Refused) -> None:
    """Answer one whom nobody knows.

    Source: RFC 9110 §15.5.2 (the header).
    """
    headers = (*JSON, ("www-authenticate", "Bearer"))
    await _answer_error(exchange, stranger, headers)


async def _answer_error(
    exchange: Exchange,
    error: CallgateError,
    headers: Headers = JSON,
    *,
    id: int | str | UnsetType = UNSET,
    status: int | None = None,
) -> None:
    """Answer with an error of JSON-RPC: a flaw by its number, a refusal of the gate by its status."""
    number, data = error.status, None
    if isinstance(error, ProtocolFlaw):
        number, data, id = error.number, error.data, error.id if id is UNSET else id
    page = failure(id, number, error.message, data or {"callgate": error.reason})
    await exchange.answer(status or error.status, [*headers, *retry_headers(error)], page)


def _may_listen(exchange: Exchange) -> bool:
    """Whether a GET asks for news, as earlier generations do."""
    return takes_events(exchange) and exchange.header(VERSION_HEADER) not in STATELESS


def _no_such_method(message: Message) -> ProtocolFlaw:
    msg = f"there is no method {message.method!r} here; this gate has tools, and neither resources nor prompts"
    fix = "ask for tools/list or tools/call"
    return ProtocolFlaw(msg, number=METHOD_NOT_FOUND, id=message.id, fix=fix)
