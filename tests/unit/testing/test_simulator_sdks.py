"""The official SDKs, unmodified, find two providers where the simulator is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import anthropic
import openai
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from callgate.testing.simulator import Simulator
from tests.unit.testing.raw_client import KEY

TOOLS: list[dict[str, Any]] = [
    {"name": "weather", "arguments": {"city": "Köln", "days": [1, 2]}},
    {"name": "news", "arguments": {}},
]
USAGE = {
    "input_tokens": 10,
    "cache_read_tokens": 3,
    "cache_write_tokens": 4,
    "cache_write_long_tokens": 5,
    "output_tokens": 20,
    "reasoning_tokens": 7,
}
ANSWER: dict[str, Any] = {
    "thinking": "Let me see.",
    "text": "Looking: 🌦 now",
    "tool_calls": TOOLS,
    "usage": USAGE,
}
SCRIPT: dict[str, Any] = {"rules": [{"match": {"text": "scripted"}, "steps": [{"answer": ANSWER}]}]}
MESSAGES: Any = [{"role": "user", "content": "scripted"}]
CHAT: Any = {"model": "gpt-5.5", "messages": MESSAGES}
MESSAGE: Any = {"model": "claude-sonnet-5", "messages": MESSAGES, "max_tokens": 1000}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(SCRIPT) as simulator:
        yield simulator


@pytest.fixture
async def chat(sim: Simulator) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=sim.openai_url, api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture
async def claude(sim: Simulator) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        base_url=sim.anthropic_url, api_key=KEY, max_retries=0
    ) as client:
        yield client


async def complete(client: openai.AsyncOpenAI, **fields: Any) -> ChatCompletion:
    return cast("ChatCompletion", await client.chat.completions.create(**CHAT, **fields))


async def chunks_of(client: openai.AsyncOpenAI, **fields: Any) -> list[ChatCompletionChunk]:
    stream: Any = await client.chat.completions.create(**CHAT, **fields, stream=True)
    return [chunk async for chunk in stream]


async def message(client: anthropic.AsyncAnthropic) -> Message:
    return cast("Message", await client.messages.create(**MESSAGE))


async def events_of(client: anthropic.AsyncAnthropic) -> list[RawMessageStreamEvent]:
    stream: Any = await client.messages.create(**MESSAGE, stream=True)
    return [event async for event in stream]


async def test_openai_gets_text_and_parallel_tool_calls(chat: openai.AsyncOpenAI) -> None:
    choice = (await complete(chat)).choices[0]
    calls = choice.message.model_dump()["tool_calls"]
    assert (choice.message.content, choice.finish_reason) == ("Looking: 🌦 now", "tool_calls")
    assert [call["function"]["name"] for call in calls] == ["weather", "news"]
    assert calls[0]["function"]["arguments"] == '{"city":"Köln","days":[1,2]}'


async def test_openai_usage_includes_caches_and_reasoning(chat: openai.AsyncOpenAI) -> None:
    usage = (await complete(chat)).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (22, 27, 49)
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    assert prompt is not None
    assert completion is not None
    assert (prompt.cached_tokens, prompt.cache_write_tokens) == (3, 9)
    assert completion.reasoning_tokens == 7


async def test_an_openai_stream_adds_up_to_the_plain_reply(chat: openai.AsyncOpenAI) -> None:
    plain = (await complete(chat)).choices[0].message
    async with chat.chat.completions.stream(**CHAT) as stream:
        final = (await stream.get_final_completion()).choices[0]
    said = [
        call.function.model_dump(include={"name", "arguments"})
        for call in final.message.tool_calls or []
    ]
    calls = plain.model_dump()["tool_calls"]
    assert (final.message.content, final.finish_reason) == (plain.content, "tool_calls")
    assert said == [call["function"] for call in calls]


async def test_an_openai_stream_names_a_tool_call_once(chat: openai.AsyncOpenAI) -> None:
    deltas = [chunk.choices[0].delta for chunk in await chunks_of(chat)]
    parts = [part for delta in deltas for part in delta.tool_calls or []]
    assert deltas[0].role == "assistant"
    assert [part.index for part in parts if part.id] == [0, 1]
    assert [part.index for part in parts if part.function and part.function.name] == [0, 1]


async def test_an_openai_stream_tells_usage_only_if_asked(chat: openai.AsyncOpenAI) -> None:
    asked = await chunks_of(chat, stream_options={"include_usage": True})
    chunks = [chunk.model_dump(exclude_unset=True) for chunk in asked]
    silent = [chunk.model_dump(exclude_unset=True) for chunk in await chunks_of(chat)]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 49
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert not any("usage" in chunk for chunk in silent)


async def test_openai_gets_as_many_choices_as_it_asks_for(chat: openai.AsyncOpenAI) -> None:
    reply = await complete(chat, n=3)
    seen = {choice.index for chunk in await chunks_of(chat, n=3) for choice in chunk.choices}
    assert ([choice.index for choice in reply.choices], seen) == ([0, 1, 2], {0, 1, 2})


async def test_anthropic_gets_thinking_text_and_parallel_tools(
    claude: anthropic.AsyncAnthropic,
) -> None:
    reply = await message(claude)
    blocks = [block.model_dump() for block in reply.content]
    assert [block["type"] for block in blocks] == ["thinking", "text", "tool_use", "tool_use"]
    assert blocks[0]["thinking"] == "Let me see."
    assert blocks[2]["input"] == TOOLS[0]["arguments"]
    assert reply.stop_reason == "tool_use"


async def test_anthropic_usage_excludes_caches(claude: anthropic.AsyncAnthropic) -> None:
    usage = (await message(claude)).usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (10, 3, 27)
    assert usage.cache_creation_input_tokens == 9
    assert usage.cache_creation is not None
    assert usage.cache_creation.ephemeral_5m_input_tokens == 4
    assert usage.cache_creation.ephemeral_1h_input_tokens == 5
    assert usage.output_tokens_details is not None
    assert usage.output_tokens_details.thinking_tokens == 7


async def test_an_anthropic_stream_adds_up_to_the_plain_reply(
    claude: anthropic.AsyncAnthropic,
) -> None:
    plain = await message(claude)
    async with claude.messages.stream(**MESSAGE) as stream:
        final = await stream.get_final_message()
    changing: Any = {"id": True, "content": {"__all__": {"id", "signature", "parsed_output"}}}
    assert final.model_dump(exclude=changing) == plain.model_dump(exclude=changing)


async def test_an_anthropic_stream_has_its_events_in_order(
    claude: anthropic.AsyncAnthropic,
) -> None:
    kinds = [event.type for event in await events_of(claude)]
    assert kinds[:3] == ["message_start", "content_block_start", "content_block_delta"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 4


async def test_anthropic_counts_the_tokens_that_it_bills(
    sim: Simulator, claude: anthropic.AsyncAnthropic
) -> None:
    fields: Any = {"model": "claude-sonnet-5", "messages": [{"role": "user", "content": "x" * 41}]}
    counted = await claude.messages.count_tokens(**fields)
    reply = cast("Message", await claude.messages.create(**fields, max_tokens=9))
    assert counted.input_tokens == reply.usage.input_tokens == 11
    assert [line.billed for line in sim.bill().lines] == [False, True]


async def test_each_provider_lists_its_own_models(
    chat: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic
) -> None:
    theirs = [model.id async for model in claude.models.list()]
    ours = [model.id async for model in chat.models.list()]
    assert "claude-sonnet-5" in theirs
    assert "gpt-5.5" in ours
    assert not set(theirs) & set(ours)
    assert (await chat.models.retrieve("gpt-5.5")).id == "gpt-5.5"
    with pytest.raises(anthropic.NotFoundError):
        await claude.models.retrieve("gpt-5.5")


async def test_the_synchronous_sdks_are_served_too(sim: Simulator) -> None:
    def talk() -> tuple[str | None, str | None]:
        with (
            openai.OpenAI(base_url=sim.openai_url, api_key=KEY) as chat,
            anthropic.Anthropic(base_url=sim.anthropic_url, api_key=KEY) as claude,
        ):
            reply = cast("ChatCompletion", chat.chat.completions.create(**CHAT))
            with claude.messages.stream(**MESSAGE) as stream:
                return reply.choices[0].message.content, stream.get_final_message().stop_reason

    assert await asyncio.to_thread(talk) == ("Looking: 🌦 now", "tool_use")


async def test_an_output_limit_cuts_a_made_up_answer(
    chat: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic
) -> None:
    messages: Any = [{"role": "user", "content": "hello"}]
    reply = await chat.chat.completions.create(
        model="gpt-5.5", messages=messages, max_completion_tokens=3
    )
    said = await claude.messages.create(model="claude-opus-5", messages=messages, max_tokens=3)
    assert (reply.choices[0].finish_reason, said.stop_reason) == ("length", "max_tokens")
    assert reply.usage is not None
    assert (reply.usage.completion_tokens, said.usage.output_tokens) == (3, 3)


@pytest.mark.parametrize(
    ("status", "kind", "error", "code"),
    [
        (400, None, openai.BadRequestError, None),
        (401, None, openai.AuthenticationError, "invalid_api_key"),
        (403, None, openai.PermissionDeniedError, "model_not_found"),
        (404, None, openai.NotFoundError, "model_not_found"),
        (429, None, openai.RateLimitError, "rate_limit_exceeded"),
        (429, "money", openai.RateLimitError, "insufficient_quota"),
        (500, None, openai.InternalServerError, None),
        (503, None, openai.InternalServerError, "server_is_overloaded"),
    ],
)
async def test_openai_errors_are_worded_as_openai_does(
    sim: Simulator,
    chat: openai.AsyncOpenAI,
    status: int,
    kind: str | None,
    error: type[openai.APIStatusError],
    code: str | None,
) -> None:
    sim.play(
        {"rules": [{"steps": [{"fault": {"status": status, **({"kind": kind} if kind else {})}}]}]}
    )
    with pytest.raises(error) as caught:
        await complete(chat)
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert caught.value.request_id is not None
    assert sim.bill().total_nano_usd == 0


@pytest.mark.parametrize(
    ("status", "kind", "type", "code"),
    [
        (400, None, "invalid_request_error", None),
        (401, None, "authentication_error", None),
        (402, None, "billing_error", "linked_organization_spend_limit_reached"),
        (403, None, "permission_error", None),
        (404, None, "not_found_error", None),
        (429, None, "rate_limit_error", None),
        (429, "money", "rate_limit_error", "enforced_spend_limit_reached"),
        (500, None, "api_error", None),
        (504, None, "timeout_error", None),
        (529, None, "overloaded_error", None),
    ],
)
async def test_anthropic_errors_are_worded_as_anthropic_does(
    sim: Simulator,
    claude: anthropic.AsyncAnthropic,
    status: int,
    kind: str | None,
    type: str,
    code: str | None,
) -> None:
    sim.play(
        {"rules": [{"steps": [{"fault": {"status": status, **({"kind": kind} if kind else {})}}]}]}
    )
    with pytest.raises(anthropic.APIStatusError) as caught:
        await message(claude)
    assert (caught.value.status_code, caught.value.type) == (status, type)
    assert (caught.value.error_code, caught.value.request_id is not None) == (code, True)


async def test_an_error_in_a_stream_reaches_the_sdks(
    sim: Simulator, chat: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic
) -> None:
    sim.play({"rules": [{"steps": [{"fault": {"how": "error_event", "after_events": 4}}]}]})
    with pytest.raises(openai.APIError, match="overloaded"):
        await chunks_of(chat)
    with pytest.raises(anthropic.APIStatusError) as caught:
        await events_of(claude)
    assert (caught.value.status_code, caught.value.type) == (200, "overloaded_error")
