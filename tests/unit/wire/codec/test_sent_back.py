"""What the official SDKs make of a stream, and send back, is what was said, and no more."""

from __future__ import annotations

from typing import Any

from callgate.wire.codec.canonical import Thinking
from tests.unit.wire.codec.translating import (
    CHAT,
    FORMATS,
    GEMINI,
    MESSAGES,
    data_in,
    put,
    put_reply,
    put_stream,
    read,
)
from tests.unit.wire.codec.upstreams import STREAMS

HI: dict[str, Any] = {"role": "user", "parts": [{"text": "hi"}]}
CALL_A: dict[str, Any] = {"functionCall": {"name": "f", "args": {"n": 1}}}
CALL_B: dict[str, Any] = {"functionCall": {"name": "g", "args": {"n": 2}}}
RESULTS = [{"functionResponse": {"name": name, "response": {"output": "ok"}}} for name in "fg"]


def in_pieces(*parts: dict[str, Any]) -> dict[str, Any]:
    """Return a request whose history has a content for each event of a stream."""
    pieces = [{"role": "model", "parts": [part]} for part in parts]
    return {"contents": [HI, *pieces, {"role": "user", "parts": RESULTS}]}


def test_calls_in_several_contents_are_of_one_turn() -> None:
    got = put(in_pieces(CALL_A, CALL_B, {"text": ""}), GEMINI, CHAT)
    roles = [message["role"] for message in got.page["messages"]]
    assert roles == ["user", "assistant", "tool", "tool"]
    names = [call["function"]["name"] for call in got.page["messages"][1]["tool_calls"]]
    assert names == ["f", "g"]


def test_a_text_in_pieces_keeps_the_blanks_between_them() -> None:
    pieces = [{"text": words} for words in ("one", " ", "\n\n", "two", "")]
    got = put(in_pieces(*pieces, CALL_A, CALL_B), GEMINI, MESSAGES)
    assert got.page["messages"][1]["content"][0] == {"type": "text", "text": "one \n\ntwo"}


def test_thoughts_in_pieces_end_where_they_are_signed() -> None:
    thoughts = [{"text": word, "thought": True} for word in "abcd"]
    thoughts[1]["thoughtSignature"] = "c2ln"
    parts = read(in_pieces(*thoughts, CALL_A, CALL_B), GEMINI).turns[1].parts
    told = [(part.text, part.signature) for part in parts if isinstance(part, Thinking)]
    assert told == [("ab", "c2ln"), ("cd", None)]


def test_what_a_user_says_in_several_parts_stays_in_several() -> None:
    page = {"contents": [{"role": "user", "parts": [{"text": "a"}, {"text": "b"}]}]}
    assert len(read(page, GEMINI).turns[0].parts) == 2


def test_no_event_for_gemini_is_without_a_part_or_its_sdk_forgets_the_turn() -> None:
    for source in FORMATS:
        if source != GEMINI:
            pages = data_in(put_stream([STREAMS[source]], source, GEMINI).told)
            assert all(page["candidates"][0]["content"]["parts"] for page in pages)


def test_nor_is_a_reply_for_gemini_that_says_nothing() -> None:
    choice = {"message": {"role": "assistant", "content": ""}, "finish_reason": "content_filter"}
    got = put_reply({"model": "m", "choices": [choice]}, CHAT, GEMINI)
    assert got.page["candidates"][0]["content"]["parts"] == [{"text": ""}]


def test_what_openai_python_adds_to_a_message_is_no_loss() -> None:
    function = {"name": "f", "arguments": '{"n":1}', "parsed_arguments": {"n": 1}}
    call = {"id": "a", "type": "function", "index": 0, "function": function}
    said = {"role": "assistant", "content": None, "parsed": {"n": 1}, "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": "a", "content": "ok"}
    page = {"model": "m", "messages": [{"role": "user", "content": "hi"}, said, result]}
    assert put(page, CHAT, MESSAGES).lost == []
