"""The official SDKs read what the codec writes: plain and streaming, with parallel tools."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest

from callgate.errors import BrokenReply
from callgate.wire.codec.translate import translator
from tests.unit.wire.codec.translating import (
    CHAT,
    CLIENT,
    FROM_AWAY,
    GEMINI,
    MESSAGES,
    RESPONSES,
    SOURCES,
    put_reply,
    put_stream,
)
from tests.unit.wire.codec.upstreams import REPLIES, STREAMS
from tests.unit.wire.test_errors_in_sdks import anthropic_client, openai_client

EVENTS = "text/event-stream"
ASKED: Any = [{"role": "user", "content": "go"}]
CALLS: list[tuple[str, Any]] = [("sun", {"in": "Köln 🌞"}), ("rain", {})]
TEXT = "Look: 🌦"


def others(format: str) -> list[str]:
    """Return every format of replies but one."""
    return [each for each in SOURCES if each != format]


def streamed(source: str, target: str) -> bytes:
    got = put_stream([STREAMS[source]], source, target)
    assert got.failure is None
    return got.told


def plain(source: str, target: str) -> bytes:
    return json.dumps(put_reply(REPLIES[source], source, target).page).encode()


@pytest.mark.parametrize("source", others(CHAT))
def test_openai_streams_a_chat(source: str) -> None:
    client = openai_client(200, streamed(source, CHAT), EVENTS)
    with client.chat.completions.stream(
        model="m", messages=ASKED, stream_options={"include_usage": True}
    ) as stream:
        for _ in stream:
            pass
        whole = stream.get_final_completion()
    choice = whole.choices[0]
    assert choice.message.content == TEXT
    assert choice.finish_reason == "tool_calls"
    calls: Any = choice.message.tool_calls
    assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == CALLS
    assert [call.id for call in calls] == ["a", "b"]
    assert whole.usage is not None
    assert whole.usage.prompt_tokens > 0


@pytest.mark.parametrize("source", others(CHAT))
def test_openai_reads_a_plain_chat(source: str) -> None:
    client = openai_client(200, plain(source, CHAT), "application/json")
    reply: Any = client.chat.completions.create(model="m", messages=ASKED)
    calls = reply.choices[0].message.tool_calls
    assert reply.choices[0].message.content == TEXT
    assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == CALLS


@pytest.mark.parametrize("source", others(MESSAGES))
def test_anthropic_streams_a_message(source: str) -> None:
    client = anthropic_client(200, streamed(source, MESSAGES), EVENTS)
    with client.messages.stream(model="m", max_tokens=9, messages=ASKED) as stream:
        for _ in stream:
            pass
        message = stream.get_final_message()
    told = [block.text for block in message.content if block.type == "text"]
    calls = [(block.name, block.input) for block in message.content if block.type == "tool_use"]
    assert (told, calls, message.stop_reason) == ([TEXT], CALLS, "tool_use")
    assert (message.usage.input_tokens, message.usage.output_tokens > 0) == (9, True)


@pytest.mark.parametrize("source", others(MESSAGES))
def test_anthropic_reads_a_plain_message(source: str) -> None:
    client = anthropic_client(200, plain(source, MESSAGES), "application/json")
    message = client.messages.create(model="m", max_tokens=9, messages=ASKED)
    calls = [(block.name, block.input) for block in message.content if block.type == "tool_use"]
    assert (calls, message.stop_reason) == (CALLS, "tool_use")


@pytest.mark.parametrize("source", others(RESPONSES))
def test_openai_streams_a_response(source: str) -> None:
    client = openai_client(200, streamed(source, RESPONSES), EVENTS)
    with client.responses.stream(model="m", input="go") as stream:
        numbers = [event.sequence_number for event in stream]
        response: Any = stream.get_final_response()
    calls = [item for item in response.output if item.type == "function_call"]
    assert response.output_text == TEXT
    assert [(call.name, json.loads(call.arguments)) for call in calls] == CALLS
    assert [call.call_id for call in calls] == ["a", "b"]
    assert numbers[0] == 0
    assert response.usage.input_tokens > 0


@pytest.mark.parametrize("source", others(RESPONSES))
def test_openai_reads_a_plain_response(source: str) -> None:
    client = openai_client(200, plain(source, RESPONSES), "application/json")
    response: Any = client.responses.create(model="m", input="go")
    calls = [item for item in response.output if item.type == "function_call"]
    assert (response.output_text, response.status) == (TEXT, "completed")
    assert [(call.name, json.loads(call.arguments)) for call in calls] == CALLS


@pytest.mark.parametrize("source", others(GEMINI))
def test_gemini_gets_whole_calls_and_no_done(source: str) -> None:
    lines = streamed(source, GEMINI).split(b"\r\n\r\n")
    pages = [json.loads(line.removeprefix(b"data: ")) for line in lines if line]
    parts = [part for page in pages for part in page["candidates"][0]["content"]["parts"]]
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    assert "".join(part.get("text", "") for part in parts) == TEXT
    assert [(call["name"], call["args"]) for call in calls] == CALLS
    assert pages[-1]["candidates"][0]["finishReason"] == "STOP"
    assert pages[-1]["usageMetadata"]["promptTokenCount"] > 0


def test_openai_raises_on_the_error_that_ends_a_chat() -> None:
    told = put_stream([STREAMS[MESSAGES][:900]], MESSAGES, CHAT).told
    client = openai_client(200, told, EVENTS)
    with pytest.raises(openai.APIError, match="before message_stop"):
        for _ in client.chat.completions.create(model="m", messages=ASKED, stream=True):
            pass


def test_anthropic_raises_on_the_error_that_ends_a_message() -> None:
    told = put_stream([STREAMS[CHAT][:900]], CHAT, MESSAGES).told
    client = anthropic_client(200, told, EVENTS)
    with pytest.raises(anthropic.APIStatusError, match="before \\[DONE\\]"):
        for _ in client.messages.create(model="m", max_tokens=9, messages=ASKED, stream=True):
            pass


def test_openai_gets_a_failed_response_at_the_end_of_one_that_broke() -> None:
    told = put_stream([STREAMS[CHAT][:900]], CHAT, RESPONSES).told
    client = openai_client(200, told, EVENTS)
    last: Any = list(client.responses.create(model="m", input="go", stream=True))[-1]
    assert last.type == "response.failed"
    assert last.response.status == "failed"


def test_an_error_of_another_provider_is_told_in_the_words_of_the_client() -> None:
    passing = translator(CHAT, target=MESSAGES, origin=FROM_AWAY, client=CLIENT)
    told = passing.fail(BrokenReply("it broke", billed=True))
    assert told.startswith(b'event: error\ndata: {"type":"error","error":{"type":"api_error"')
