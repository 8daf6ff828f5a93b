"""MCP on the wire: what is taken, what is refused and how, and that it is the same road."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from callgate.call import Effect, ToolResult
from callgate.doors.app import http_app
from callgate.doors.server import Server
from callgate.errors import RateLimited, Transient
from callgate.gate import Gate
from callgate.testing.fakes import Asks, FakeToolset, Silence
from tests.doors.gatehouse import ENVIRON, Gatehouse, open_gatehouse
from tests.doors.test_one_road import alike
from tests.doors.test_tools_api import NOTE, SAID, by_python, post, toolset

META: Mapping[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
LISTENS = {"accept": "application/json, text/event-stream"}
HI = {"name": "note", "arguments": {"text": "hi"}}


async def send(
    house: Gatehouse, message: object, *, at: str = "/mcp", **headers: str
) -> tuple[int, Any]:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    status, _, page = await house.post(at, body, named)
    return status, json.loads(page or b"null")


async def ask(
    house: Gatehouse, method: str, params: Mapping[str, Any] | None = None, **headers: str
) -> tuple[int, Any]:
    """Send a request of today's generation."""
    params = {**(params or {}), "_meta": {**META, **(params or {}).get("_meta", {})}}
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    own = {"mcp_protocol_version": "2026-07-28", "mcp_method": method}
    if "name" in params:
        own["mcp_name"] = params["name"]
    return await send(house, message, **{**own, **headers})


async def ask_as_before(
    house: Gatehouse, method: str, params: Mapping[str, Any] | None = None, **headers: str
) -> tuple[int, Any]:
    """Send a request of an earlier generation."""
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
    return await send(house, message, **headers)


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        (SAID, {"text": "hi"}),
        (SAID, {"txt": "hi"}),
        (ToolResult(is_error=True), {"text": "hi"}),
        (Transient("down", billed=True), {"text": "hi"}),
        (RateLimited("slow", billed=False), {"text": "hi"}),
    ],
)
async def test_every_door_leaves_the_same_rows(
    tmp_path: Path, line: ToolResult | BaseException, arguments: Mapping[str, object]
) -> None:
    rows = {}
    for door in ("rest", "python", "mcp"):
        (tmp_path / door).mkdir()
        async with open_gatehouse(tmp_path / door, toolsets=[toolset(line)]) as house:
            if door == "python":
                await by_python(house, arguments)
            elif door == "rest":
                await post(house, "note", arguments, **{"callgate-task": "t1"})
            else:
                called = {"name": "note", "arguments": arguments}
                await ask(house, "tools/call", called, callgate_task="t1")
            await house.settled()
            rows[door] = alike(house)
    assert rows["mcp"] == rows["rest"] == rows["python"]


async def test_a_stranger_costs_a_counter_and_no_row(tmp_path: Path) -> None:
    async with (
        open_gatehouse(tmp_path, toolsets=[toolset()]) as house,
        aiohttp.ClientSession() as session,
        session.post(f"{house.url}/mcp", json={}) as reply,
    ):
        assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
        assert (await reply.json())["error"]["data"]["callgate"]["code"] == "unauthenticated"
        assert (house.gate.strangers, house.rows) == (1, [])


async def test_a_key_in_the_address_opens_nothing(tmp_path: Path) -> None:
    async with (
        open_gatehouse(tmp_path, toolsets=[toolset()]) as house,
        aiohttp.ClientSession() as session,
        session.post(f"{house.url}/mcp?key={house.key}", json={}) as reply,
    ):
        assert reply.status == 401


@pytest.mark.parametrize(
    ("body", "number"),
    [
        (b"{", -32700),
        (b'{"jsonrpc": "2.0", "method": "\xff"}', -32700),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "m", "params": {"_meta": ' + b"[" * 9_999, -32700),
        (b"[]", -32600),
        (b'[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]', -32600),
        (b'{"jsonrpc": "2.0", "id": null, "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": true, "method": "ping"}', -32600),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "result": {}}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": [1]}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": 7}}', -32602),
    ],
)
async def test_what_is_no_message_is_refused_and_leaves_a_row(
    tmp_path: Path, body: bytes, number: int
) -> None:
    async with open_gatehouse(tmp_path, toolsets=[toolset()]) as house:
        status, page = await send(house, body)
        assert (status, page["error"]["code"]) == (400, number)
        assert [(row.kind, row.state, row.code) for row in house.rows] == [
            ("tool", "refused", "malformed")
        ]


async def test_a_message_that_is_too_large_is_refused(tmp_path: Path) -> None:
    async with open_gatehouse(
        tmp_path, gate_lines='max_body_bytes = "1KB"', toolsets=[toolset()]
    ) as house:
        status, page = await ask(house, "tools/call", {"name": "note", "arguments": "x" * 2_000})
        assert (status, page["error"]["code"]) == (413, 413)
        assert [row.code for row in house.rows] == ["too_large"]


