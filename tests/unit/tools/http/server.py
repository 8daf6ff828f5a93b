"""A server on a real socket that answers by a script, and a tool of the settings that asks it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from callgate.call import Tool, ToolResult
from callgate.config.loading import read_settings
from callgate.config.problems import InvalidSettings
from callgate.tools.http import HttpTools
from tests.unit.tools.calling import invocation


@dataclass
class Asked:
    """One request as it came in."""

    method: str
    target: str
    """Path and query, as they were sent."""
    headers: Mapping[str, str]
    body: str


class HangUp(web.StreamResponse):
    """A reply of 50 bytes that ends after one."""

    def __init__(self) -> None:
        super().__init__(headers={"content-length": "50"})


class Silence(web.StreamResponse):
    """No reply at all, until the end."""


@dataclass
class Server:
    """The server, what it was asked, and the tool that asks."""

    url: str
    asked: list[Asked] = field(default_factory=list[Asked])
    script: list[web.StreamResponse] = field(default_factory=list[web.StreamResponse])
    tools: HttpTools = field(default_factory=lambda: HttpTools(()))
    credential: str | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set at the end."""
    name: str = "t"
    """What the tool is called."""

    @property
    def last(self) -> Asked:
        """The newest request."""
        return self.asked[-1]

    @property
    def tool(self) -> Tool:
        """The tool."""
        (tool,) = self.tools.tools()
        return tool

    def declare(
        self, settings: str, *, path: str = "/", tool: str = "", key: str | None = None
    ) -> None:
        """Have a tool whose table ``http`` says this, and whose own table says that."""
        text = f"""
            [tools.{self.name}]
            description = "A tool."
            {tool}
            {'key = "env:KEY"' if key else ""}
            [tools.{self.name}.http]
            url = "{self.url}{path}"
            {settings}
        """
        try:
            policy = read_settings(text, Path("/srv/callgate.toml")).tools[self.name]
        except InvalidSettings as invalid:
            raise AssertionError(str(invalid)) from invalid
        self.tools = HttpTools([policy])
        self.credential = key

    def answers(
        self,
        body: str | bytes = "{}",
        *,
        status: int = 200,
        type: str = "application/json",
        **headers: str,
    ) -> None:
        """Answer one more request like this; a name of a header has ``_`` for ``-``."""
        self.script.append(
            web.Response(
                body=body if isinstance(body, bytes) else body.encode(),
                status=status,
                headers={
                    "content-type": type,
                    **{name.replace("_", "-"): value for name, value in headers.items()},
                },
            )
        )

    async def call(self, **arguments: Any) -> ToolResult:
        """Call the tool."""
        attempt = invocation(self.tool, arguments, credential=self.credential)
        return await self.tools.call(attempt)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Note a request, and answer by the script."""
        body = (await request.read()).decode()
        self.asked.append(Asked(request.method, request.raw_path, request.headers, body))
        response = self.script.pop(0) if self.script else web.json_response({"ok": True})
        if isinstance(response, HangUp):
            await response.prepare(request)
            await response.write(b"{")
            assert request.transport is not None
            request.transport.close()
        if isinstance(response, Silence):
            await self.over.wait()
        return response


@asynccontextmanager
async def serving() -> AsyncGenerator[Server]:
    """Open a server, with a tool that asks it."""
    server = Server(url="")
    runner = web.ServerRunner(web.Server(server.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}"
    server.declare("")
    try:
        yield server
    finally:
        server.over.set()
        await server.tools.close()
        await runner.cleanup()
