"""Tasks that are narrowed when they begin: over HTTP and in Python, with keys that cannot widen them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from callgate.doors.python import GateDoor
from callgate.errors import Denied, Malformed
from callgate.testing.fakes import FakeToolset
from tests.doors.gatehouse import Gatehouse, open_gatehouse
from tests.doors.test_tools_api import NOTE, SAID

FAR = msgspec.structs.replace(NOTE, name="far.a")


@asynccontextmanager
async def house_of(path: Path) -> AsyncGenerator[Gatehouse]:
    """A gate with two tools that its agent may call."""
    toolset = FakeToolset(NOTE, FAR, script=[SAID] * 3)
    async with open_gatehouse(path, toolsets=[toolset]) as house:
        yield house


async def post(
    house: Gatehouse, path: str, page: object, key: str | None = None
) -> tuple[int, Any]:
    headers = {"authorization": f"Bearer {key or house.key}"}
    status, _, body = await house.post(path, json.dumps(page).encode(), headers)
    return status, json.loads(body)


async def listed(house: Gatehouse, path: str, key: str) -> Any:
    asked = {"authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(house.url + path, headers=asked) as reply,
    ):
        return await reply.json()


async def test_a_task_that_is_made_over_http_may_be_narrowed(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house:
        status, task = await post(
            house, "/api/tasks", {"id": "t1", "tools": ["far.*"], "models": ["smart"]}
        )
        assert (status, task["tools"], task["models"]) == (201, ["far.*"], ["smart"])
        status, _ = await post(house, "/api/tools/far.a", {"text": "hi"}, task["key"])
        assert status == 200
        status, page = await post(house, "/api/tools/note", {"text": "hi"}, task["key"])
        assert (status, page["error"]["kind"], page["callgate"]["code"]) == (
            403, "denied", "tool_denied",
        )  # fmt: skip


async def test_the_agents_own_key_is_held_to_what_the_task_is_narrowed_to(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house:
        await post(house, "/api/tasks", {"id": "t1", "tools": []})
        headers = {"callgate-task": "t1"}
        status, _, page = await house.post("/api/tools/note", b'{"text": "hi"}', headers)
        assert (status, json.loads(page)["callgate"]["scope"]) == (403, "task:t1")


async def test_a_task_key_lists_what_its_task_may_use_and_makes_no_wider_task(
    tmp_path: Path,
) -> None:
    async with house_of(tmp_path) as house:
        _, task = await post(house, "/api/tasks", {"tools": ["note"], "models": ["smart"]})
        tools = await listed(house, "/api/tools", task["key"])
        models = await listed(house, "/v1/models", task["key"])
        assert [tool["name"] for tool in tools["tools"]] == ["note"]
        assert [model["id"] for model in models["data"]] == ["smart"]
        status, page = await post(house, "/api/tasks", {"tools": ["far.a"]}, task["key"])
        assert (status, page["callgate"]["code"]) == (403, "task_key")


@pytest.mark.parametrize("asked", [{"tools": "note"}, {"models": [1]}])
async def test_what_is_no_list_of_names_is_refused(tmp_path: Path, asked: object) -> None:
    async with house_of(tmp_path) as house:
        status, page = await post(house, "/api/tasks", asked)
        assert (status, page["callgate"]["code"]) == (400, "malformed")


async def test_a_task_in_python_may_be_narrowed(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house:
        door = GateDoor(house.gate, "worker")
        async with door.task(id="t1", tools=["far.a"], models=[]) as task:
            assert [tool.name for tool in task.tools()] == ["far.a"]
            with pytest.raises(Denied, match="the task 't1' may not call 'note'"):
                await task.tool("note", text="hi")
            with pytest.raises(Denied, match="the task 't1' may not use 'smart'"):
                await task.model("smart", messages=[])


async def test_a_task_that_goes_on_is_not_narrowed_anew(tmp_path: Path) -> None:
    async with house_of(tmp_path) as house:
        door = GateDoor(house.gate, "worker")
        async with door.task(id="t1"):
            pass
        with pytest.raises(Malformed, match="its tools are all that its agent may use"):
            async with door.task(id="t1", tools=["note"]):
                pass
