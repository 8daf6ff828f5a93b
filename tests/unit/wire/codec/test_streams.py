"""Streams from one format into another: order, numbering, and what breaks them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.call import Usage
from callgate.wire.codec.canonical import Broke, Finished
from callgate.wire.codec.translate import translator
from tests.unit.wire.codec.translating import (
    CHAT,
    CLIENT,
    FROM_AWAY,
    MESSAGES,
    WAYS_BACK,
    data_in,
    events_of,
    put_stream,
)
from tests.unit.wire.codec.upstreams import (
    STREAMS,
    chat_calls,
    chat_stream,
    message_stream,
    use_delta,
)
from tests.unit.wire.streams import cut

TWO_CALLS = [
    chat_calls((0, "a", "sun", '{"in"')),
    chat_calls((1, "b", "rain", "")),
    chat_calls((0, None, None, ':"Köln"}'), (1, None, None, '{"mm":')),
    chat_calls((1, None, None, "3}")),
]


def blocks_in(stream: bytes) -> list[tuple[int, str, str]]:
    """Return every block of a message stream: its index, its kind or name, and its words."""
    found: dict[int, tuple[int, str, str]] = {}
    for page in data_in(stream):
        if page["type"] == "content_block_start":
            block = page["content_block"]
            found[page["index"]] = (page["index"], block.get("name", block["type"]), "")
        elif page["type"] == "content_block_delta":
            index, kind, words = found[page["index"]]
            delta = page["delta"]
            told = next(value for key, value in delta.items() if key != "type")
            found[index] = (index, kind, words + told)
    return list(found.values())


def calls_in(stream: bytes) -> dict[int, tuple[str, str, str]]:
    """Return every call of a chat stream by its index: id, name and arguments."""
    found: dict[int, tuple[str, str, str]] = {}
    for page in data_in(stream):
        for choice in page["choices"]:
            for call in choice["delta"].get("tool_calls", []):
                id, name, told = found.get(call["index"], ("", "", ""))
                function = call["function"]
                found[call["index"]] = (
                    id + call.get("id", ""),
                    name + function.get("name", ""),
                    told + function.get("arguments", ""),
                )
    return found


def test_calls_whose_pieces_come_mixed_become_one_block_after_the_other() -> None:
    told = put_stream([chat_stream(*TWO_CALLS, finish="tool_calls")], CHAT, MESSAGES).told
    assert blocks_in(told) == [(0, "sun", '{"in":"Köln"}'), (1, "rain", '{"mm":3}')]
    names = [page["type"] for page in data_in(told)]
    assert names.index("content_block_stop") < len(names) - 1 - names[::-1].index(
        "content_block_start"
    )


def test_a_second_call_is_told_as_soon_as_the_first_is_whole() -> None:
    first, second = chat_calls((0, "a", "sun", "{}")), chat_calls((1, "b", "rain", '{"mm":'))
    stream = chat_stream(first, second, finish="tool_calls")
    begun = stream[: stream.index(second) + len(second)]
    assert b'"name":"rain"' in put_stream([begun], CHAT, MESSAGES).told


@pytest.mark.parametrize("index", [0, 3, None])
def test_a_server_that_numbers_calls_wrongly_still_makes_two(index: int | None) -> None:
    pieces = [chat_calls((index, "a", "sun", "{}")), chat_calls((index, "b", "rain", '{"mm":1}'))]
    told = put_stream([chat_stream(*pieces, finish="tool_calls")], CHAT, MESSAGES).told
    assert blocks_in(told) == [(0, "sun", "{}"), (1, "rain", '{"mm":1}')]


def test_an_id_and_a_name_that_a_server_repeats_are_told_once() -> None:
    pieces = [chat_calls((0, "a", "sun", '{"x"')), chat_calls((0, "a", "sun", ":1}"))]
    events = put_stream([chat_stream(*pieces, finish="tool_calls")], CHAT, MESSAGES).told
    assert blocks_in(events) == [(0, "sun", '{"x":1}')]


def test_arguments_in_the_piece_that_has_the_name_are_kept() -> None:
    stream = chat_stream(chat_calls((0, "a", "sun", '{"x":1}')), finish="tool_calls")
    assert blocks_in(put_stream([stream], CHAT, MESSAGES).told) == [(0, "sun", '{"x":1}')]


def test_calls_of_a_message_are_numbered_from_0_whatever_stands_before_them() -> None:
    stream = message_stream(
        {"type": "text", "text": "Look:"},
        {"type": "tool_use", "id": "a", "name": "sun", "input": {"x": 1}},
        {"type": "tool_use", "id": "b", "name": "rain", "input": {}},
        stop_reason="tool_use",
    )
    told = put_stream([stream], MESSAGES, CHAT).told
    assert calls_in(told) == {0: ("a", "sun", '{"x": 1}'), 1: ("b", "rain", "{}")}


def test_the_latest_usage_of_a_message_stands_and_is_not_added_up() -> None:
    stream = message_stream({"type": "text", "text": "a"}, usage={"output_tokens": 9})
    last = events_of([stream], MESSAGES)[-1]
    expected = Usage(input_tokens=10, cache_read_tokens=3, output_tokens=9)
    assert isinstance(last, Finished)
    assert last.usage == expected


def test_usage_goes_to_a_chat_client_only_if_it_asked() -> None:
    stream = message_stream({"type": "text", "text": "a"})
    asked = data_in(put_stream([stream], MESSAGES, CHAT).told)
    assert (asked[-1]["choices"], asked[-1]["usage"]["prompt_tokens"]) == ([], 13)
    assert all("usage" in page for page in asked)
    silent = data_in(put_stream([stream], MESSAGES, CHAT, wants_usage=False).told)
    assert not any("usage" in page for page in silent)


@pytest.mark.parametrize(("source", "target"), WAYS_BACK)
def test_a_stream_that_stops_before_its_end_ends_with_an_error(source: str, target: str) -> None:
    stream = STREAMS[source]
    cut_off = stream[: len(stream) * 2 // 3]
    got = put_stream([cut_off], source, target)
    assert got.failure is not None
    last = data_in(got.told)[-1]
    assert "error" in last or "error" in last["response"]
    assert "ended the stream before" in str(last)


@pytest.mark.parametrize("source", STREAMS)
@given(data=st.data())
def test_what_a_stream_says_does_not_depend_on_how_it_is_cut(
    source: str, data: st.DataObject
) -> None:
    stream = STREAMS[source]
    whole = events_of([stream], source)
    assert not any(isinstance(event, Broke) for event in whole)
    assert events_of(cut(data, stream), source) == whole


@pytest.mark.parametrize("source", STREAMS)
def test_a_stream_is_the_same_a_byte_at_a_time(source: str) -> None:
    stream = STREAMS[source]
    bytes_alone = [stream[n : n + 1] for n in range(len(stream))]
    assert events_of(bytes_alone, source) == events_of([stream], source)


def test_an_emoji_in_two_halves_is_put_together() -> None:
    halves = [
        b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"a\\ud83d"}}]}\n\n',
        b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"\\ude00b"}}]}\n\n',
    ]
    told = put_stream([chat_stream(*halves, finish="stop")], CHAT, MESSAGES).told
    assert blocks_in(told) == [(0, "text", "a\U0001f600b")]


def test_half_an_emoji_whose_other_half_never_comes_breaks_nothing() -> None:
    half = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"a\\ud83d"}}]}\n\n'
    got = put_stream([chat_stream(half, finish="stop")], CHAT, MESSAGES)
    assert blocks_in(got.told) == [(0, "text", "a\ufffd")]


def test_two_blocks_of_one_index_are_an_error_and_never_one_call() -> None:
    stream = message_stream(
        {"type": "tool_use", "id": "a", "name": "sun", "input": {}}, stop_reason="tool_use"
    )
    again = use_delta(0, "b", "rain")
    at = stream.index(b"event: content_block_stop")
    got = put_stream([stream[:at] + again + stream[at:]], MESSAGES, CHAT)
    assert got.failure is not None
    assert b"rain" not in got.told


def test_arguments_that_are_no_object_are_an_error_and_not_a_finished_call() -> None:
    stream = chat_stream(chat_calls((0, "a", "sun", '{"x":')), finish="tool_calls")
    got = put_stream([stream], CHAT, MESSAGES)
    assert got.failure is not None
    assert b"message_stop" not in got.told


def test_arguments_that_the_output_limit_cut_are_told_as_far_as_they_go() -> None:
    stream = chat_stream(chat_calls((0, "a", "sun", '{"x":')), finish="length")
    got = put_stream([stream], CHAT, MESSAGES)
    assert got.failure is None
    assert data_in(got.told)[-2]["delta"]["stop_reason"] == "max_tokens"


def test_a_reason_to_finish_that_nobody_knows_is_no_stop() -> None:
    got = put_stream([chat_stream(finish="eaten")], CHAT, MESSAGES)
    assert got.failure is not None
    assert b"end_turn" not in got.told


def test_an_error_before_any_content_is_raised_at_once() -> None:
    said = {"error": {"message": "overloaded", "type": "server_error"}}
    got = put_stream([b"data: " + json.dumps(said).encode() + b"\n\n"], CHAT, MESSAGES)
    assert got.failure is not None
    assert "overloaded" in str(got.failure)
    assert not got.told.startswith(b"event: message_start")


def test_a_stream_of_which_nobody_has_seen_anything_can_still_be_served_by_another() -> None:
    stream = message_stream({"type": "thinking", "thinking": "hm", "signature": "s"})
    passing = translator(MESSAGES, target=CHAT, origin=FROM_AWAY, client=CLIENT)
    passing.feed(stream[: stream.index(b"event: message_delta")])
    assert not passing.has_content
    passing.feed(stream[stream.index(b"event: message_delta") :])
    assert passing.has_content


def test_thoughts_with_a_foreign_signature_are_not_sent_where_they_would_come_back() -> None:
    thought: dict[str, Any] = {"type": "thinking", "thinking": "hm", "signature": "s"}
    stream = message_stream(thought, {"type": "text", "text": "a"})
    got = put_stream([stream], MESSAGES, MESSAGES)
    assert blocks_in(got.told) == [(0, "text", "a")]
    assert [loss.name for loss in got.losses] == ["thinking"]
