"""Lets a peer be reached over Streamable HTTP, with sessions where it is of 2025."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.contract.mcp.peer import Peer

SESSION = "mcp-session-id"

Answer = Callable[[web.Request], web.Response | None]
"""Returns what is answered in the place of the peer; None where the peer answers."""


@asynccontextmanager
async def serving(peer: Peer, answer: Answer = lambda _: None) -> AsyncGenerator[str]:
    """Let a peer listen, and yield where."""
    front = Front(peer, answer)
    app = web.Application(client_max_size=2**26)
    app.add_routes(
        [web.post("/mcp", front.post), web.get("/mcp", front.get), web.delete("/mcp", front.delete)]
    )
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        host, port = runner.addresses[0]
        yield f"http://{host}:{port}/mcp"
    finally:
        await runner.cleanup()


class Front:
    """What answers HTTP for a peer."""

    def __init__(self, peer: Peer, answer: Answer) -> None:
        self._peer = peer
        self._answer = answer

    async def post(self, request: web.Request) -> web.StreamResponse:
        self._peer.note(f"authorization {request.headers.get('authorization')}")
        if "mcp-param-region" in request.headers:
            self._peer.note(f"region {request.headers['mcp-param-region']}")
        instead = self._answer(request)
        if instead is not None:
            return instead
        message = await request.json()
        if message.get("method") == "initialize":
            self._peer.sessions.add("s1")
        elif not self._may_speak(request, message):
            return web.Response(status=404)
        if "id" not in message or "method" not in message:
            await self._peer.hear(message, _nowhere)
            return web.Response(status=202)
        return await self._streamed(request, message)

    async def get(self, _: web.Request) -> web.StreamResponse:
        return web.Response(status=405)

    async def delete(self, _: web.Request) -> web.StreamResponse:
        return web.Response(status=200)

    def _may_speak(self, request: web.Request, message: dict[str, Any]) -> bool:
        """Return whether a request belongs to a session, where the peer has some."""
        if not self._peer.options.get("legacy") or message.get("method") == "server/discover":
            return True
        return request.headers.get(SESSION) in self._peer.sessions

    async def _streamed(self, request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        headers = {"content-type": "text/event-stream"}
        if message["method"] == "initialize":
            headers[SESSION] = "s1"
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        answered = asyncio.Event()

        async def send(said: dict[str, Any]) -> None:
            await response.write(b"event: message\ndata: " + json.dumps(said).encode() + b"\n\n")
            if said.get("id") == message["id"] and "method" not in said:
                answered.set()

        await self._peer.hear(message, send)
        try:
            await answered.wait()
        except asyncio.CancelledError:
            self._peer.note("stream closed")
            self._peer.calls[message["id"]].cancel()
            raise
        return response


async def _nowhere(_: dict[str, Any]) -> None: ...
