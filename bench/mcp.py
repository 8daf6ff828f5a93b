"""What a governed call to a tool costs over MCP: by the gate's own door, and by the official SDK's server.

Both stand on the gate's HTTP server and hand the same call to the same road, which ends at a function
that answers at once; so what differs is the protocol. ``python -m bench.mcp`` prints both.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop
from starlette.types import ASGIApp

from bench.gateways import AGENT_KEY, ROOT, Cost, Gateway, cost, running
from callgate.call import Claims, Tool, ToolCall, ToolResult, new_id
from callgate.config import load
from callgate.doors.app import http_app
from callgate.doors.server import Server
from callgate.gate import Gate
from callgate.money import Money
from callgate.pipeline import ToolPassage
from callgate.tools import Invocation

REQUESTS: Final = 4_000
WARM_UP: Final = 500
ROUNDS: Final = 3

SETTINGS: Final = """\
[gate]
store = "sqlite:bench.db"
[agents.bench]
key = "env:BENCH_KEY"
tools = ["echo"]
[tasks.default]
budget = "$100000"
timeout = "24h"
"""

ECHO: Final = Tool(
    name="echo",
    description="Say the same.",
    input_schema={
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
    },
    effect="read",
    toolset="bench",
    remote_name="echo",
    cost=Money(1_000),
)


class Instant:
    """A toolset that answers at once."""

    name = "bench"
    pinning = None

    def start(self) -> None:
        """Nothing goes on beside the calls."""

    def tools(self) -> Sequence[Tool]:
        """Return its only tool."""
        return _TOOLS

    async def call(self, invocation: Invocation, /) -> ToolResult:
        """Say the same."""
        return ToolResult(content=({"type": "text", "text": invocation.arguments["text"]},))

    async def close(self) -> None:
        """Nothing is open."""


_TOOLS: Final = (ECHO,)

CALL: Final = msgspec.json.encode({
    "jsonrpc": "2.0", "id": 1, "method": "tools/call",
    "params": {
        "name": "echo", "arguments": {"text": "Rotterdam moves more than Hamburg. " * 20},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    },
})  # fmt: skip


class McpGateway(Gateway, frozen=True, kw_only=True):
    """A gateway that is asked over MCP."""

    def request(self, *, stream: bool = False, user: str = "u1") -> str:
        """Return one call of the tool."""
        del stream, user
        lines = [
            "POST /mcp HTTP/1.1",
            "host: 127.0.0.1",
            "content-type: application/json",
            "accept: application/json, text/event-stream",
            "mcp-protocol-version: 2026-07-28",
            "mcp-method: tools/call",
            "mcp-name: echo",
            *(f"{name}: {value}" for name, value in self.headers),
            f"content-length: {len(CALL)}",
        ]
        return "\r\n".join([*lines, "", ""]) + CALL.decode()


async def measure() -> dict[str, list[Cost]]:
    """Return every round of both, which take turns."""
    costs: dict[str, list[Cost]] = {"callgate": [], "SDK": []}
    async with _gateway("callgate") as own, _gateway("SDK") as sdk:
        for gateway in (own, sdk):
            await cost(gateway, requests=WARM_UP)
        for _ in range(ROUNDS):
            for gateway in (own, sdk):
                costs[gateway.name].append(await cost(gateway, requests=REQUESTS))
    return costs


def cpu_ms(rounds: Sequence[Cost]) -> float:
    """Return the CPU of one call in milliseconds, as the median of its rounds."""
    return statistics.median(each.cpu_us for each in rounds) / 1e3


@asynccontextmanager
async def _gateway(name: str) -> AsyncGenerator[Gateway]:
    with tempfile.TemporaryDirectory(prefix="callgate-bench-", dir=ROOT) as folder:
        command = (sys.executable, "-m", "bench.mcp", name, folder)
        async with running(*command) as (child, origin):
            headers = (("authorization", f"Bearer {AGENT_KEY}"), ("callgate-task", "bench-{n}"))
            yield McpGateway(name=name, origin=origin, headers=headers, pid=child.pid)


async def serve(name: str, folder: Path) -> None:
    """Serve the tool until killed, by the door of that name."""
    config = folder / "callgate.toml"
    config.write_text(SETTINGS)
    environ = {"BENCH_KEY": AGENT_KEY}
    gate = await Gate.open(load(config, environ=environ), environ=environ, toolsets=[Instant()])
    if name == "callgate":
        await _listen(http_app(gate))
    else:
        await _serve_by_sdk(gate)


async def _listen(app: ASGIApp) -> None:
    server = Server(app, host="127.0.0.1", port=0)
    await server.start()
    print(server.url, flush=True)
    await asyncio.Event().wait()


async def _serve_by_sdk(gate: Gate) -> None:
    import mcp_types as types  # noqa: PLC0415 - what the other door does not need is not in its memory
    from mcp.server.lowlevel import Server as McpServer  # noqa: PLC0415 - the same
    from mcp.server.streamable_http_manager import (  # noqa: PLC0415 - the same
        StreamableHTTPSessionManager,
    )

    async def call(ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        headers = ctx.request.headers
        call = ToolCall(
            id=new_id("call"),
            door="mcp",
            caller=gate.authenticate(headers["authorization"][7:]),
            claims=Claims(task_id=headers["callgate-task"]),
            started_at=gate.clock.now(),
            name=params.name,
            body=msgspec.json.encode(params.arguments),
        )
        async with gate.tool_road(ToolPassage(call=call)) as reply:
            blocks = [types.TextContent(text=block["text"]) for block in reply.result.content]
            return types.CallToolResult(content=list(blocks), _meta={"callgate/call": call.id})

    async def tools(_ctx: Any, _params: Any) -> types.ListToolsResult:
        listed = types.Tool(name=ECHO.name, input_schema=dict(ECHO.input_schema))
        return types.ListToolsResult(tools=[listed])

    server: McpServer[Any] = McpServer(
        "callgate",
        on_call_tool=call,
        on_list_tools=tools,
        get_tool_input_schema=lambda _name: dict(ECHO.input_schema),
    )
    manager = StreamableHTTPSessionManager(server, stateless=True)
    async with manager.run():
        await _listen(manager.handle_request)


def main() -> None:
    """Be one of the doors, or print what both cost."""
    if sys.argv[1:]:
        uvloop.run(serve(sys.argv[1], Path(sys.argv[2])))
        return
    for name, rounds in asyncio.run(measure()).items():
        last = rounds[-1]
        print(
            f"{name:10}{cpu_ms(rounds):8.3f} ms CPU{last.per_second:8.0f} calls/s"
            f"{last.p50_ms:8.1f} ms p50{last.memory_mb:6.0f} MB  failed {last.failed}"
        )


if __name__ == "__main__":
    main()
