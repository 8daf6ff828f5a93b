"""The shape of a stream on the wire: ids, keepalives, unknown events, ``[DONE]``, line ends."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from callgate.testing.simulator.formats.format import Event, Format
from callgate.testing.simulator.script import ShapeTable

DONE: Final = Event(b"data: [DONE]\n\n")
COMMENT: Final = Event(b": keepalive\n\n")
EMPTY: Final = Event(b"data:\n\n")
UNKNOWN: Final = Event(
    b'event: simulated.unknown\ndata: {"type":"simulated.unknown","note":"ignore me"}\n\n'
)
USUAL: Final = ShapeTable()
EVENT_LINE: Final = re.compile(rb"^event: .*\n", re.MULTILINE)
NEWLINES: Final = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r"}


def shaped(events: Sequence[Event], shape: ShapeTable, format: Format) -> Sequence[Event]:
    """Return a stream as a script wants it on the wire.

    Args:
        events: What the format made of the answer.
        shape: What the script wants.
        format: Who speaks.
    """
    count = format.ends_with_done if shape.done is None else shape.done
    done = [DONE] * count
    if shape is USUAL or shape == USUAL or not format.has_lines:
        return [*events, *done] if done else events
    return [_dressed(event, n, shape) for n, event in _inserted([*events, *done], shape, format)]


def _inserted(
    events: Sequence[Event], shape: ShapeTable, format: Format
) -> Iterator[tuple[int | None, Event]]:
    """Yield every event with its number, and between them, without one, what says nothing."""
    keepalive = COMMENT if shape.keepalive == "comment" else Event(format.keepalive)
    for n, event in enumerate(events):
        if n == 1 and shape.empty_data:
            yield None, EMPTY
        if n == 1 and shape.unknown_events:
            yield None, UNKNOWN
        if shape.keepalive is not None and n and n % shape.keepalive_every == 0:
            yield None, keepalive
        yield n, event


def _dressed(event: Event, n: int | None, shape: ShapeTable) -> Event:
    data = event.data
    if shape.unknown_fields:
        data = data.replace(b"data: {", b'data: {"simulated":{"unknown":[1,null]},', 1)
    if not shape.event_names:
        data = EVENT_LINE.sub(b"", data)
    if shape.ids and n is not None:
        data = b"id: %d\n%b" % (n, data)
    if shape.newline is not None:
        data = data.replace(b"\r\n", b"\n").replace(b"\n", NEWLINES[shape.newline])
    return msgspec.structs.replace(event, data=data)
