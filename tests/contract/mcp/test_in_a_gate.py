"""MCP servers of the settings, called by an agent through a whole gate."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from callgate.call import Ask, Caller, Claims, ToolCall, ToolResult, new_id
from callgate.config.loading import read_settings
from callgate.config.policies import Settings
from callgate.errors import CallgateError, Denied
from callgate.gate import Gate
from callgate.pipeline import ToolPassage
from tests.contract.mcp.conftest import PEER, eventually

SETTINGS = """
[mcp.peer]
command = {command}
args = [{peer}, {options}]
env = {{ MODE = {mode} }}

[tools."peer.echo"]
effect = "read"

[tools."peer.ask"]
timeout = "400ms"

[agents.worker]
tools = ["peer.e*", "peer.ask", "peer.crash", "peer.slow"]

[tasks.default]
timeout = "1m"
"""


def settings(folder: Path, *, mode: str = "one") -> Settings:
    options = json.dumps({"journal": str(folder / "journal")})
    told = [json.dumps(each) for each in (sys.executable, str(PEER), options, mode)]
    text = SETTINGS.format(command=told[0], peer=told[1], options=told[2], mode=told[3])
    path = folder / "callgate.toml"
    path.write_text(text)
    return read_settings(text, path)


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    gate = await Gate.open(settings(tmp_path), environ={"PATH": "/usr/bin:/bin"})
    await eventually(lambda: bool(gate.tools(Caller(agent="worker"))))
    yield gate
    await gate.close()


async def call(
    gate: Gate, name: str, *, on_question: Ask | None = None, **arguments: object
) -> ToolResult:
    passage = ToolPassage(
        call=ToolCall(
            id=new_id("call"),
            door="python",
            caller=Caller(agent="worker"),
            claims=Claims(task_id="t1"),
            started_at=gate.clock.now(),
            name=name,
            body=json.dumps(arguments).encode(),
            on_question=on_question,
        )
    )
    async with gate.tool_road(passage) as reply:
        return reply.result


async def test_an_agent_sees_and_calls_the_tools_that_it_may(gate: Gate) -> None:
    names = [tool.name for tool in gate.tools(Caller(agent="worker"))]
    assert names == [f"peer.{name}" for name in ("ask", "crash", "echo", "env", "error", "slow")]
    assert (await call(gate, "peer.echo", text="through the gate")).text == "through the gate"


async def test_an_agent_may_call_no_other(gate: Gate) -> None:
    with pytest.raises(Denied):
        await call(gate, "peer.data")


async def test_the_settings_have_the_last_word_about_a_tool(gate: Gate) -> None:
    effects = {tool.name: tool.effect for tool in gate.tools(Caller(agent="worker"))}
    assert (effects["peer.echo"], effects["peer.env"]) == ("read", "destructive")


async def test_a_call_whose_server_died_is_of_unknown_outcome_and_never_repeated(
    gate: Gate, tmp_path: Path
) -> None:
    with pytest.raises(CallgateError) as caught:
        await call(gate, "peer.crash")
    assert caught.value.code == "outcome_unknown"
    assert (tmp_path / "journal").read_text().count("call crash") == 1
    assert (await call(gate, "peer.echo", text="again")).text == "again"


async def test_a_question_of_a_tool_reaches_who_called_it_and_may_take_its_time(
    gate: Gate,
) -> None:
    async def answer(question: Mapping[str, Any]) -> Mapping[str, Any]:
        await asyncio.sleep(0.6)
        return {"action": "accept", "content": {"city": question["message"]}}

    result = await call(gate, "peer.ask", on_question=answer)
    assert json.loads(result.text)["content"] == {"city": "Which city?"}


async def test_a_reload_that_changes_nothing_keeps_the_server(gate: Gate, tmp_path: Path) -> None:
    await gate.reload(settings(tmp_path))
    await call(gate, "peer.echo", text="x")
    assert (tmp_path / "journal").read_text().count("pid ") == 1


async def test_calls_under_way_outlive_a_reload_that_changes_their_server(
    gate: Gate, tmp_path: Path
) -> None:
    slow = asyncio.create_task(call(gate, "peer.slow", seconds=0.5))
    await eventually(lambda: "call slow" in (tmp_path / "journal").read_text())
    await gate.reload(settings(tmp_path, mode="two"))
    assert (await slow).text == "slept"
    await eventually(lambda: bool(gate.tools(Caller(agent="worker"))))
    assert json.loads((await call(gate, "peer.env")).text)["MODE"] == "two"
