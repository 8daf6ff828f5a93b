"""What the wire costs: CPU of one parse, rewrite, read and stream event, by size."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from callgate.call import Meter
from callgate.wire import Format
from callgate.wire.anthropic_messages import AnthropicMessages
from callgate.wire.openai_chat import OpenAIChat

KILOBYTES = (2, 50, 500)
EVENTS = 400
SECONDS = 0.25
"""How long each line is measured; the best of several rounds counts."""

ROUNDS = 5
WORDS = 'It is a "plain" sentence of an agent\'s conversation, with 1 caf\u00e9 in it.\n'
ASCII_WORDS = WORDS.replace("\u00e9", "e")


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table."""

    what: str
    kilobytes: float
    cpu_us: float
    """CPU time of one call or of one event, in microseconds."""


def measure(*, seconds: float = SECONDS, sizes: Sequence[int] = KILOBYTES) -> list[Result]:
    """Measure both formats.

    Args:
        seconds: How long to measure each line.
        sizes: Sizes of the requests, in thousands of bytes.
    """
    results: list[Result] = []
    for kilobytes in sizes:
        for format, style in _cases():
            body = request_of(format, kilobytes * 1000, style=style)
            results += _requests(format, style, body, seconds)
    results += _streams(seconds)
    return results


def request_of(format: Format, size: int, *, style: str) -> bytes:
    """Return a streaming request of about ``size`` bytes: short turns, tools, and one limit.

    Args:
        format: What it speaks.
        size: Bytes.
        style: ``text`` has messages that are texts, ``parts`` lists of parts; both are ASCII.
            ``unicode`` is as ``text``, with letters beyond ASCII.
    """
    words = WORDS if style == "unicode" else ASCII_WORDS
    turn: Any = [{"type": "text", "text": words * 8}] if style == "parts" else words * 8
    schema = {"type": "object", "properties": {"query": {"type": "string"}}}
    tool: Any = {"name": "search", "input_schema": schema}
    if format.api == "openai":
        tool = {"type": "function", "function": {"name": "search", "parameters": schema}}
    page: dict[str, Any] = {"messages": [], "tools": [tool], "model": "smart", "stream": True}
    each = len(json.dumps({"role": "user", "content": turn}, ensure_ascii=False).encode())
    roles = ("user", "assistant")
    page["messages"] = [
        {"role": roles[n % 2], "content": turn} for n in range(max(1, size // each))
    ]
    return json.dumps(page, ensure_ascii=False, separators=(",", ":")).encode()


def _cases() -> list[tuple[Format, str]]:
    return [
        (OpenAIChat(), "text"),
        (OpenAIChat(), "unicode"),
        (OpenAIChat(), "parts"),
        (AnthropicMessages(), "parts"),
    ]


def _requests(format: Format, style: str, body: bytes, seconds: float) -> list[Result]:
    request = format.parse(body)
    name, kilobytes = f"{format.api}, {style}", len(body) / 1000

    def rewrite() -> object:
        return format.rewrite(request, model="gpt-5.5", output_tokens=900, limit_field=None)

    return [
        Result(
            what=f"parse {name}", kilobytes=kilobytes, cpu_us=_cpu_us(seconds, format.parse, body)
        ),
        Result(what=f"rewrite {name}", kilobytes=kilobytes, cpu_us=_cpu_us(seconds, rewrite)),
        Result(
            what=f"json.loads {name}",
            kilobytes=kilobytes,
            cpu_us=_cpu_us(seconds, json.loads, body),
        ),
    ]


def _streams(seconds: float) -> list[Result]:
    chat, messages = OpenAIChat(), AnthropicMessages()
    asked: dict[str, Any] = {"stream_options": {"include_usage": True}}
    base: dict[str, Any] = {"model": "m", "messages": [], "stream": True}
    return [
        _stream("openai, usage asked for", chat, {**base, **asked}, _chat_events("null"), seconds),
        _stream("openai, usage taken out", chat, base, _chat_events("null"), seconds),
        _stream("openai, no usage", chat, base, _chat_events(None), seconds),
        _stream("anthropic", messages, {**base, "max_tokens": 9}, _message_events(), seconds),
    ]


def _stream(
    what: str, format: Format, page: dict[str, Any], events: list[bytes], seconds: float
) -> Result:
    request = format.parse(json.dumps(page).encode())

    def relay() -> None:
        scanner = format.scanner(request, Meter())
        for event in events:
            scanner.feed(event)
        scanner.end()

    size = sum(map(len, events)) / len(events) / 1000
    cpu_us = _cpu_us(seconds, relay) / len(events)
    return Result(what=f"event {what}", kilobytes=size, cpu_us=cpu_us)


def _chat_events(usage: str | None) -> list[bytes]:
    told = "" if usage is None else f',"usage":{usage}'
    head = '"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-5.5"'

    def event(delta: str, finish: str = "null") -> bytes:
        choice = f'{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}'
        return f'data: {{{head},"choices":[{choice}]{told},"obfuscation":"a1B2c3"}}\n\n'.encode()

    words = [event(f'{{"content":" word{n}"}}') for n in range(EVENTS)]
    return [event('{"role":"assistant"}'), *words, event("{}", '"stop"'), b"data: [DONE]\n\n"]


def _message_events() -> list[bytes]:
    def event(page: dict[str, Any]) -> bytes:
        return f"event: {page['type']}\ndata: {json.dumps(page)}\n\n".encode()

    usage = {"input_tokens": 9, "output_tokens": 1}
    start = event({"type": "message_start", "message": {"id": "m", "usage": usage}})
    delta = {"type": "content_block_delta", "index": 0}
    words = [
        event({**delta, "delta": {"type": "text_delta", "text": f" word{n}"}})
        for n in range(EVENTS)
    ]
    last = event({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 9}})
    return [start, *words, last, event({"type": "message_stop"})]


def _cpu_us(seconds: float, run: Callable[..., object], *arguments: object) -> float:
    """Return the least CPU time of one run, in microseconds, over some rounds."""
    began = time.process_time()
    run(*arguments)
    once = max(1e-7, time.process_time() - began)
    times = max(1, int(seconds / ROUNDS / once))
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(times):
            run(*arguments)
        best = min(best, (time.process_time() - began) / times)
    return best * 1e6


def main() -> None:
    """Print the table."""
    print(f"python {sys.version.split()[0]}, msgspec {msgspec.__version__}")
    print(f"{'':32}{'KB':>8}{'CPU us':>10}")
    for line in measure():
        print(f"{line.what:32}{line.kilobytes:>8.1f}{line.cpu_us:>10.1f}")


if __name__ == "__main__":
    main()
