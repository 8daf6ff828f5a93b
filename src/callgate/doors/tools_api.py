"""Tools over plain HTTP: ``GET /api/tools`` lists an agent's tools, ``POST /api/tools/NAME`` calls one."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from callgate.call import Caller, Tool, ToolCall, new_id
from callgate.doors.exchange import Exchange, Watch, key_of, own_headers, retry_headers
from callgate.doors.repeats import HEADER, repeat_of
from callgate.doors.tool_errors import result_page, tool_error
from callgate.errors import CallgateError, ClientLeft, Refused
from callgate.gate import Gate
from callgate.pipeline import ToolPassage

DOOR = "rest"

JSON = (("content-type", "application/json"),)

log = logging.getLogger("callgate")


class ToolEndpoint:
    """Takes calls to tools; an ASGI application."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call."""
        exchange = Exchange(scope, receive, send)
        try:
            caller = self._gate.authenticate(exchange.key)
        except Refused as stranger:
            page = {
                "error": {"kind": "denied", "message": stranger.message},
                "callgate": stranger.reason,
            }
            await exchange.answer(stranger.status, JSON, msgspec.json.encode(page))
            return
        try:
            call = await self._call(exchange, caller, scope["path_params"]["name"])
        except ClientLeft:
            return
        await self._carry(exchange, ToolPassage(call=call))

    async def _call(self, exchange: Exchange, caller: Caller, name: str) -> ToolCall:
        """Translate the request; what cannot be taken whole becomes the call's flaw."""
        started_at = self._gate.clock.now()
        body, repeat, flaw = b"", None, None
        try:
            body = await exchange.body(self._gate.settings.gate.max_body_bytes)
            repeat = repeat_of(exchange.header(HEADER))
        except Refused as refused:
            flaw = refused
        return ToolCall(
            id=new_id("call"),
            door=DOOR,
            caller=caller,
            claims=exchange.claims,
            started_at=started_at,
            client_retry=exchange.client_retry,
            patience_seconds=exchange.patience_seconds,
            flaw=flaw,
            name=name,
            repeat=repeat,
            body=body,
        )

    async def _carry(self, exchange: Exchange, passage: ToolPassage) -> None:
        watch = Watch(exchange, passage, self._gate.settings.gate.drain_limit_seconds)
        try:
            async with self._gate.tool_road(passage) as reply:
                page = result_page(passage, reply.result)
        except ClientLeft:
            return
        except CallgateError as error:
            await self._tell(exchange, passage, error)
            return
        except Exception as error:
            log.exception("call %s failed by a mistake of the gate's own", passage.call.id)
            await self._tell(exchange, passage, error)
            return
        finally:
            watch.end()
        if not passage.left:
            await exchange.answer(200, own_headers(passage, JSON), msgspec.json.encode(page))

    async def _tell(self, exchange: Exchange, passage: ToolPassage, error: Exception) -> None:
        if passage.left:
            return
        told = tool_error(error, passage)
        ours = error if isinstance(error, CallgateError) else CallgateError(told.message)
        page = {"error": told, "callgate": ours.reason}
        headers = [*own_headers(passage, JSON), *retry_headers(ours)]
        await exchange.answer(ours.status, headers, msgspec.json.encode(page))


class ToolList:
    """Lists the tools that an agent may call."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def show(self, request: Request) -> Response:
        """Return every tool of the agent whose key it is."""
        caller = self._gate.authenticate(key_of(request.headers.get))
        page = {"tools": [tool_page(tool) for tool in self._gate.tools(caller)]}
        return Response(msgspec.json.encode(page), media_type="application/json")


def routes(gate: Gate) -> list[Route]:
    """Return the paths of this door."""
    return [
        Route("/api/tools", ToolList(gate).show, methods=["GET"]),
        Route("/api/tools/{name:path}", ToolEndpoint(gate), methods=["POST"]),
    ]


def tool_page(tool: Tool) -> dict[str, Any]:
    """Return a tool as an agent needs it to call it."""
    page: dict[str, Any] = {
        "name": tool.name,
        "description": tool.description,
        "input_schema": tool.input_schema,
        "effect": tool.effect,
        "idempotent": tool.is_repeatable,
        "cost_nano_usd": None if tool.cost is None else tool.cost.nano,
    }
    if tool.output_schema is not None:
        page["output_schema"] = tool.output_schema
    return page
