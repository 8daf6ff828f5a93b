"""What a fallback to another format costs: CPU of one request, reply and stream event, by pair."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from callgate.wire.codec import Client, Home, Origin, Target
from callgate.wire.codec.canonical import Minter, Prompt, Text, Tool, ToolResult, ToolUse, Turn
from callgate.wire.codec.translate import (
    CODECS,
    translate_reply,
    translate_request,
    translator,
)

KILOBYTES: Final = (0, 50)
"""Sizes of the requests, in thousands of bytes; 0 is the smallest one with a tool in it."""

EVENTS: Final = 200
SECONDS: Final = 0.25
"""How long each line is measured; the best of several rounds counts."""

ROUNDS: Final = 5
WORDS: Final = 'It is a "plain" sentence of an agent\'s conversation, with 1 cafe in it.\n'
MINTER: Final = Minter(provider="away", account="key-1")
HOME: Final = Home(minter=None, model="smart", stream=True)
TARGET: Final = Target(minter=MINTER, model="served", output_tokens=900)
ORIGIN: Final = Origin(minter=MINTER, seed="call_1")
CLIENT: Final = Client(minter=None, seed="call_1", created=1_790_000_000)
SCHEMA: Final = msgspec.Raw(b'{"type":"object","properties":{"query":{"type":"string"}}}')


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table."""

    what: str
    """``request``, ``reply`` or ``event``."""
    source: str
    target: str
    kilobytes: float
    cpu_us: float
    """CPU time of one, in microseconds."""


def measure(*, seconds: float = SECONDS, sizes: Sequence[int] = KILOBYTES) -> list[Result]:
    """Measure every pair.

    Args:
        seconds: How long to measure each line.
        sizes: Sizes of the requests, in thousands of bytes.
    """
    pairs = [(one, other) for one in CODECS for other in CODECS if one != other]
    results: list[Result] = []
    for source, target in pairs:
        results += [_request(source, target, size * 1000, seconds) for size in sizes]
        results.append(_reply(source, target, seconds))
        results.append(_event(source, target, seconds))
    return results


def slowest_requests(results: Sequence[Result]) -> Sequence[float]:
    """Return the CPU time of the slowest pair for each of :data:`KILOBYTES`, in microseconds."""
    requests = [line for line in results if line.what == "request"]
    return [
        max(line.cpu_us for line in requests[n :: len(KILOBYTES)]) for n in range(len(KILOBYTES))
    ]


def prompt_of(size: int) -> Prompt:
    """Return a prompt of about ``size`` bytes: short turns, every fourth of them a tool's."""
    turns: list[Turn] = [Turn(role="user", parts=(Text(text="What is new?"),))]
    while size > 0:
        n = len(turns)
        use = ToolUse(id=f"call_{n}", name="search", arguments='{"query":"news of today"}')
        found = ToolResult(use_id=f"call_{n}", name="search", parts=(Text(text=WORDS * 8),))
        turns += [
            Turn(role="assistant", parts=(use,)),
            Turn(role="user", parts=(found,)),
            Turn(role="assistant", parts=(Text(text=WORDS * 8),)),
            Turn(role="user", parts=(Text(text=WORDS * 8),)),
        ]
        size -= len(WORDS) * 24 + 400
    tool = Tool(name="search", description="Finds news.", parameters=SCHEMA)
    return Prompt(
        model="smart", system=(Text(text="Be brief."),), turns=tuple(turns), tools=(tool,)
    )


def _request(source: str, target: str, size: int, seconds: float) -> Result:
    body = CODECS[source].write_request(prompt_of(size), TARGET).body

    def run() -> object:
        return translate_request(body, source, target=target, home=HOME, to=TARGET)

    return Result(
        what="request",
        source=source,
        target=target,
        kilobytes=len(body) / 1000,
        cpu_us=_cpu_us(seconds, run),
    )


def _reply(source: str, target: str, seconds: float) -> Result:
    body = json.dumps(REPLIES[source]).encode()

    def run() -> object:
        return translate_reply(body, source, target=target, origin=ORIGIN, client=CLIENT)

    return Result(
        what="reply",
        source=source,
        target=target,
        kilobytes=len(body) / 1000,
        cpu_us=_cpu_us(seconds, run),
    )