@pytest.mark.parametrize(
    "headers",
    [
        {"mcp_method": "tools/list"},
        {"mcp_name": "other"},
        {"mcp_name": "=?base64?!?="},
        {"mcp_protocol_version": "2025-11-25"},
    ],
)
async def test_headers_that_say_something_else_are_refused(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    called = toolset(SAID)
    async with open_gatehouse(tmp_path, toolsets=[called]) as house:
        status, page = await ask(house, "tools/call", HI, **headers)
        assert (status, page["error"]["code"], page["id"]) == (400, -32020, 1)
        assert (called.called, [row.target for row in house.rows]) == ([], ["note"])


async def test_a_name_may_stand_encoded_in_its_header(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, toolsets=[toolset(SAID)]) as house:
        status, page = await ask(house, "tools/call", HI, mcp_name="=?base64?bm90ZQ==?=")
        assert (status, page["result"]["isError"]) == (200, False)


async def test_a_version_that_nobody_speaks_is_answered_with_those_that_are(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, toolsets=[toolset()]) as house:
        message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        status, page = await send(house, message, mcp_protocol_version="1999-01-01")
        assert (status, page["error"]["code"]) == (400, -32022)
        assert "2026-07-28" in page["error"]["data"]["supported"]


async def test_other_methods_are_not_there(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, toolsets=[toolset()]) as house:
        status, page = await ask(house, "resources/list")
        assert (status, page["error"]["code"]) == (404, -32601)
        # Earlier clients take a 404 for the end of their session.
        status, page = await ask_as_before(house, "resources/list")
        assert (status, page["error"]["code"]) == (200, -32601)
        assert house.rows == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "evil.example:4180"}, 403),
        ({"origin": "http://localhost:3000"}, 200),
        ({"host": "localhost:4180"}, 200),
        ({"host": "gate.example.com", "origin": "https://gate.example.com"}, 200),
    ],
)
async def test_only_who_knows_this_gate_by_name_may_ask(
    tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    lines = 'hosts = ["Gate.example.com"]'
    async with open_gatehouse(tmp_path, gate_lines=lines, toolsets=[toolset()]) as house:
        answered, _ = await ask(house, "tools/list", None, **headers)
        assert answered == status


@pytest.mark.parametrize(("method", "headers"), [("GET", {}), ("DELETE", LISTENS)])
async def test_other_http_methods_are_not_there(
    tmp_path: Path, method: str, headers: dict[str, str]
) -> None:
    async with (
        open_gatehouse(tmp_path, toolsets=[toolset()]) as house,
        aiohttp.ClientSession() as session,
    ):
        key = {"authorization": f"Bearer {house.key}"}
        async with session.request(method, f"{house.url}/mcp", headers={**key, **headers}) as reply:
            assert reply.status == 405


async def test_thousands_of_tools_come_in_pages_and_in_order(tmp_path: Path) -> None:
    names = [f"far.t{n:04}" for n in range(1_201)]
    many = FakeToolset(*(replace(NOTE, name=name) for name in reversed(names)))
    async with open_gatehouse(tmp_path, toolsets=[many]) as house:
        seen: list[str] = []
        following: dict[str, str] | None = {}
        while following is not None:
            _, page = await ask(house, "tools/list", following)
            seen += [tool["name"] for tool in page["result"]["tools"]]
            cursor = page["result"].get("nextCursor")
            following = None if cursor is None else {"cursor": cursor}
        assert seen == names


async def test_a_client_may_have_names_without_dots(tmp_path: Path) -> None:
    names = ("far.a.b", "far.a__b", "far.c", "note")
    has = FakeToolset(*(replace(NOTE, name=name) for name in names), script=[SAID, SAID])
    async with open_gatehouse(tmp_path, toolsets=[has]) as house:
        _, page = await ask(house, "tools/list", at="/mcp?names=flat")
        told = [tool["name"] for tool in page["result"]["tools"]]
        # Two would have the same: the second keeps its own.
        assert told == ["far__a__b", "far.a__b", "far__c", "note"]
        for name in ("far__c", "note"):
            called = {**HI, "name": name}
            _, page = await ask(house, "tools/call", called, at="/mcp?names=flat")
            assert page["result"]["isError"] is False
        assert [row.target for row in house.rows] == ["far.c", "note"]


async def test_a_cursor_of_somebody_else_is_refused(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, toolsets=[toolset()]) as house:
        status, page = await ask(house, "tools/list", {"cursor": "page 2"})
        assert (status, page["error"]["code"]) == (400, -32602)


@pytest.mark.parametrize(
    ("effect", "idempotent", "hints"),
    [
        ("read", False, (True, False, True)),
        ("write", False, (False, False, False)),
        ("write", True, (False, False, True)),
        ("destructive", False, (False, True, False)),
    ],
)
async def test_hints_come_from_the_effect_and_not_from_the_source(
    tmp_path: Path, effect: Effect, *, idempotent: bool, hints: tuple[bool, ...]
) -> None:
    tool = replace(NOTE, effect=effect, is_idempotent=idempotent, hints={"readOnlyHint": True})
    async with open_gatehouse(tmp_path, toolsets=[FakeToolset(tool)]) as house:
        _, page = await ask(house, "tools/list")
        (told,) = page["result"]["tools"]
        names = ("readOnlyHint", "destructiveHint", "idempotentHint")
        assert tuple(told["annotations"][name] for name in names) == hints
        assert (page["result"]["cacheScope"], page["result"]["ttlMs"]) == ("private", 10_000)


async def test_data_that_is_no_object_is_told_to_earlier_clients_as_text(tmp_path: Path) -> None:
    numbers = ToolResult(structured=[1, 2])
    async with open_gatehouse(tmp_path, toolsets=[toolset(numbers, numbers)]) as house:
        _, page = await ask(house, "tools/call", HI)
        assert page["result"]["structuredContent"] == [1, 2]
        _, page = await ask_as_before(house, "tools/call", HI)
        assert "structuredContent" not in page["result"]
        assert page["result"]["content"] == [{"type": "text", "text": "[1,2]"}]


async def test_a_claim_in_two_places_must_be_the_same(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, toolsets=[toolset(SAID)]) as house:
        called = {**HI, "_meta": {"callgate/task": "t1"}}
        status, page = await ask(house, "tools/call", called, callgate_task="t2")
        assert (status, page["error"]["code"]) == (400, -32602)
        assert "'t2'" in page["error"]["message"]
        status, _ = await ask(house, "tools/call", called, callgate_task="t1")
        assert (status, house.rows[-1].task_id) == (200, "t1")


@pytest.mark.parametrize(
    ("told", "status"), [("hi", 200), ("=?base64?aGk=?=", 200), ("ho", 400), (None, 400)]
)
async def test_an_argument_that_a_tool_wants_in_a_header_must_be_the_same_there(
    tmp_path: Path, told: str | None, status: int
) -> None:
    properties = {"text": {"type": "string", "x-mcp-header": "Text"}}
    tool = replace(NOTE, input_schema={"type": "object", "properties": properties})
    async with open_gatehouse(tmp_path, toolsets=[FakeToolset(tool, script=[SAID])]) as house:
        header = {} if told is None else {"mcp_param_text": told}
        answered, _ = await ask(house, "tools/call", HI, **header)
        assert answered == status


async def test_a_client_cancels_its_own_calls_and_no_others(tmp_path: Path) -> None:
    called = toolset(Silence(), Silence())
    async with open_gatehouse(
        tmp_path, gate_lines='on_disconnect = "cancel"', toolsets=[called]
    ) as house:
        ours, others = (
            asyncio.create_task(ask_as_before(house, "tools/call", HI, mcp_session_id=session))
            for session in ("ours", "others")
        )
        while len(called.called) < 2:
            await called.reached.wait()
            called.reached.clear()
        note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
        assert await send(house, note, mcp_session_id="ours") == (202, None)
        _, page = await ours
        assert page["error"]["message"] == "Request cancelled"
        assert not others.done()
        others.cancel()


ASKS = Asks(params={"message": "Where?", "requestedSchema": {"type": "object"}})
CAN_ANSWER: Mapping[str, Any] = {
    "_meta": {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
}
KIEL = {"question": {"action": "accept", "content": {"city": "Kiel"}}}


async def asked(house: Gatehouse) -> str:
    """Call the tool that asks, and return what names its question."""
    _, page = await ask(house, "tools/call", {**HI, **CAN_ANSWER})
    assert page["result"]["resultType"] == "input_required"
    return str(page["result"]["requestState"])


@pytest.mark.parametrize(
    "changed",
    [
        {"requestState": "guessed"},
        {"arguments": {"text": "ho"}},
        {"inputResponses": {"question": {"action": "?"}}},
        {"inputResponses": {"question": 7}},
    ],
)
async def test_an_answer_holds_only_for_the_question_that_was_asked(
    tmp_path: Path, changed: Mapping[str, Any]
) -> None:
    async with open_gatehouse(tmp_path, toolsets=[toolset(ASKS)]) as house:
        state = await asked(house)
        good = {**HI, "requestState": state, "inputResponses": KIEL}
        status, page = await ask(house, "tools/call", {**good, **changed})
        assert (status, page["error"]["code"]) == (400, -32602)
        # What was wrong has not spoiled it, and what was right holds once.
        _, page = await ask(house, "tools/call", good)
        assert page["result"]["structuredContent"] == {"asked": KIEL["question"]}
        status, _ = await ask(house, "tools/call", good)
        assert status == 400


async def test_another_key_cannot_answer(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, toolsets=[toolset(ASKS)]) as house:
        state = await asked(house)
        other = dataclasses.replace(house, key=await house.task_key())
        good = {**HI, "requestState": state, "inputResponses": KIEL}
        status, _ = await ask(other, "tools/call", good)
        assert status == 400
        status, _ = await ask(house, "tools/call", good)
        assert status == 200


async def test_a_call_without_the_answer_is_asked_again(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, toolsets=[toolset(ASKS)]) as house:
        state = await asked(house)
        _, page = await ask(house, "tools/call", {**HI, "requestState": state})
        assert page["result"]["requestState"] == state
        await ask(house, "tools/call", {**HI, "requestState": state, "inputResponses": KIEL})
        assert len(house.rows[0].attempts) == 1


async def test_who_is_asked_for_nothing_answers_nothing(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, toolsets=[toolset()]) as house:
        answer = {"jsonrpc": "2.0", "id": "guessed", "result": {"action": "accept"}}
        status, page = await send(house, answer)
        assert (status, page["error"]["code"]) == (400, -32600)


async def test_a_question_is_given_up_when_the_gate_stops(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, toolsets=[toolset(ASKS)]) as house:
        await asked(house)
        await house.settled()
        assert [(row.state, row.code) for row in house.rows] == [("ok", None)]


async def test_any_gate_of_several_answers_any_request(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, toolsets=[toolset(SAID)]) as house:
        second = await Gate.open(house.gate.settings, environ=ENVIRON, toolsets=[toolset(SAID)])
        server = Server(http_app(second), host="127.0.0.1", port=0)
        await server.start()
        try:
            begun = {"protocolVersion": "2025-11-25"}
            _, page = await ask_as_before(house, "initialize", begun)
            assert page["result"]["protocolVersion"] == "2025-11-25"
            elsewhere = Gatehouse(second, server, house.simulator, house.key)
            headers = {"mcp_session_id": "s1", "mcp_protocol_version": "2025-11-25"}
            _, page = await ask_as_before(elsewhere, "tools/call", HI, **headers)
            assert page["result"]["isError"] is False
        finally:
            await server.stop()
            await second.close()


@asynccontextmanager
async def listening(house: Gatehouse, message: object) -> AsyncGenerator[aiohttp.StreamReader]:
    """A stream of news: of today's generation for a message, else of an earlier one."""
    headers = {"authorization": f"Bearer {house.key}", **LISTENS}
    method = "GET"
    if message is not None:
        headers |= {"mcp-protocol-version": "2026-07-28", "mcp-method": "subscriptions/listen"}
        method = "POST"
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"{house.url}/mcp", json=message, headers=headers) as reply,
    ):
        assert reply.status == 200
        yield reply.content


