"""Tools over plain HTTP and in Python: listed, called, refused, and the same rows from both doors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from callgate.call import Tool, ToolResult
from callgate.doors.python import GateDoor
from callgate.errors import (
    BadCredential,
    CallgateError,
    OutOfCredit,
    RateLimited,
    ToolBug,
    Transient,
)
from callgate.money import Money
from callgate.testing.fakes import FakeToolset, Silence, ToolLine
from callgate.tools import Pinning
from tests.doors.gatehouse import Gatehouse, open_gatehouse
from tests.doors.test_one_road import alike

CENT = Money.dollars("0.01")
NOTE = Tool(
    name="note",
    description="Note something.",
    input_schema={
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
    },
    effect="write",
    toolset="python",
    remote_name="note",
    cost=CENT,
)
SAID = ToolResult(content=({"type": "text", "text": "noted"},), structured={"id": 7})


def toolset(*script: ToolLine) -> FakeToolset:
    """The tool, one that the agent may not call, and what they answer."""
    return FakeToolset(NOTE, msgspec.structs.replace(NOTE, name="secret"), script=script)


async def post(
    house: Gatehouse, name: str, arguments: object, **headers: str
) -> tuple[int, Mapping[str, str], Any]:
    body = json.dumps(arguments).encode()
    status, answered, page = await house.post(f"/api/tools/{name}", body, headers)
    return status, answered, json.loads(page)


async def test_a_call_answers_with_what_the_tool_said(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, toolsets=[toolset(SAID)]) as house:
        status, headers, page = await post(house, "note", {"text": "hi"})
        assert (status, page["structured"], page["is_error"]) == (200, {"id": 7}, False)
        assert page["content"] == [{"type": "text", "text": "noted"}]
        assert headers["callgate-call"] == page["callgate"]["call_id"] == house.rows[0].id
        assert headers["callgate-task"] == page["callgate"]["task_id"]


async def test_the_list_has_exactly_the_tools_of_the_agent(tmp_path: Path) -> None:
    async with (
        open_gatehouse(tmp_path, toolsets=[toolset()]) as house,
        aiohttp.ClientSession() as session,
    ):
        asked = {"authorization": f"Bearer {house.key}"}
        async with session.get(house.url + "/api/tools", headers=asked) as reply:
            (tool,) = (await reply.json())["tools"]
        assert (tool["name"], tool["effect"], tool["idempotent"]) == ("note", "write", False)
        assert (tool["cost_nano_usd"], tool["input_schema"]) == (CENT.nano, NOTE.input_schema)


async def test_a_stranger_sees_and_calls_nothing(tmp_path: Path) -> None:
    called = toolset()
    async with (
        open_gatehouse(tmp_path, toolsets=[called]) as house,
        aiohttp.ClientSession() as session,
    ):
        async with session.get(house.url + "/api/tools") as listing:
            assert listing.status == 401
        async with session.post(house.url + "/api/tools/note", json={"text": "hi"}) as reply:
            page = await reply.json()
            assert (reply.status, page["callgate"]["code"]) == (401, "unauthenticated")
        assert (called.called, house.rows) == ([], [])


@pytest.mark.parametrize(
    ("name", "arguments", "status", "kind"),
    [
        ("secret", {"text": "hi"}, 403, "denied"),
        ("far.none", {}, 404, "not_found"),
        ("note", {"txt": "hi"}, 400, "invalid_arguments"),
        ("note", [1], 400, "invalid_arguments"),
    ],
)
async def test_a_refusal_says_what_kind_it_is_and_what_to_do(
    tmp_path: Path, name: str, arguments: object, status: int, kind: str
) -> None:
    async with open_gatehouse(tmp_path, toolsets=[toolset()]) as house:
        answered, headers, page = await post(house, name, arguments)
        error = page["error"]
        assert (answered, error["kind"], error["attempts"]) == (status, kind, 0)
        assert error["hint"]
        assert page["callgate"]["fix"]
        assert headers["x-should-retry"] == "false"


async def test_a_body_that_is_too_large_is_refused(tmp_path: Path) -> None:
    async with open_gatehouse(
        tmp_path, gate_lines='max_body_bytes = "1KB"', toolsets=[toolset()]
    ) as house:
        status, _, page = await post(house, "note", {"text": "x" * 2_000})
        assert (status, page["callgate"]["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("failure", "status", "kind"),
    [
        (Transient("reset by 10.0.0.7", billed=True), 424, "outcome_unknown"),
        (BadCredential("key sk-canary rejected", billed=False), 502, "auth"),
        (OutOfCredit("balance 3 of 50", billed=False), 502, "funds"),
        (ToolBug("KeyError: 'canary'", billed=True), 424, "outcome_unknown"),
    ],
)
async def test_a_failure_says_what_kind_it_is(
    tmp_path: Path, failure: CallgateError, status: int, kind: str
) -> None:
    async with open_gatehouse(tmp_path, toolsets=[toolset(failure)]) as house:
        answered, _, page = await post(house, "note", {"text": "hi"})
        assert (answered, page["error"]["kind"]) == (status, kind)
        assert page["error"]["retryable"] is False


async def test_a_tool_that_is_not_what_was_accepted_is_unavailable(tmp_path: Path) -> None:
    called = FakeToolset(NOTE, pinning=Pinning(accepting="nothing"))
    async with open_gatehouse(tmp_path, toolsets=[called]) as house:
        status, headers, page = await post(house, "note", {"text": "hi"})
        assert (status, page["error"]["kind"]) == (403, "tool_changed")
        assert page["error"]["message"].startswith("note is unavailable now")
        assert headers["x-should-retry"] == "false"
        assert (house.rows[0].code, called.called) == ("tool_new", [])


async def test_the_words_about_a_credential_are_not_for_agents(tmp_path: Path) -> None:
    failure = BadCredential("the key cg-canary is rejected", billed=False)
    async with open_gatehouse(tmp_path, toolsets=[toolset(failure)]) as house:
        _, _, page = await post(house, "note", {"text": "hi"})
        assert "canary" not in json.dumps(page["error"])
        assert page["error"]["message"].startswith("note cannot be used now")


async def test_a_wait_is_told_where_there_is_one(tmp_path: Path) -> None:
    failure = RateLimited("slow down", billed=False, retry_after_seconds=3_000.0)
    async with open_gatehouse(tmp_path, toolsets=[toolset(failure)]) as house:
        status, _, page = await post(house, "note", {"text": "hi"})
        error = page["error"]
        assert (status, error["kind"]) == (429, "rate_limited")
        assert (error["retryable"], error["retry_after_ms"]) == (True, 3_000_000)


async def test_a_limit_of_ours_tells_when_to_come_back(tmp_path: Path) -> None:
    async with open_gatehouse(
        tmp_path, task_lines="per_minute = 1", toolsets=[toolset(SAID)]
    ) as house:
        await post(house, "note", {"text": "hi"})
        status, headers, page = await post(house, "note", {"text": "again"})
        assert (status, page["error"]["kind"], page["error"]["retryable"]) == (
            429,
            "rate_limited",
            True,
        )
        assert 0 < int(headers["retry-after-ms"]) <= 60_000
        assert "x-should-retry" not in headers


async def test_a_client_that_hangs_up_ends_the_call_and_its_row(tmp_path: Path) -> None:
    called = toolset(Silence())
    async with open_gatehouse(
        tmp_path, gate_lines='on_disconnect = "cancel"', toolsets=[called]
    ) as house:
        host, port = house.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        head = (
            f"POST /api/tools/note HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {house.key}\r\n"
        )
        writer.write(f'{head}content-length: 13\r\n\r\n{{"text":"hi"}}'.encode())
        await called.reached.wait()
        writer.close()
        # Before the gate is told to stop, which would end every call.
        async with asyncio.timeout(5):
            await called.cancelled.wait()
        await house.settled()
        (row,) = house.rows
        assert (row.state, len(row.attempts)) == ("left", 1)


async def test_a_mistake_of_our_own_tells_nothing_from_within(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, toolsets=[toolset(KeyError("canary"))]) as house:
        status, _, page = await post(house, "note", {"text": "hi"})
        assert (status, page["error"]["kind"]) == (500, "internal")
        assert "canary" not in json.dumps(page)
        assert house.rows[0].id in page["error"]["message"]


async def by_python(house: Gatehouse, arguments: Mapping[str, object]) -> None:
    door = GateDoor(house.gate, "worker")
    try:
        async with door.task(id="t1") as task:
            await task.tool("note", **arguments)
    except CallgateError:
        pass
    await door.finish()


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        (SAID, {"text": "hi"}),
        (SAID, {"txt": "hi"}),
        (Transient("down", billed=True), {"text": "hi"}),
        (RateLimited("slow", billed=False), {"text": "hi"}),
    ],
)
async def test_http_and_python_leave_the_same_rows(
    tmp_path: Path, line: ToolResult | BaseException, arguments: Mapping[str, object]
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with open_gatehouse(tmp_path / "a", toolsets=[toolset(line)]) as house:
        await post(house, "note", arguments, **{"callgate-task": "t1"})
        await house.settled()
        http = alike(house)
    async with open_gatehouse(tmp_path / "b", toolsets=[toolset(line)]) as house:
        await by_python(house, arguments)
        assert alike(house) == http


async def test_a_task_lists_and_calls_its_tools_in_python(tmp_path: Path) -> None:
    async with (
        open_gatehouse(tmp_path, toolsets=[toolset(SAID)]) as house,
        GateDoor(house.gate, "worker").task() as task,
    ):
        assert [tool.name for tool in task.tools()] == ["note"]
        result = await task.tool("note", text="hi")
        assert (result.text, result.structured) == ("noted", {"id": 7})
        assert task.receipt.spent_nano_usd == CENT.nano
