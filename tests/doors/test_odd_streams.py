"""Streams that mislead a client: through the gate no official SDK takes one for whole that is not.

Every case is one that an official SDK gets wrong without a word, or crashes on, when it reads the
same bytes from the provider. docs/torture.md has them all.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from google.genai import errors

from tests.doors.gatehouse import Gatehouse, open_gatehouse
from tests.doors.more_sdks import gemini_client, gemini_fields, responses_fields
from tests.doors.test_official_sdks import (
    anthropic_client,
    anthropic_fields,
    openai_client,
    openai_fields,
)

Said = tuple[str, list[tuple[str, Any]]]
"""What an SDK put together: the words, and every call by name and arguments."""

TEXT = "Let me look at both."
CALLS: list[tuple[str, Any]] = [
    ("weather", {"city": "a city with a long name"}),
    ("news", {"topic": "the weather of tomorrow"}),
]
ANSWER = {
    "text": TEXT,
    "tool_calls": [{"name": name, "arguments": told} for name, told in CALLS],
}
WHOLE: Said = (TEXT, CALLS)


def read_chat(url: str, key: str, model: str = "gpt-5.5") -> Said:
    # The SDK's own reader of streams takes only tools with an exact schema, and needs none here.
    fields: dict[str, Any] = {**openai_fields("go"), "model": model, "tools": []}
    with openai_client(url, key) as client, client.chat.completions.stream(**fields) as stream:
        message = stream.get_final_completion().choices[0].message
        assert len({call.id for call in message.tool_calls}) == len(message.tool_calls)
        functions = [call.function for call in message.tool_calls]
        return message.content, [(each.name, json.loads(each.arguments)) for each in functions]


def read_response(url: str, key: str) -> Said:
    with (
        openai_client(url, key) as client,
        client.responses.create(**responses_fields("go"), stream=True) as stream,
    ):
        *_, last = stream
        assert last.type == "response.completed"
        items = last.response.output
        called = [(i.name, json.loads(i.arguments)) for i in items if i.type == "function_call"]
        return last.response.output_text, called


def read_message(url: str, key: str) -> Said:
    with (
        anthropic_client(url, key) as client,
        client.messages.stream(**anthropic_fields("go")) as stream,
    ):
        blocks = stream.get_final_message().content
        words = "".join(block.text for block in blocks if block.type == "text")
        return words, [(block.name, block.input) for block in blocks if block.type == "tool_use"]


def read_contents(url: str, key: str) -> Said:
    with gemini_client(url, key) as client:
        chunks = client.models.generate_content_stream(**gemini_fields("go"))
        parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts or ()]
    calls = [part.function_call for part in parts if part.function_call]
    return "".join(part.text or "" for part in parts), [(call.name, call.args) for call in calls]


READERS: list[tuple[Callable[[str, str], Said], type[Exception]]] = [
    (read_chat, openai.APIError),
    (read_response, openai.APIError),
    (read_message, anthropic.APIStatusError),
    (read_contents, errors.APIError),
]
"""How an SDK of each family reads a stream, and what it raises when told that one broke."""


def script(*, fault: object = None, used: object = None, **shape: object) -> dict[str, object]:
    """Return a script in which every answer comes in a shape, and breaks if told so."""
    step: dict[str, object] = {"answer": {**ANSWER, "usage": used or {}}, "shape": shape}
    return {"rules": [{"steps": [step if fault is None else {**step, "fault": fault}]}]}


async def read(house: Gatehouse, reader: Callable[[str, str], Said]) -> Said:
    try:
        return await asyncio.to_thread(reader, house.url, house.key)
    finally:
        await house.settled()


@pytest.mark.parametrize(
    "fault",
    [{"how": "end"}, {"how": "close", "after_events": 6}, {"how": "reset", "after_events": 6}],
)
@pytest.mark.parametrize(("reader", "error"), READERS)
async def test_a_stream_that_is_not_whole_raises_in_every_sdk(
    tmp_path: Path, reader: Callable[[str, str], Said], error: type[Exception], fault: object
) -> None:
    async with open_gatehouse(tmp_path, script(fault=fault)) as house:
        with pytest.raises(error, match=r"ended the stream before|stopped before its end"):
            await read(house, reader)
        attempt = house.rows[0].attempts[0]
        assert (house.rows[0].state, attempt.state, attempt.estimated) == ("failed",) * 2 + (True,)


@pytest.mark.parametrize(
    "told",
    [
        'data: {"error":{"message":"it broke","code":503}}\n\n',
        'event: error\ndata: {"error":{"message":"it broke","code":503}}\n\n',
    ],
)
@pytest.mark.parametrize(("reader", "error"), READERS)
async def test_an_error_with_a_name_or_without_raises(
    tmp_path: Path, reader: Callable[[str, str], Said], error: type[Exception], told: str
) -> None:
    fault = {"how": "error_event", "after_events": 6, "body": told}
    async with open_gatehouse(tmp_path, script(fault=fault)) as house:
        with pytest.raises(error, match="it broke"):
            await read(house, reader)
        assert house.rows[0].state == "failed"


@pytest.mark.parametrize(("reader", "error"), [READERS[0], READERS[1]], ids=["chat", "responses"])
async def test_an_error_that_does_not_say_that_it_is_one_raises(
    tmp_path: Path, reader: Callable[[str, str], Said], error: type[Exception]
) -> None:
    told = 'data: {"message":"it broke","code":503}\n\n'
    fault = {"how": "error_event", "after_events": 6, "body": told}
    async with open_gatehouse(tmp_path, script(fault=fault)) as house:
        with pytest.raises(error, match="it broke"):
            await read(house, reader)


@pytest.mark.parametrize(
    ("reader", "shape"),
    [
        (read_chat, {"ids": True, "keepalive": "comment"}),
        (read_chat, {"empty_data": True}),
        (read_chat, {"done": 2}),
        (read_response, {"ids": True, "keepalive": "comment"}),
        (read_response, {"empty_data": True}),
        (read_response, {"done": 1}),
        (read_response, {"keepalive": "event"}),
        (read_message, {"ids": True, "keepalive": "comment"}),
        (read_message, {"event_names": False}),
        (read_message, {"done": 1}),
        (read_message, {"tool_order": "interleaved"}),
        (read_contents, {"keepalive": "comment"}),
        (read_contents, {"empty_data": True}),
        (read_contents, {"done": 1}),
        (read_chat, {"tool_index": "gaps"}),
        (read_chat, {"tool_index": "zero"}),
        (read_chat, {"tool_name": "repeated"}),
        (read_chat, {"tool_index": "gaps", "tool_order": "interleaved"}),
        (read_chat, {"tool_index": "zero", "tool_arguments": "whole"}),
        (read_chat, {"tool_arguments": "with_name", "tool_order": "interleaved"}),
    ],
)
async def test_what_a_server_does_oddly_is_read_whole(
    tmp_path: Path, reader: Callable[[str, str], Said], shape: dict[str, object]
) -> None:
    async with open_gatehouse(tmp_path, script(**shape)) as house:
        assert await read(house, reader) == WHOLE
        assert house.rows[0].state == "ok"
        assert house.spent_nano_usd == house.simulator.bill().total_nano_usd > 0


async def test_two_calls_of_one_index_are_never_one_call(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, script(tool_index="zero")) as house:
        with pytest.raises(anthropic.APIStatusError, match="two blocks of index"):
            await read(house, read_message)
        assert house.rows[0].state == "failed"


async def test_a_gap_between_blocks_is_never_read_as_less(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, script(tool_index="gaps")) as house:
        with pytest.raises(IndexError):
            await read(house, read_message)
        assert house.spent_nano_usd == house.simulator.bill().total_nano_usd > 0


@pytest.mark.parametrize("reader", [reader for reader, _ in READERS])
async def test_usage_that_is_told_in_every_event_is_booked_once(
    tmp_path: Path, reader: Callable[[str, str], Said]
) -> None:
    used = {"cache_read_tokens": 640, "output_tokens": 40}
    async with open_gatehouse(tmp_path, script(used=used, usage="every")) as house:
        assert await read(house, reader) == WHOLE
        usage = house.rows[0].attempts[0].usage
        assert usage is not None
        assert (usage.cache_read_tokens, usage.output_tokens) == (640, 40)
        assert house.spent_nano_usd == house.simulator.bill().total_nano_usd


async def test_usage_that_never_comes_is_booked_at_what_was_held(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, script(usage="never")) as house:
        with pytest.raises(AttributeError):
            await read(house, read_message)
        attempt = house.rows[0].attempts[0]
        assert (house.rows[0].state, attempt.usage, attempt.estimated) == ("ok", None, True)
        assert house.spent_nano_usd >= house.simulator.bill().total_nano_usd


async def test_a_stream_that_breaks_before_content_is_served_by_another(tmp_path: Path) -> None:
    rules = [
        {"match": {"model": "gpt-5.5"}, "steps": [{"fault": {"how": "close", "after_events": 1}}]},
        {"steps": [{"answer": ANSWER}]},
    ]
    routes = {"both": 'use = ["openai:gpt-5.5", "anthropic:claude-sonnet-5"]'}
    async with open_gatehouse(tmp_path, {"rules": rules}, routes=routes) as house:
        assert await read(house, partial(read_chat, model="both")) == WHOLE
        assert [attempt.state for attempt in house.rows[0].attempts] == ["failed", "ok"]


async def test_a_refusal_that_comes_compressed_is_read(tmp_path: Path) -> None:
    fault = {"status": 400, "message": "no such thing", "encoding": "gzip"}
    async with open_gatehouse(tmp_path, script(fault=fault)) as house:
        with pytest.raises(openai.BadRequestError, match="no such thing"):
            await read(house, read_chat)
