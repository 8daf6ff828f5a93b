"""What comes where few look for it is told, or is a loss, or an error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from callgate.errors import BrokenReply
from callgate.wire.codec.canonical import Delta, Event, Finished
from tests.unit.wire.codec.test_edge_cases import content, gemini_reply
from tests.unit.wire.codec.test_streams import calls_in
from tests.unit.wire.codec.translating import (
    CHAT,
    GEMINI,
    MESSAGES,
    RESPONSES,
    data_in,
    events_of,
    put,
    put_reply,
    put_stream,
)
from tests.unit.wire.codec.upstreams import REPLIES

OUTPUT: list[dict[str, Any]] = REPLIES[RESPONSES]["output"]
CALL: dict[str, Any] = OUTPUT[2]
WORDS: dict[str, Any] = OUTPUT[1]
IMAGE = {"inlineData": {"mimeType": "image/png", "data": "AA=="}}


def added(index: int, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def done(index: int, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def summary(index: int, words: str) -> dict[str, Any]:
    kind = "response.reasoning_summary_text.delta"
    return {"type": kind, "output_index": 0, "summary_index": index, "delta": words}


def responded(*pages: dict[str, Any], output: list[dict[str, Any]]) -> bytes:
    """Return a stream of a response that has these events and ends with this output."""
    whole = {"id": "r", "status": "completed", "output": output}
    begun = {"type": "response.created", "response": {"id": "r", "model": "m"}}
    events = [begun, *pages, {"type": "response.completed", "response": whole}]
    return b"".join([b"data: " + json.dumps(page).encode() + b"\n\n" for page in events])


def told(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Delta)]


def chatted(stream: bytes) -> tuple[str, dict[int, tuple[str, str, str]]]:
    """Return the words and the calls of a response for a client of Chat."""
    got = put_stream([stream], RESPONSES, CHAT)
    assert got.failure is None
    deltas = [choice["delta"] for page in data_in(got.told) for choice in page["choices"]]
    return "".join(each.get("content") or "" for each in deltas), calls_in(got.told)


CALLS = {0: ("a", "sun", '{"in":"Köln 🌞"}'), 1: ("b", "rain", "{}")}


def test_items_that_are_told_only_when_they_are_done_are_told() -> None:
    items = [done(n, item) for n, item in enumerate(OUTPUT)]
    assert chatted(responded(*items, output=OUTPUT)) == ("Look: 🌦", CALLS)


def test_items_that_only_the_whole_response_holds_are_told() -> None:
    assert chatted(responded(output=OUTPUT)) == ("Look: 🌦", CALLS)


def test_arguments_that_only_the_whole_response_holds_are_not_an_empty_object() -> None:
    stream = responded(added(0, {**CALL, "arguments": ""}), output=[CALL])
    assert chatted(stream) == ("", {0: CALLS[0]})


def test_what_a_stream_says_in_three_places_is_told_once() -> None:
    late = {"type": "response.output_text.done", "output_index": 0, "text": "Look: 🌦"}
    assert chatted(responded(done(0, WORDS), late, output=[WORDS])) == ("Look: 🌦", {})


def test_two_items_that_a_server_gives_one_index_are_told_once_each() -> None:
    stream = responded(done(0, WORDS), added(0, CALL), done(0, CALL), output=[WORDS, CALL])
    assert chatted(stream) == ("Look: 🌦", {0: CALLS[0]})


def test_a_second_call_in_the_place_of_an_open_one_is_an_error_and_never_one_call() -> None:
    stream = responded(added(0, CALL), added(0, OUTPUT[3]), output=[])
    got = put_stream([stream], RESPONSES, MESSAGES)
    assert got.failure is not None
    assert b"rain" not in got.told


def test_pieces_of_a_thought_stand_apart_as_in_a_plain_response() -> None:
    events = events_of([responded(summary(0, "a"), summary(1, "b"), output=[])], RESPONSES)
    assert "".join(told(events)) == "a\n\nb"


def test_an_item_that_the_provider_ran_is_a_loss_even_if_it_never_began() -> None:
    ran = done(0, {"type": "web_search_call", "id": "w"})
    assert [loss.name for loss in put_stream([responded(ran, output=[])], RESPONSES, CHAT).losses]


@pytest.mark.parametrize("target", [CHAT, MESSAGES, GEMINI])
def test_a_picture_among_instructions_is_a_loss(target: str) -> None:
    picture = {"type": "input_image", "image_url": "https://example.com/a.png"}
    first = {"role": "system", "content": [{"type": "input_text", "text": "a"}, picture]}
    asked = {"model": "m", "store": False, "input": [first, {"role": "user", "content": "hi"}]}
    assert put(asked, RESPONSES, target).lost == ["system"]


def test_a_picture_among_the_instructions_of_gemini_is_a_loss() -> None:
    asked = content(
        {"role": "user", "parts": [{"text": "hi"}]},
        systemInstruction={"parts": [{"text": "a"}, IMAGE]},
    )
    assert put(asked, GEMINI, CHAT).lost == ["system"]


def test_a_picture_among_the_instructions_of_a_chat_is_a_loss() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    first = {"role": "system", "content": [{"type": "text", "text": "a"}, picture]}
    asked = {"model": "m", "messages": [first, {"role": "user", "content": "hi"}]}
    assert put(asked, CHAT, MESSAGES).lost == ["system"]


@pytest.mark.parametrize(
    ("fields", "lost"),
    [
        ({"serviceTier": "warp"}, "service_tier"),
        ({"toolConfig": {"functionCallingConfig": {"mode": "VALIDATED"}}}, "strict"),
        ({"generationConfig": {"topK": 40.5}}, "sampling"),
    ],
)
def test_a_wish_that_only_gemini_understands_is_a_loss(fields: dict[str, Any], lost: str) -> None:
    asked = content({"role": "user", "parts": [{"text": "hi"}]}, **fields)
    assert lost in put(asked, GEMINI, MESSAGES).lost


def test_arguments_of_gemini_that_are_no_object_are_an_error_and_not_an_empty_one() -> None:
    with pytest.raises(BrokenReply, match="no object"):
        put_reply(gemini_reply({"functionCall": {"name": "sun", "args": [1]}}), GEMINI, CHAT)


def test_a_further_answer_in_a_stream_is_a_loss_and_no_words() -> None:
    page: dict[str, Any] = gemini_reply({"text": "first"})
    page["candidates"].append({"index": 1, "content": {"parts": [{"text": "second"}]}})
    stream = b"data: " + json.dumps(page).encode() + b"\r\n\r\n"
    events = events_of([stream], GEMINI)
    assert told(events) == ["first"]
    assert isinstance(events[-1], Finished)
    assert [loss.name for loss in put_stream([stream], GEMINI, CHAT).losses] == ["choices"]


def test_a_tool_that_declines_is_heard() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "sun", "arguments": "{}"}
    declined = [{"type": "refusal", "refusal": "No."}]
    result = {"type": "function_call_output", "call_id": "c", "output": declined}
    got = put({"model": "m", "store": False, "input": [call, result]}, RESPONSES, CHAT)
    assert got.page["messages"][-1]["content"] == "No."
