"""From a client of MCP through the gate to a server of MCP, each of either generation."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import mcp_types
import pytest
from mcp.client import ClientRequestContext

from callgate.call import Caller
from tests.contract.mcp.conftest import PEER, eventually
from tests.doors.gatehouse import Gatehouse, open_gatehouse
from tests.doors.test_mcp_clients import client, text_of

GENERATIONS = ("2026-07-28", "legacy")

SERVER = """
command = {command}
args = [{peer}, {options}]
"""


@asynccontextmanager
async def through(folder: Path, mode: str) -> AsyncGenerator[Gatehouse]:
    """A gate before a server of a generation."""
    options = json.dumps({"journal": str(folder / "journal"), "legacy": mode == "legacy"})
    command, peer, told = (json.dumps(each) for each in (sys.executable, str(PEER), options))
    server = SERVER.format(command=command, peer=peer, options=told)
    async with open_gatehouse(folder, servers={"far": server}) as house:
        await eventually(lambda: bool(house.gate.tools(Caller(agent="worker"))))
        yield house


@pytest.mark.parametrize("near", GENERATIONS)
@pytest.mark.parametrize("far", GENERATIONS)
async def test_a_call_comes_back_with_its_progress(tmp_path: Path, near: str, far: str) -> None:
    heard: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, total, message))

    async with through(tmp_path, far) as house, client(house, near) as asking:
        result = await asking.call_tool("far.slow", {"steps": 2}, progress_callback=hear)
        assert text_of(result) == "slept"
        assert heard == [(1, 2, "step 1"), (2, 2, "step 2")]
        assert [(row.target, row.state) for row in house.rows] == [("far.slow", "ok")]


@pytest.mark.parametrize("near", GENERATIONS)
@pytest.mark.parametrize("far", GENERATIONS)
async def test_what_a_server_asks_is_answered_by_the_user_of_the_client(
    tmp_path: Path, near: str, far: str
) -> None:
    async def answer(
        _context: ClientRequestContext, params: mcp_types.ElicitRequestParams
    ) -> mcp_types.ElicitResult:
        assert params.message == "Which city?"
        told: Any = {"city": "Kiel"}
        return mcp_types.ElicitResult(action="accept", content=told)

    async with (
        through(tmp_path, far) as house,
        client(house, near, elicitation_callback=answer) as asking,
    ):
        result = await asking.call_tool("far.ask", {})
        assert json.loads(text_of(result))["content"] == {"city": "Kiel"}


async def test_the_key_of_the_agent_does_not_reach_a_server(tmp_path: Path) -> None:
    async with through(tmp_path, "2026-07-28") as house, client(house, "2026-07-28") as asking:
        result = await asking.call_tool("far.env", {})
        assert house.key not in text_of(result)
        assert house.key not in (tmp_path / "journal").read_text()
