"""Streams, replies and requests that are spoiled by chance, the same for the same seed."""

from __future__ import annotations

import json
import random
import re
from typing import Any, Final, cast

from callgate.testing.simulator.formats.event_frames import frame
from callgate.wire.event_stream import Frames, read_message
from tests.unit.wire.codec.translating import BEDROCK
from tests.unit.wire.codec.upstreams import STREAMS

JUNK: Final[tuple[Any, ...]] = (
    None, True, 0, -1, 2**70, 1.5, float("nan"), "", "x", "\ud83d", "{", "{}", "tool_use",
    "function_call", [], {}, ["x"], {"a": 1}, [{}],
)  # fmt: skip

CHANGED: Final = 0.12
"""The share of events that say something else."""

SHUFFLED: Final = 0.3
"""The share of streams whose events come in any order, and of those with odd bytes."""


def spoil(chance: random.Random, value: Any) -> Any:
    """Return a JSON value in which some value has become another one, or is missing."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        page = cast("dict[str, Any]", value)
        key = chance.choice(list(page))
        if chance.random() < 0.05:
            return {name: inner for name, inner in page.items() if name != key}
        return {**page, key: spoil(chance, page[key])}
    if isinstance(value, list) and value and chance.random() < 0.9:
        items = cast("list[object]", value)
        at = chance.randrange(len(items))
        return [*items[:at], spoil(chance, items[at]), *items[at + 1 :]]
    return chance.choice(JUNK)


def spoiled_stream(chance: random.Random, source: str) -> tuple[list[bytes], int]:
    """Return a stream in pieces, in which little is as it should be, and how many events it has."""
    if source == BEDROCK:
        events = list(Frames().feed(STREAMS[source]))
        spoiled = _spoiled_frame
    else:
        events = re.findall(rb".*?(?:\n\n|\r\n\r\n)", STREAMS[source], re.DOTALL)
        spoiled = _spoiled_event
    if chance.random() < SHUFFLED:
        events = chance.choices(events, k=len(events))
    stream = b"".join([spoiled(chance, event) for event in events])
    if chance.random() < SHUFFLED:
        at = chance.randrange(len(stream))
        stream = stream[:at] + chance.randbytes(chance.randrange(3)) + stream[at + 2 :]
    places = sorted(chance.randrange(len(stream) + 1) for _ in range(chance.randrange(6)))
    pieces = [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]
    return pieces, len(events)


def _spoiled_event(chance: random.Random, event: bytes) -> bytes:
    head, _, text = event.partition(b"data: ")
    if text.startswith(b"{") and chance.random() < CHANGED:
        told = text.rstrip()
        text = json.dumps(spoil(chance, json.loads(told))).encode() + text[len(told) :]
    return head + b"data: " + text


def _spoiled_frame(chance: random.Random, event: bytes) -> bytes:
    message = read_message(event)
    headers = {name: str(value) for name, value in message.headers.items()}
    payload = message.payload
    if chance.random() < CHANGED:
        payload = json.dumps(spoil(chance, json.loads(payload))).encode()
    if chance.random() < CHANGED / 4:
        headers[":message-type"] = chance.choice(["exception", "error", "x"])
    return frame(headers, payload)
