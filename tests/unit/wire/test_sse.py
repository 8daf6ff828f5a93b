"""Cutting a stream into events does not depend on how the network cut it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.errors import BrokenReply
from callgate.wire import sse
from callgate.wire.sse import Splitter, data_of, name_of, read_events
from tests.unit.wire.streams import cut

LINES = st.lists(st.sampled_from([b"data: x", b"event: y", b": z", b"\n", b"\r\n", b"\r"]))


@given(LINES.map(b"".join), st.data())
def test_events_are_the_same_in_any_chunks(stream: bytes, data: st.DataObject) -> None:
    whole = Splitter()
    pieces = Splitter()
    events = [event for chunk in cut(data, stream) for event in pieces.feed(chunk)]
    assert (events, pieces.rest) == (whole.feed(stream), whole.rest)
    assert b"".join(events) + pieces.rest == stream


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n", b"\r\r\n"])
def test_a_blank_line_of_every_kind_ends_an_event(end: bytes) -> None:
    assert Splitter().feed(b"data: 1" + end + b"data: 2") == [b"data: 1" + end]


def test_a_carriage_return_at_the_end_of_a_chunk_waits_for_its_line_feed() -> None:
    splitter = Splitter()
    assert splitter.feed(b"data: 1\r\n\r") == []
    assert splitter.feed(b"\n") == [b"data: 1\r\n\r\n"]


def test_an_event_beyond_all_measure_breaks_the_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "LARGEST_EVENT_BYTES", 100)
    splitter = Splitter()
    splitter.feed(b"x" * 100)
    with pytest.raises(BrokenReply, match="more than 100 bytes"):
        splitter.feed(b"x")


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: {}\n\n", b"{}"),
        (b"data:{}\r\n\r\n", b"{}"),
        (b"event: x\nid: 7\ndata: {}\n\n", b"{}"),
        (b"data: {\ndata: }\n\n", b"{\n}"),
        (b": a comment\n\n", b""),
        (b"data:\n\n", b""),
        (b"data: {}", b"{}"),
    ],
)
def test_an_events_data_is_found_in_every_form(event: bytes, data: bytes) -> None:
    assert data_of(event) == data


def test_an_events_name_is_found_or_empty() -> None:
    assert (name_of(b"data: {}\nevent: ping\n\n"), name_of(b"data: {}\n\n")) == (b"ping", b"")


async def test_reading_events_gives_what_is_json() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'data: {"a":1}\n\n: ping\n\nda'
        yield b"ta: [2]\n\ndata: [DONE]\n\n"

    assert [page async for page in read_events(chunks())] == [{"a": 1}, [2]]
