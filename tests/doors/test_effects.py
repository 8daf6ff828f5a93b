"""An agent that asks again for what a tool has done is told so, at every door."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from callgate.doors.python import GateDoor
from callgate.errors import Malformed, TimedOut
from tests.doors.gatehouse import Gatehouse, open_gatehouse
from tests.doors.test_mcp_door import HI
from tests.doors.test_mcp_door import ask as call_tool
from tests.doors.test_tools_api import SAID, post, toolset

TASK = {"callgate-task": "t1"}


async def ask(house: Gatehouse, **headers: str) -> tuple[int, Any]:
    status, _, page = await post(house, "note", {"text": "hi"}, **TASK, **headers)
    return status, page


async def test_over_http_a_program_and_a_model_are_told(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, toolsets=[toolset(SAID)]) as house:
        _, first = await ask(house)
        status, again = await ask(house)
        earlier = again["callgate"]["already_done"]
        assert (status, again["structured"]) == (200, {"id": 7})
        assert (earlier["call_id"], earlier["same_arguments"]) == (house.rows[0].id, True)
        assert again["content"][:-1] == first["content"]
        assert "already done" in again["content"][-1]["text"]


async def test_over_http_a_call_says_for_which_time_it_is_meant(tmp_path: Path) -> None:
    tools = toolset(SAID, SAID)
    async with open_gatehouse(tmp_path, toolsets=[tools]) as house:
        await ask(house)
        for _ in range(2):
            assert (await ask(house, **{"callgate-repeat": "2"}))[0] == 200
        assert len(tools.called) == 2


@pytest.mark.parametrize("said", ["again", "1.5", "-1", "0"])
async def test_a_time_that_is_no_number_is_refused(tmp_path: Path, said: str) -> None:
    tools = toolset()
    async with open_gatehouse(tmp_path, toolsets=[tools]) as house:
        status, page = await ask(house, **{"callgate-repeat": said})
        assert (status, page["callgate"]["code"], tools.called) == (400, "repeat_range", [])


async def test_over_http_nobody_tries_what_nobody_knows(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, toolsets=[toolset(TimedOut("late", billed=True))]) as house:
        assert (await ask(house))[0] == 424
        status, page = await ask(house)
        assert (status, page["error"]["kind"]) == (424, "outcome_unknown")
        assert page["callgate"]["fix"].startswith(
            "find out whether it has happened, then: callgate"
        )


async def test_in_python_a_task_repeats_on_purpose(tmp_path: Path) -> None:
    tools = toolset(SAID, SAID)
    async with (
        open_gatehouse(tmp_path, toolsets=[tools]) as house,
        GateDoor(house.gate, "worker").task() as task,
    ):
        await task.tool("note", text="hi")
        assert (await task.tool("note", text="hi")).already_done is not None
        assert (await task.repeat("note", 2, text="hi")).already_done is None
        with pytest.raises(Malformed, match="and 3 would be next"):
            await task.repeat("note", 4, text="hi")
        assert len(tools.called) == 2


async def test_over_mcp_a_program_and_a_model_are_told(tmp_path: Path) -> None:
    tools = toolset(SAID, SAID)
    async with open_gatehouse(tmp_path, toolsets=[tools]) as house:
        await call_tool(house, "tools/call", HI, callgate_task="t1")
        _, page = await call_tool(house, "tools/call", HI, callgate_task="t1")
        told = page["result"]
        assert told["structuredContent"] == {"id": 7}
        assert "already done" in told["content"][-1]["text"]
        assert told["_meta"]["callgate/already-done"]["call_id"] == house.rows[0].id
        again = {**HI, "_meta": {"callgate/repeat": 2}}
        for _ in range(2):
            await call_tool(house, "tools/call", again, callgate_task="t1")
        assert len(tools.called) == 2


async def test_over_mcp_a_time_that_is_no_number_is_refused(tmp_path: Path) -> None:
    tools = toolset()
    async with open_gatehouse(tmp_path, toolsets=[tools]) as house:
        again = {**HI, "_meta": {"callgate/repeat": "again"}}
        _, page = await call_tool(house, "tools/call", again, callgate_task="t1")
        error = page["result"]["structuredContent"]["error"]
        assert (error["reason"]["code"], tools.called) == ("repeat_range", [])
