"""Real clients at ``/mcp``: the official one in both generations, OpenAI's Agents SDK and Pydantic AI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import httpx2
import mcp_types
import pytest
from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, Runner, set_tracing_disabled
from agents.mcp import MCPServerStreamableHttp
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from msgspec.structs import replace
from openai import AsyncOpenAI
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from callgate.call import Tool, ToolResult
from callgate.money import Money
from callgate.testing.fakes import Asks, FakeToolset, Silence, Steps
from callgate.tools import Invocation
from tests.doors.gatehouse import Gatehouse, open_gatehouse
from tests.doors.test_tools_api import NOTE, SAID, toolset

GENERATIONS = ("2026-07-28", "legacy")
STEPS = Steps(
    progress=((1, 2, "half"), (1, 2, "still"), (2, 2, "done")),
    result=SAID,
)
WHERE = Asks(
    params={
        "mode": "form",
        "message": "Where?",
        "requestedSchema": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
)
ASKED: Mapping[str, Any] = {
    "rules": [
        {
            "match": {"last": "tool"},
            "steps": [{"answer": {"text": "It is noted."}}],
        },
        {"steps": [{"answer": {"tool_calls": [{"name": "note", "arguments": {"text": "hi"}}]}}]},
    ]
}
"""A model that calls the tool, and says so when it has seen what it said."""


@asynccontextmanager
async def client(
    house: Gatehouse, mode: str, *, key: str | None = None, **more: Any
) -> AsyncGenerator[Client]:
    """The official client, with the agent's key and headers besides."""
    headers = {"authorization": f"Bearer {key or house.key}", **more.pop("headers", {})}
    limits = more.pop("limits", httpx2.Limits())
    async with (
        httpx2.AsyncClient(headers=headers, limits=limits, timeout=30) as http,
        Client(
            streamable_http_client(f"{house.url}/mcp", http_client=http), mode=mode, **more
        ) as connected,
    ):
        yield connected


def text_of(result: mcp_types.CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, mcp_types.TextContent)
    return block.text


@pytest.mark.parametrize("mode", ["auto", *GENERATIONS])
async def test_the_official_client_lists_and_calls_in_either_generation(
    tmp_path: Path, mode: str
) -> None:
    async with (
        open_gatehouse(tmp_path, toolsets=[toolset(SAID)]) as house,
        client(house, mode) as asking,
    ):
        listed = await asking.list_tools()
        assert [tool.name for tool in listed.tools] == ["note"]
        result = await asking.call_tool("note", {"text": "hi"})
        assert (text_of(result), result.structured_content) == ("noted", {"id": 7})
        assert result.meta is not None
        assert result.meta["callgate/call"] == house.rows[0].id


@pytest.mark.parametrize("mode", GENERATIONS)
async def test_a_refusal_is_a_result_that_the_model_reads(tmp_path: Path, mode: str) -> None:
    async with (
        open_gatehouse(tmp_path, toolsets=[toolset()]) as house,
        client(house, mode) as asking,
    ):
        result = await asking.call_tool("note", {"txt": "hi"})
        assert result.is_error
        assert '"text" is a required property' in text_of(result)
        assert result.structured_content is not None
        assert result.structured_content["error"]["kind"] == "invalid_arguments"


@pytest.mark.parametrize("mode", GENERATIONS)
async def test_progress_reaches_the_client_where_it_goes_on(tmp_path: Path, mode: str) -> None:
    heard: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, total, message))

    async with (
        open_gatehouse(tmp_path, toolsets=[toolset(STEPS)]) as house,
        client(house, mode) as asking,
    ):
        result = await asking.call_tool("note", {"text": "hi"}, progress_callback=hear)
        assert text_of(result) == "noted"
        assert heard == [(1, 2, "half"), (2, 2, "done")]


@pytest.mark.parametrize("mode", GENERATIONS)
async def test_a_call_that_its_client_cancels_ends_as_the_settings_say(
    tmp_path: Path, mode: str
) -> None:
    called = toolset(Silence())
    async with open_gatehouse(
        tmp_path, gate_lines='on_disconnect = "cancel"', toolsets=[called]
    ) as house:
        async with client(house, mode) as asking:
            calling = asyncio.create_task(asking.call_tool("note", {"text": "hi"}))
            await called.reached.wait()
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling
            # The gate serves on while this one call ends.
            await asking.list_tools()
        await house.settled()
        assert [(row.state, row.code) for row in house.rows] == [("left", "client_left")]


@pytest.mark.parametrize("mode", ["auto", *GENERATIONS])
@pytest.mark.parametrize("action", ["accept", "decline"])
async def test_the_user_of_a_client_is_asked_what_a_tool_wants_to_know(
    tmp_path: Path, mode: str, action: Literal["accept", "decline"]
) -> None:
    seen: list[str] = []

    async def answer(
        _context: ClientRequestContext, params: mcp_types.ElicitRequestParams
    ) -> mcp_types.ElicitResult:
        seen.append(params.message)
        told: Any = {"city": "Kiel"} if action == "accept" else None
        return mcp_types.ElicitResult(action=action, content=told)

    async with (
        open_gatehouse(tmp_path, toolsets=[toolset(WHERE, SAID)]) as house,
        client(house, mode, elicitation_callback=answer) as asking,
    ):
        result = await asking.call_tool("note", {"text": "hi"})
        assert seen == ["Where?"]
        assert result.structured_content is not None
        assert result.structured_content["asked"]["action"] == action
        # The same client is served as before, and each call was one.
        assert text_of(await asking.call_tool("note", {"text": "hi"})) == "noted"
        assert [(row.state, len(row.attempts)) for row in house.rows] == [("ok", 1), ("ok", 1)]


