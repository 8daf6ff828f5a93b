"""Streams as the providers of every format send them."""

from __future__ import annotations

import json
from typing import Any, Final

from tests.unit.wire.codec.translating import CHAT, MESSAGES

DONE: Final = b"data: [DONE]\n\n"


def chat_event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    """Return a piece of a chat stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    page = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt"}
    return (
        b"data: "
        + json.dumps({**page, "choices": [choice], "usage": None}, ensure_ascii=False).encode()
        + b"\n\n"
    )


def chat_calls(*pieces: tuple[int | None, str | None, str | None, str | None]) -> bytes:
    """Return pieces of calls: index, id, name, arguments; what is None is left out."""
    calls: list[dict[str, Any]] = []
    for index, id, name, arguments in pieces:
        function = {"name": name, "arguments": arguments}
        told = {"index": index, "id": id, "type": "function" if id else None}
        call: dict[str, Any] = {key: value for key, value in told.items() if value is not None}
        call["function"] = {key: value for key, value in function.items() if value is not None}
        calls.append(call)
    return chat_event({"tool_calls": calls})


def chat_stream(*pieces: bytes, finish: str = "stop") -> bytes:
    """Return a whole chat stream."""
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
    page = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt"}
    last = b"data: " + json.dumps({**page, "choices": [], "usage": usage}).encode() + b"\n\n"
    opening = chat_event({"role": "assistant", "content": ""})
    return b"".join([opening, *pieces, chat_event({}, finish), last, DONE])


def event(page: dict[str, Any]) -> bytes:
    """Return a named event."""
    return f"event: {page['type']}\ndata: {json.dumps(page, ensure_ascii=False)}\n\n".encode()


def use_delta(index: int, id: str, name: str) -> bytes:
    """Return the beginning of a call as a message has it."""
    block = {"type": "tool_use", "id": id, "name": name, "input": {}}
    return event({"type": "content_block_start", "index": index, "content_block": block})


def block_events(index: int, block: dict[str, Any]) -> bytes:
    """Return the events of one block, its words in two pieces."""
    kind = block["type"]
    empty, words, delta = {
        "text": ({"text": ""}, block.get("text", ""), ("text_delta", "text")),
        "thinking": (
            {"thinking": "", "signature": ""},
            block.get("thinking", ""),
            ("thinking_delta", "thinking"),
        ),
        "tool_use": (
            {"input": {}},
            json.dumps(block.get("input", {})),
            ("input_json_delta", "partial_json"),
        ),
    }[kind]
    start = {"type": "content_block_start", "index": index, "content_block": {**block, **empty}}
    pieces = [words[: len(words) // 2], words[len(words) // 2 :]]
    told = [{"type": delta[0], delta[1]: piece} for piece in pieces]
    if "signature" in block:
        told.append({"type": "signature_delta", "signature": block["signature"]})
    base = {"type": "content_block_delta", "index": index}
    stop = {"type": "content_block_stop", "index": index}
    return event(start) + b"".join([event({**base, "delta": each}) for each in told]) + event(stop)


def message_stream(
    *blocks: dict[str, Any], stop_reason: str = "end_turn", usage: dict[str, Any] | None = None
) -> bytes:
    """Return a whole stream of a message."""
    begun = {"input_tokens": 10, "cache_read_input_tokens": 3, "output_tokens": 1}
    message = {"id": "m1", "type": "message", "model": "claude", "content": [], "usage": begun}
    last = {"type": "message_delta", "delta": {"stop_reason": stop_reason}}
    return b"".join(
        [
            event({"type": "message_start", "message": message}),
            event({"type": "ping"}),
            *[block_events(n, block) for n, block in enumerate(blocks)],
            event({**last, "usage": usage or {"output_tokens": 7}}),
            event({"type": "message_stop"}),
        ]
    )


STREAMS: Final = {
    CHAT: chat_stream(
        chat_event({"reasoning_content": "höm 🤔"}),
        chat_event({"content": "Lo"}),
        chat_event({"content": "ok: 🌦"}),
        chat_calls((0, "a", "sun", '{"in"')),
        chat_calls((0, None, None, ':"Köln 🌞"}'), (1, "b", "rain", "")),
        chat_calls((1, None, None, "{}")),
        finish="tool_calls",
    ),
    MESSAGES: message_stream(
        {"type": "thinking", "thinking": "höm 🤔", "signature": "c2ln"},
        {"type": "text", "text": "Look: 🌦"},
        {"type": "tool_use", "id": "a", "name": "sun", "input": {"in": "Köln 🌞"}},
        {"type": "tool_use", "id": "b", "name": "rain", "input": {}},
        stop_reason="tool_use",
    ),
}
"""A thought, words and two calls, in every format."""
