"""A transport for the official SDKs: their requests reach the HTTP doors without a network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2

from callgate.doors.app import http_app
from callgate.gate import Gate
from callgate.task import Task


class Transport(httpx2.AsyncBaseTransport):
    """Hands each request of an SDK's client to the gate's HTTP doors, in this process."""

    def __init__(self, gate: Gate, task: Task) -> None:
        self._gate = gate
        self._task = task
        self._app = http_app(gate)
        self._key: str | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer one request; the reply's body may still be arriving."""
        if self._key is None:
            self._key = await self._gate.create_task_key(self._task)
        body = await request.aread()
        exchange = _Exchange(body)
        scope = _scope(request, self._key)
        exchange.run(self._app(scope, exchange.receive, exchange.send))
        status, headers = await exchange.opened()
        return httpx2.Response(status, headers=headers, stream=_Body(exchange))


class _Exchange:
    """The two ends of one ASGI request inside a process."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._gone = asyncio.Event()
        self._start: asyncio.Future[tuple[int, list[tuple[bytes, bytes]]]] = (
            asyncio.get_running_loop().create_future()
        )
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(64)
        self._runner: asyncio.Task[None] | None = None

    def run(self, app: Any) -> None:
        """Start the application on this request."""
        self._runner = asyncio.ensure_future(self._answer(app))

    async def _answer(self, app: Any) -> None:
        try:
            await app
        except Exception as error:
            if self._start.done():
                raise
            self._start.set_exception(error)

    async def receive(self) -> dict[str, Any]:
        """Give the application the request's body, then the end of its client."""
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """Take what the application answers."""
        if message["type"] == "http.response.start":
            if not self._start.done():
                self._start.set_result((message["status"], message["headers"]))
            return
        if self._gone.is_set():
            return
        if message.get("body"):
            await self._pieces.put(message["body"])
        if not message.get("more_body", False):
            await self._pieces.put(None)

    async def opened(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Wait for status and headers; a caller that is cancelled has hung up."""
        try:
            return await asyncio.shield(self._start)
        except asyncio.CancelledError:
            self.leave()
            raise

    async def pieces(self) -> AsyncIterator[bytes]:
        """Give the body as it comes."""
        while (piece := await self._pieces.get()) is not None:
            yield piece

    def leave(self) -> None:
        """Tell the application that its client is gone."""
        self._gone.set()
        while not self._pieces.empty():
            self._pieces.get_nowait()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._exchange.pieces():
            yield piece

    async def aclose(self) -> None:
        self._exchange.leave()


def _scope(request: httpx2.Request, key: str) -> dict[str, Any]:
    headers = [
        (name.lower(), value)
        for name, value in request.headers.raw
        if name.lower() not in {b"authorization", b"x-api-key"}
    ]
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.url.path,
        "raw_path": request.url.raw_path,
        "query_string": request.url.query,
        "root_path": "",
        "headers": [*headers, (b"authorization", f"Bearer {key}".encode())],
        "client": None,
        "server": ("callgate", 80),
    }