@pytest.mark.parametrize("mode", GENERATIONS)
async def test_who_cannot_be_asked_is_not_asked(tmp_path: Path, mode: str) -> None:
    async with (
        open_gatehouse(tmp_path, toolsets=[toolset(WHERE)]) as house,
        client(house, mode) as asking,
    ):
        result = await asking.call_tool("note", {"text": "hi"})
        assert result.structured_content == {"asked": None}


@pytest.mark.parametrize("mode", GENERATIONS)
async def test_a_client_names_its_task_by_header_or_in_meta(tmp_path: Path, mode: str) -> None:
    async with open_gatehouse(tmp_path, toolsets=[toolset(SAID, SAID)]) as house:
        async with client(house, mode, headers={"callgate-task": "t1"}) as asking:
            await asking.call_tool("note", {"text": "hi"})
        async with client(house, mode) as asking:
            meta: Any = {"callgate/task": "t2", "callgate/user": "u1"}
            await asking.call_tool("note", {"text": "hi"}, meta=meta)
        named = [(row.task_id, row.user) for row in house.rows]
        assert named == [("t1", None), ("t2", "u1")]


async def test_a_client_that_listens_hears_that_its_tools_are_others(tmp_path: Path) -> None:
    has = toolset()
    async with (
        open_gatehouse(tmp_path, toolsets=[has]) as house,
        client(house, "2026-07-28") as asking,
        asking.listen(tools_list_changed=True) as news,
    ):
        has.lists(NOTE, replace(NOTE, name="far.note"))
        async for _ in news:
            break
        listed = await asking.list_tools(cache_mode="bypass")
        assert [tool.name for tool in listed.tools] == ["far.note", "note"]


async def test_the_agents_sdk_works_unmodified(tmp_path: Path) -> None:
    set_tracing_disabled(disabled=True)
    async with open_gatehouse(tmp_path, ASKED, toolsets=[toolset(SAID)]) as house:
        params: Any = {
            "url": f"{house.url}/mcp",
            "headers": {"authorization": f"Bearer {house.key}"},
        }
        openai = AsyncOpenAI(api_key=house.key, base_url=f"{house.url}/v1")
        async with openai, MCPServerStreamableHttp(params) as server:
            agent = Agent(
                name="worker",
                model=OpenAIChatCompletionsModel("smart", openai),
                mcp_servers=[server],
                model_settings=ModelSettings(max_tokens=100),
            )
            run = await Runner.run(agent, "Note hi.")
        assert run.final_output == "It is noted."
        assert [(row.kind, row.state) for row in house.rows] == [
            ("model", "ok"),
            ("tool", "ok"),
            ("model", "ok"),
        ]


async def test_a_model_that_takes_no_dots_is_told_flat_names(tmp_path: Path) -> None:
    tool = replace(NOTE, name="far.note")
    calls = {"tool_calls": [{"name": "far__note", "arguments": {"text": "hi"}}]}
    script = {"rules": [ASKED["rules"][0], {"steps": [{"answer": calls}]}]}
    async with open_gatehouse(
        tmp_path, script, toolsets=[FakeToolset(tool, script=[SAID])]
    ) as house:
        headers = {"authorization": f"Bearer {house.key}"}
        openai = AsyncOpenAI(api_key=house.key, base_url=f"{house.url}/v1")
        async with openai:
            model = OpenAIChatModel("smart", provider=OpenAIProvider(openai_client=openai))
            tools = MCPToolset(f"{house.url}/mcp?names=flat", headers=headers)
            run = await PydanticAgent(model, toolsets=[tools]).run("Note hi.")
        assert run.output == "It is noted."
        assert [row.target for row in house.rows][1] == "far.note"


async def test_pydantic_ai_works_unmodified(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, ASKED, toolsets=[toolset(SAID)]) as house:
        headers = {"authorization": f"Bearer {house.key}"}
        openai = AsyncOpenAI(api_key=house.key, base_url=f"{house.url}/v1")
        async with openai:
            model = OpenAIChatModel("smart", provider=OpenAIProvider(openai_client=openai))
            agent = PydanticAgent(model, toolsets=[MCPToolset(f"{house.url}/mcp", headers=headers)])
            run = await agent.run("Note hi.")
        assert run.output == "It is noted."
        assert [row.kind for row in house.rows] == ["model", "tool", "model"]


class Slow:
    """A toolset that takes a while, and says ten times how far it is."""

    name = "slow"
    pinning = None

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._tools = (replace(NOTE, toolset="slow", cost=Money()),)

    def start(self) -> None:
        """Nothing goes on beside the calls."""

    def tools(self) -> Sequence[Tool]:
        return self._tools

    async def call(self, invocation: Invocation, /) -> ToolResult:
        assert invocation.on_progress is not None
        for step in range(1, 11):
            await asyncio.sleep(self._seconds / 10)
            await invocation.on_progress(step, 10, None)
        return SAID

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    ("calls", "seconds"),
    [
        pytest.param(60, 0.2, marks=pytest.mark.slow),
        pytest.param(300, 1.0, marks=pytest.mark.soak),
    ],
)
async def test_many_calls_at_once_lose_nothing(tmp_path: Path, calls: int, seconds: float) -> None:
    heard: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, total, message))

    async with (
        open_gatehouse(tmp_path, toolsets=[Slow(seconds)]) as house,
        client(house, "2026-07-28", limits=httpx2.Limits(max_connections=None)) as asking,
    ):
        await asking.list_tools()
        results = await asyncio.gather(
            *(
                asking.call_tool("note", {"text": f"{n}"}, progress_callback=hear)
                for n in range(calls)
            )
        )
        assert [text_of(result) for result in results] == ["noted"] * calls
        assert len(heard) == 10 * calls
        assert {(row.state, len(row.attempts)) for row in house.rows} == {("ok", 1)}
