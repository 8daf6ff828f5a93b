"""Calls of tools, whatever carries them and whichever generation of MCP the server speaks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from callgate.errors import BadRequest, BrokenReply, TimedOut, Transient
from tests.contract.mcp.conftest import Bench, invocation


async def test_what_a_tool_says_comes_back(bench: Bench) -> None:
    toolset = await bench.connect()
    result = await toolset.call(invocation(toolset, "echo", text="héllo"))
    assert (result.text, result.is_error) == ("héllo", False)


async def test_data_comes_back_beside_the_text(bench: Bench) -> None:
    toolset = await bench.connect()
    result = await toolset.call(invocation(toolset, "data", n=7))
    assert (result.text, result.structured) == ("see the data", {"n": 7})


async def test_data_that_is_not_what_the_tool_promises_is_a_broken_reply(bench: Bench) -> None:
    toolset = await bench.connect()
    with pytest.raises(BrokenReply, match="not what its outputSchema says: at n") as caught:
        await toolset.call(invocation(toolset, "data", n="seven"))
    assert caught.value.billed


async def test_a_tool_that_says_it_failed_has_answered(bench: Bench) -> None:
    toolset = await bench.connect()
    result = await toolset.call(invocation(toolset, "error"))
    assert result.is_error
    assert "Input should be valid" in result.text
    assert "pydantic.dev" not in result.text


async def test_progress_is_passed_on(bench: Bench) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def note(progress: float, total: float | None, word: str | None) -> None:
        told.append((progress, total, word))

    toolset = await bench.connect()
    await toolset.call(invocation(toolset, "slow", steps=3, seconds=0.05, on_progress=note))
    assert told == [(1.0, 3.0, "step 1"), (2.0, 3.0, "step 2"), (3.0, 3.0, "step 3")]


async def test_a_call_that_is_given_up_is_given_up_at_the_server_too(bench: Bench) -> None:
    toolset = await bench.connect()
    call = asyncio.create_task(toolset.call(invocation(toolset, "wait")))
    await bench.until("call wait")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await bench.until(bench.sign_of_cancelling)


async def test_a_call_that_takes_too_long_may_have_happened(bench: Bench) -> None:
    toolset = await bench.connect()
    with pytest.raises(TimedOut, match=r"did not answer within 0\.2 s") as caught:
        await toolset.call(invocation(toolset, "wait", timeout_seconds=0.2))
    assert caught.value.billed
    await bench.until(bench.sign_of_cancelling)


async def test_a_result_that_is_too_large_harms_no_other_call(bench: Bench) -> None:
    toolset = await bench.connect(max_result_bytes=100_000)
    other = asyncio.create_task(toolset.call(invocation(toolset, "slow", seconds=0.3)))
    with pytest.raises(BrokenReply, match="max_result_bytes is 100,000") as caught:
        await toolset.call(invocation(toolset, "giant", bytes=200_000))
    assert caught.value.reason.fix == "ask for less, or raise [mcp.peer] max_result_bytes"
    assert (await other).text == "slept"


async def test_a_message_that_no_memory_should_hold_harms_no_other_call(bench: Bench) -> None:
    toolset = await bench.connect()
    other = asyncio.create_task(toolset.call(invocation(toolset, "slow", seconds=0.3)))
    with pytest.raises(BrokenReply):
        await toolset.call(invocation(toolset, "giant", bytes=20_000_000))
    assert (await other).text == "slept"


async def test_arguments_that_the_server_does_not_take_are_a_bad_request(bench: Bench) -> None:
    toolset = await bench.connect()
    with pytest.raises(BadRequest, match="text is missing") as caught:
        await toolset.call(invocation(toolset, "invalid"))
    assert not caught.value.billed


async def test_a_tool_that_is_gone_is_a_bad_request(bench: Bench) -> None:
    toolset = await bench.connect(options={"list": "many", "count": 100})
    with pytest.raises(BadRequest, match="Unknown tool: tool7"):
        await toolset.call(invocation(toolset, "tool7"))


async def test_a_server_that_fails_within_may_have_done_it(bench: Bench) -> None:
    toolset = await bench.connect()
    with pytest.raises(Transient, match="the disk is full") as caught:
        await toolset.call(invocation(toolset, "internal"))
    assert caught.value.billed


async def test_an_error_with_a_code_of_its_own_is_the_tools_answer(bench: Bench) -> None:
    toolset = await bench.connect()
    result = await toolset.call(invocation(toolset, "own_code"))
    assert (result.is_error, result.text) == (True, "no such city")


async def test_a_result_that_is_none_is_a_broken_reply(bench: Bench) -> None:
    toolset = await bench.connect()
    with pytest.raises(BrokenReply) as caught:
        await toolset.call(invocation(toolset, "broken"))
    assert caught.value.billed


async def test_a_result_of_no_known_kind_is_a_broken_reply(http: Bench) -> None:
    toolset = await http.connect()
    with pytest.raises(BrokenReply, match="of the kind 'postcard'"):
        await toolset.call(invocation(toolset, "strange"))


async def test_a_tool_may_ask_before_it_answers(bench: Bench) -> None:
    asked: list[Mapping[str, Any]] = []

    async def ask(question: Mapping[str, Any]) -> Mapping[str, Any]:
        asked.append(question)
        return {"action": "accept", "content": {"city": "Bern"}}

    if bench.way == "http 2025":
        pytest.skip("a server of 2025 asks over a stream of its own, which the peer does not have")
    toolset = await bench.connect()
    result = await toolset.call(invocation(toolset, "ask", on_question=ask))
    assert json.loads(result.text)["content"] == {"city": "Bern"}
    assert [question["message"] for question in asked] == ["Which city?"]


async def test_the_time_that_a_person_takes_is_not_the_calls(pipes: Bench) -> None:
    async def ask(_: Mapping[str, Any]) -> Mapping[str, Any]:
        await asyncio.sleep(0.4)
        return {"action": "decline"}

    toolset = await pipes.connect()
    result = await toolset.call(invocation(toolset, "ask", on_question=ask, timeout_seconds=0.3))
    assert json.loads(result.text)["action"] == "decline"


async def test_where_nobody_can_be_asked_the_agent_is_told(http: Bench) -> None:
    toolset = await http.connect()
    result = await toolset.call(invocation(toolset, "ask"))
    assert result.is_error
    assert "nobody can be asked on this way in. It asks: Which city?" in result.text


async def test_a_server_of_2025_is_told_that_nobody_answers(tmp_path: Any, stack: Any) -> None:
    toolset = await Bench(tmp_path, stack, "stdio 2025").connect()
    result = await toolset.call(invocation(toolset, "ask"))
    assert json.loads(result.text) == {"action": "cancel"}


async def test_a_tool_that_asks_for_ever_is_a_broken_reply(pipes: Bench) -> None:
    toolset = await pipes.connect()
    with pytest.raises(BrokenReply, match="asked 10 times"):
        await toolset.call(invocation(toolset, "ask_forever"))
    assert pipes.noted().count("call ask_forever") == 10


@pytest.mark.slow
async def test_three_hundred_calls_at_once_with_progress_all_come_back(bench: Bench) -> None:
    heard = 0

    async def note(_progress: float, _total: float | None, _word: str | None) -> None:
        nonlocal heard
        heard += 1

    toolset = await bench.connect()
    calls = [
        toolset.call(
            invocation(toolset, "slow", steps=10, seconds=1, timeout_seconds=60, on_progress=note)
        )
        for _ in range(300)
    ]
    results = await asyncio.gather(*calls)
    assert ({result.text for result in results}, heard) == ({"slept"}, 3000)
