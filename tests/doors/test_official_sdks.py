"""The official SDKs, unmodified: through the gate they get what they get without it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

from callgate.doors.python import open_gate
from tests.doors.gatehouse import ENVIRON, Gatehouse, open_gatehouse
from tests.doors.more_sdks import (
    MORE_WAYS,
    ask_gemini,
    ask_responses,
    embed_async,
    stream_gemini,
    stream_responses,
)

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")
"""What google-genai does inside."""

TOOL_CALLS = [
    {"name": "web_search", "arguments": {"query": "port of Hamburg"}},
    {"name": "web_search", "arguments": {"query": "port of Rotterdam"}},
]
SCRIPT: Mapping[str, object] = {
    "rules": [
        {
            "match": {"text": "look up", "last": "user"},
            "steps": [{"answer": {"text": "Let me look.", "tool_calls": TOOL_CALLS}}],
        },
        {
            "match": {"text": "think"},
            "steps": [
                {
                    "answer": {
                        "text": "Überlegt: 42 🚢",
                        "usage": {
                            "cache_read_tokens": 64,
                            "cache_write_tokens": 32,
                            "reasoning_tokens": 20,
                        },
                    }
                }
            ],
        },
    ]
}
TOOLS_OPENAI: Any = [
    {
        "type": "function",
        "function": {"name": "web_search", "parameters": {"type": "object", "properties": {}}},
    }
]
TOOLS_ANTHROPIC: Any = [
    {"name": "web_search", "input_schema": {"type": "object", "properties": {}}}
]
IDS = {
    "id", "created", "system_fingerprint", "request_id", "_request_id", "item_id", "call_id",
    "encrypted_content", "response_id", "thought_signature",
}  # fmt: skip


def without_ids(value: Any) -> Any:
    """Take out what differs between two calls of any provider: ids and times."""
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return {key: without_ids(item) for key, item in pairs if key not in IDS}
    if isinstance(value, list):
        return [without_ids(item) for item in cast("Iterable[Any]", value)]
    return value


def openai_client(url: str, key: str) -> Any:
    """Return the SDK's client, untyped: its overloads do not take a dictionary of fields."""
    return OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)


def async_openai_client(url: str, key: str) -> Any:
    return AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)


def anthropic_client(url: str, key: str) -> Any:
    return Anthropic(base_url=url, api_key=key, max_retries=0)


def async_anthropic_client(url: str, key: str) -> Any:
    return AsyncAnthropic(base_url=url, api_key=key, max_retries=0)


def openai_fields(text: str) -> dict[str, Any]:
    return {
        "model": "gpt-5.5",
        "max_completion_tokens": 500,
        "messages": [{"role": "user", "content": text}],
        "tools": TOOLS_OPENAI,
    }


def anthropic_fields(text: str) -> dict[str, Any]:
    return {
        "model": "claude-sonnet-5",
        "max_tokens": 500,
        "messages": [{"role": "user", "content": text}],
        "tools": TOOLS_ANTHROPIC,
    }


def ask_openai(url: str, key: str, text: str) -> Any:
    with openai_client(url, key) as client:
        return client.chat.completions.create(**openai_fields(text)).model_dump()


def stream_openai(url: str, key: str, text: str) -> Any:
    with (
        openai_client(url, key) as client,
        client.chat.completions.create(**openai_fields(text), stream=True) as stream,
    ):
        return [chunk.model_dump() for chunk in stream]


def stream_openai_with_usage(url: str, key: str, text: str) -> Any:
    options = {"include_usage": True}
    with (
        openai_client(url, key) as client,
        client.chat.completions.create(
            **openai_fields(text), stream=True, stream_options=options
        ) as stream,
    ):
        return [chunk.model_dump() for chunk in stream]


def ask_openai_async(url: str, key: str, text: str) -> Any:
    async def ask() -> Any:
        async with async_openai_client(url, key) as client:
            reply = await client.chat.completions.create(**openai_fields(text))
            async with await client.chat.completions.create(
                **openai_fields(text), stream=True
            ) as stream:
                return reply.model_dump(), [chunk.model_dump() async for chunk in stream]

    return list(asyncio.run(ask()))


def ask_anthropic(url: str, key: str, text: str) -> Any:
    with anthropic_client(url, key) as client:
        return client.messages.create(**anthropic_fields(text)).model_dump()


def stream_anthropic(url: str, key: str, text: str) -> Any:
    with (
        anthropic_client(url, key) as client,
        client.messages.stream(**anthropic_fields(text)) as stream,
    ):
        events = [event.model_dump() for event in stream]
        return [*events, stream.get_final_message().model_dump()]


def count_anthropic(url: str, key: str, text: str) -> Any:
    fields = anthropic_fields(text)
    del fields["max_tokens"]
    with anthropic_client(url, key) as client:
        return client.messages.count_tokens(**fields).model_dump()