def _event(source: str, target: str, seconds: float) -> Result:
    events = STREAMS[source]()

    def run() -> None:
        passing = translator(source, target=target, origin=ORIGIN, client=CLIENT)
        for event in events:
            passing.feed(event)
        passing.end()

    size = sum(map(len, events)) / len(events) / 1000
    each = _cpu_us(seconds, run) / len(events)
    return Result(what="event", source=source, target=target, kilobytes=size, cpu_us=each)


USAGE: Final = {"input_tokens": 9, "output_tokens": 4}
REPLIES: Final[dict[str, dict[str, Any]]] = {
    "openai_chat": {
        "id": "c",
        "model": "m",
        "choices": [{"message": {"content": WORDS}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4},
    },
    "anthropic_messages": {
        "id": "m",
        "model": "m",
        "content": [{"type": "text", "text": WORDS}],
        "stop_reason": "end_turn",
        "usage": USAGE,
    },
    "openai_responses": {
        "id": "r",
        "model": "m",
        "status": "completed",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": WORDS}]}],
        "usage": USAGE,
    },
    "gemini_generate_content": {
        "candidates": [{"content": {"parts": [{"text": WORDS}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 4},
    },
}


def _data(page: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(page).encode() + b"\n\n"


def _chat() -> list[bytes]:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    words = [{"index": 0, "delta": {"content": f" word{n}"}} for n in range(EVENTS)]
    last: dict[str, Any] = {"index": 0, "delta": {}, "finish_reason": "stop"}
    chunks = [_data({**head, "choices": [choice]}) for choice in (*words, last)]
    return [*chunks, b"data: [DONE]\n\n"]


def _messages() -> list[bytes]:
    delta = {"type": "content_block_delta", "index": 0}
    block = {"type": "text", "text": ""}
    words = [{**delta, "delta": {"type": "text_delta", "text": f" w{n}"}} for n in range(EVENTS)]
    return [
        _data({"type": "message_start", "message": {"id": "m", "usage": USAGE}}),
        _data({"type": "content_block_start", "index": 0, "content_block": block}),
        *map(_data, words),
        _data({"type": "content_block_stop", "index": 0}),
        _data({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": USAGE}),
        _data({"type": "message_stop"}),
    ]


def _responses() -> list[bytes]:
    place = {"output_index": 0, "content_index": 0, "item_id": "msg"}
    kind = "response.output_text.delta"
    words = [{"type": kind, **place, "delta": f" w{n}"} for n in range(EVENTS)]
    whole = {"id": "r", "status": "completed", "usage": USAGE}
    return [
        _data({"type": "response.created", "response": {"id": "r", "model": "m"}}),
        *map(_data, words),
        _data({"type": "response.completed", "response": whole}),
    ]


def _gemini() -> list[bytes]:
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 4}
    contents: list[dict[str, Any]] = [
        {"content": {"parts": [{"text": f" w{n}"}]}} for n in range(EVENTS)
    ]
    last: dict[str, Any] = {"content": {"parts": []}, "finishReason": "STOP"}
    return [_data({"candidates": [each], "usageMetadata": usage}) for each in (*contents, last)]


STREAMS: Final[dict[str, Callable[[], list[bytes]]]] = {
    "openai_chat": _chat,
    "anthropic_messages": _messages,
    "openai_responses": _responses,
    "gemini_generate_content": _gemini,
}


def _cpu_us(seconds: float, run: Callable[[], object]) -> float:
    """Return the least CPU time of one run, in microseconds, over some rounds."""
    began = time.process_time()
    run()
    once = max(1e-7, time.process_time() - began)
    times = max(1, int(seconds / ROUNDS / once))
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(times):
            run()
        best = min(best, (time.process_time() - began) / times)
    return best * 1e6


def main() -> None:
    """Print the table."""
    print(f"python {sys.version.split()[0]}, msgspec {msgspec.__version__}")
    print(f"{'':9}{'from':25}{'to':25}{'KB':>7}{'CPU us':>9}")
    for line in measure():
        print(
            f"{line.what:9}{line.source:25}{line.target:25}{line.kilobytes:>7.1f}{line.cpu_us:>9.1f}"
        )


if __name__ == "__main__":
    main()
