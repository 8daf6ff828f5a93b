"""Streams as providers send them, and what a scanner makes of one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st

from callgate.call import Meter
from callgate.errors import Failed
from callgate.wire import Format

HEAD = '"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-5.5-2026"'
DONE = b"data: [DONE]\n\n"


class Scanned(msgspec.Struct, kw_only=True):
    """What came of a stream."""

    relayed: bytes
    meter: Meter
    failure: Failed | None


def scan(
    format: Format,
    request: bytes,
    chunks: Sequence[bytes],
    *,
    model: str = "",
    stream: bool = False,
) -> Scanned:
    """Put a stream through a scanner, as a provider does: what comes before content is held."""
    meter = Meter()
    scanner = format.scanner(format.parse(request, model=model, stream=stream), meter)
    relayed, failure = b"", None
    try:
        for chunk in chunks:
            relayed += scanner.feed(chunk)
        relayed += scanner.end()
    except Failed as error:
        failure = error
    return Scanned(relayed=relayed if scanner.has_content else b"", meter=meter, failure=failure)


def cut(data: st.DataObject, stream: bytes) -> Iterator[bytes]:
    """Cut a stream anywhere."""
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    for start, end in zip([0, *places], [*places, len(stream)], strict=True):
        yield stream[start:end]


def chunk(delta: str, *, finish: str = "null", usage: str | None = None) -> bytes:
    """Return an event of a chat stream; ``usage`` is what an injected wish adds to it."""
    told = "" if usage is None else f',"usage":{usage}'
    choice = f'{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}'
    return f'data: {{{HEAD},"choices":[{choice}]{told},"obfuscation":"xk"}}\n\n'.encode()


def usage_chunk(**counters: Any) -> bytes:
    """Return the extra event that tells the usage."""
    return f'data: {{{HEAD},"choices":[],"usage":{json.dumps(counters)}}}\n\n'.encode()


def chat_events(*, with_usage: bool) -> list[bytes]:
    """Return a whole chat stream, as a provider sends it with the wish for usage or without."""
    usage = "null" if with_usage else None
    deltas = ('{"role":"assistant","content":""}', '{"content":"it says \\"usage\\":null, é"}')
    events = [chunk(delta, usage=usage) for delta in deltas]
    events.append(chunk("{}", finish='"stop"', usage=usage))
    if with_usage:
        events.append(usage_chunk(prompt_tokens=9, completion_tokens=4, total_tokens=13))
    return [*events, DONE]


def event(page: dict[str, Any]) -> bytes:
    """Return an event of a message stream."""
    return f"event: {page['type']}\ndata: {json.dumps(page)}\n\n".encode()


def message_events(*, delta_usage: dict[str, Any] | None = None) -> list[bytes]:
    """Return a whole message stream."""
    start = {"input_tokens": 10, "cache_read_input_tokens": 3, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "model": "claude-x", "usage": start}
    text = {"type": "text_delta", "text": 'an "error" of message_stop, é'}
    delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    return [
        event({"type": "message_start", "message": message}),
        event({"type": "content_block_start", "index": 0, "content_block": {"type": "text"}}),
        event({"type": "ping"}),
        event({"type": "content_block_delta", "index": 0, "delta": text}),
        event({"type": "content_block_stop", "index": 0}),
        event({**delta, "usage": delta_usage or {"output_tokens": 7}}),
        event({"type": "message_stop"}),
    ]