def ask_anthropic_async(url: str, key: str, text: str) -> Any:
    async def ask() -> Any:
        async with async_anthropic_client(url, key) as client:
            reply = await client.messages.create(**anthropic_fields(text))
            async with client.messages.stream(**anthropic_fields(text)) as stream:
                return reply.model_dump(), [event.model_dump() async for event in stream]

    return list(asyncio.run(ask()))


WAYS = [
    ask_openai,
    stream_openai,
    stream_openai_with_usage,
    ask_openai_async,
    ask_anthropic,
    stream_anthropic,
    count_anthropic,
    ask_anthropic_async,
    *MORE_WAYS,
]


@pytest.mark.parametrize("text", ["look up two ports", "think hard", "plain words"])
@pytest.mark.parametrize("way", WAYS)
async def test_a_reply_through_the_gate_equals_the_reply_without_it(
    tmp_path: Path, way: Callable[[str, str, str], Any], text: str
) -> None:
    async with open_gatehouse(tmp_path, SCRIPT) as house:
        through = await asyncio.to_thread(way, house.url, house.key, text)
        direct = await asyncio.to_thread(way, house.simulator.url, "k", text)
        await house.settled()
        assert without_ids(through) == without_ids(direct)
        assert [row.state for row in house.rows] == ["ok"] * len(house.rows)


@pytest.mark.parametrize(
    "way",
    [
        ask_openai, stream_openai_with_usage, ask_anthropic, stream_anthropic, ask_responses,
        stream_responses, embed_async, ask_gemini, stream_gemini,
    ],
)  # fmt: skip
async def test_a_request_reaches_the_provider_byte_for_byte(
    tmp_path: Path, way: Callable[[str, str, str], Any]
) -> None:
    async with open_gatehouse(tmp_path, SCRIPT) as house:
        await asyncio.to_thread(way, house.url, house.key, "think of ümläuts")
        await asyncio.to_thread(way, house.simulator.url, "k", "think of ümläuts")
        through, direct = house.simulator.requests
        assert through.body == direct.body


async def test_the_gate_changes_only_what_it_says(tmp_path: Path) -> None:
    body = (
        '{ "model" : "smart",\n "stream":true , "messages":[{"role":"user","content":"\\u00fc"}] }'
    )
    async with open_gatehouse(tmp_path, SCRIPT) as house:
        status, _, _ = await house.post("/v1/chat/completions", body.encode())
        expected = body.replace('"smart"', '"gpt-5.5"').replace(
            "}] }",
            '}],"max_completion_tokens":8192,"stream_options":{"include_usage":true} }',
        )
        assert (status, house.simulator.requests[0].body.decode()) == (200, expected)
        await house.settled()
        assert house.rows[0].attempts[0].changes == (
            "model=gpt-5.5",
            "max_completion_tokens=8192",
            "stream_options.include_usage=true",
        )


async def test_the_agents_key_never_reaches_a_provider(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, SCRIPT) as house:
        await asyncio.to_thread(ask_openai, house.url, house.key, "hi")
        await asyncio.to_thread(ask_anthropic, house.url, house.key, "hi")
        await asyncio.to_thread(ask_gemini, house.url, house.key, "hi")
        sent = json.dumps(
            [[list(pair) for pair in r.raw_headers] for r in house.simulator.requests]
        )
        assert house.key not in sent
        assert "sk-real-openai-key" in sent
        assert "sk-real-anthropic-key" in sent
        assert "AIza-real-gemini-key" in sent


@pytest.mark.parametrize("way", WAYS)
async def test_what_the_ledger_books_is_what_the_provider_bills(
    tmp_path: Path, way: Callable[[str, str, str], Any]
) -> None:
    async with open_gatehouse(tmp_path, SCRIPT) as house:
        for text in ("look up two ports", "think hard"):
            await asyncio.to_thread(way, house.url, house.key, text)
        await house.settled()
        assert house.spent_nano_usd == house.simulator.bill().total_nano_usd


async def test_an_official_sdk_works_in_process_without_a_second_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    async with open_gatehouse(tmp_path, SCRIPT) as house:
        direct = await asyncio.to_thread(stream_openai, house.simulator.url, "k", "think")
        chunks = await _in_process(house)
        assert without_ids(chunks) == without_ids(direct)


async def _in_process(house: Gatehouse) -> Any:
    path = house.gate.settings.path
    async with open_gate(path) as gate, gate.task() as task:
        http_client = httpx2.AsyncClient(transport=task.transport())
        client: Any = AsyncOpenAI(
            base_url="http://callgate/v1", api_key="-", http_client=http_client
        )
        async with await client.chat.completions.create(
            **openai_fields("think"), stream=True
        ) as stream:
            chunks = [chunk.model_dump() async for chunk in stream]
        await http_client.aclose()
    return chunks