async def event(stream: aiohttp.StreamReader) -> Any:
    line = b""
    while not line.startswith(b"data: "):
        line = await stream.readline()
    return json.loads(line.removeprefix(b"data: "))


async def test_an_earlier_client_hears_that_its_tools_are_others(tmp_path: Path) -> None:
    has = toolset()
    async with (
        open_gatehouse(tmp_path, toolsets=[has]) as house,
        listening(house, None) as stream,
    ):
        has.lists(replace(NOTE, name="far.note"))
        assert (await event(stream))["method"] == "notifications/tools/list_changed"


async def test_news_end_in_good_order_when_the_gate_stops(tmp_path: Path) -> None:
    asked = {"notifications": {"toolsListChanged": True}, "_meta": META}
    message = {"jsonrpc": "2.0", "id": "n1", "method": "subscriptions/listen", "params": asked}
    async with (
        open_gatehouse(tmp_path, toolsets=[toolset()]) as house,
        listening(house, message) as stream,
    ):
        told = await event(stream)
        assert told["method"] == "notifications/subscriptions/acknowledged"
        stopping = asyncio.create_task(house.settled())
        ended = await event(stream)
        assert (ended["id"], ended["result"]["resultType"]) == ("n1", "complete")
        await stopping


async def test_the_key_of_the_agent_goes_nowhere(tmp_path: Path) -> None:
    called = toolset(SAID)
    async with open_gatehouse(tmp_path, toolsets=[called]) as house:
        await ask(house, "tools/call", HI, cookie="canary=1", x_api_key="canary")
        (invocation,) = called.called
        assert house.key not in repr(invocation)
        assert "canary" not in repr(invocation)
