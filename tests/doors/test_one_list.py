"""One agent uses a Python, an HTTP, a platform and two MCP tools in one task: one list, one receipt."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

import callgate
from callgate import tool
from callgate.doors.python import GateDoor
from callgate.testing.simulator import Simulator
from tests.contract.mcp.conftest import PEER
from tests.contract.mcp.front import serving
from tests.contract.mcp.peer import Peer

CANARIES = {
    "WEATHER_KEY": "weather-canary-0123456789",
    "PATCH_KEY": "ap_canary_0123456789abcdef",
    "NEAR_KEY": "near-canary-0123456789",
    "FAR_KEY": "far-canary-0123456789",
}
SEARCH = {
    "slug": "google-search",
    "price_credits": 50,
    "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}},
    "steps": [{"output": {"results": ["Rome"]}}],
}
SETTINGS = """
[gate]
store = "sqlite:gate.db"

[tools.weather]
description = "Tell the weather of a city."
effect = "read"
cost = "$0.002"
key = "env:WEATHER_KEY"
[tools.weather.http]
url = "{weather}/weather/{{city}}"
parameters = {{ city = {{ type = "string" }} }}

[platforms.patch]
profile = "agentpatch"
base_url = "{patch}"
key = "env:PATCH_KEY"
tools = ["google-search"]

[mcp.near]
command = {python}
args = [{peer}, {options}]
env = {{ TOKEN = "env:NEAR_KEY" }}

[mcp.far]
url = "{far}"
key = "env:FAR_KEY"

[agents.worker]
tools = ["add", "weather", "patch.*", "near.echo", "near.env", "far.echo"]

[tasks.default]
budget = "$1"
"""
CALLS: dict[str, dict[str, object]] = {
    "add": {"a": 2, "b": 3},
    "weather": {"city": "Rome"},
    "patch.google-search": {"q": "Rome"},
    "near.echo": {"text": "near"},
    "near.env": {},
    "far.echo": {"text": "far"},
}


@tool(effect="read", cost="$0.001")
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@dataclass
class World:
    """Every place that tools come from, and the settings that name them."""

    folder: Path
    settings: Path
    platform: Simulator
    heard: list[str]
    """What each far side was told of who calls."""


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Put all of it up."""
    for name, value in CANARIES.items():
        monkeypatch.setenv(name, value)
    heard: list[str] = []

    async def weather(request: web.Request) -> web.Response:
        heard.append(f"weather {request.headers.get('authorization')}")
        return web.json_response({"city": request.match_info["city"], "sky": "blue"})

    async with AsyncExitStack() as stack:
        app = web.Application()
        app.add_routes([web.get("/weather/{city}", weather)])
        runner = web.AppRunner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        script = {"platform": {"accounts": {CANARIES["PATCH_KEY"]: 1000}, "tools": [SEARCH]}}
        platform = await stack.enter_async_context(Simulator(script))
        peer = Peer({"journal": str(tmp_path / "far")})
        path = tmp_path / "callgate.toml"
        path.write_text(
            SETTINGS.format(
                weather=f"http://{host}:{port}",
                patch=platform.url,
                python=json.dumps(sys.executable),
                peer=json.dumps(str(PEER)),
                options=json.dumps(json.dumps({"journal": str(tmp_path / "near")})),
                far=await stack.enter_async_context(serving(peer)),
            )
        )
        yield World(tmp_path, path, platform, heard)


async def call_all(gate: GateDoor) -> tuple[dict[str, str], callgate.Receipt]:
    async with gate.task(id="t1") as task:
        said = {name: (await task.tool(name, **given)).text for name, given in CALLS.items()}
        return said, task.receipt


async def test_one_list_has_the_tools_of_every_source(world: World) -> None:
    async with callgate.open_gate(world.settings, tools=[add]) as gate, gate.task() as task:
        assert [each.name for each in task.tools()] == sorted(CALLS)


async def test_one_receipt_has_what_every_source_did_and_cost(world: World) -> None:
    async with callgate.open_gate(world.settings, tools=[add]) as gate:
        said, receipt = await call_all(gate)
    assert [json.loads(said[name]) for name in ("add", "weather")] == [
        5,
        {"city": "Rome", "sky": "blue"},
    ]
    assert "Rome" in said["patch.google-search"]
    assert [line.tool for line in receipt.tools] == sorted(CALLS)
    # $0.001 of ours, $0.002 of the settings, and 50 credits of $0.0001 as the platform has told.
    assert receipt.spent_nano_usd == 1_000_000 + 2_000_000 + 5_000_000
    assert (receipt.ok, receipt.unknown_costs, receipt.estimated) == (6, 0, False)
    assert world.platform.credits().movements[-1].balance == 1000 - 50


async def test_a_credential_reaches_its_own_tool_and_nothing_else(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with callgate.open_gate(world.settings, tools=[add]) as gate:
        said, _ = await call_all(gate)
    assert world.heard == [f"weather Bearer {CANARIES['WEATHER_KEY']}"]
    kept = "".join(path.read_bytes().decode("latin-1") for path in world.folder.glob("gate.db*"))
    seen = {
        name: [where for where, text in (("log", caplog.text), ("store", kept), ("said", str(said)))
               if canary in text]
        for name, canary in CANARIES.items()
    }  # fmt: skip
    assert seen == {name: [] for name in CANARIES}
    # A server tells its whole environment: its own credential is starred, and no other is there.
    assert '"TOKEN": "***"' in said["near.env"]
    far = (world.folder / "far").read_text()
    assert CANARIES["FAR_KEY"] in far
    assert not any(canary in far for name, canary in CANARIES.items() if name != "FAR_KEY")
