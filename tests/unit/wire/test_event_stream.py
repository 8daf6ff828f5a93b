"""Amazon's binary event stream, against AWS's own reader and the simulator's writer."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from struct import pack
from typing import Any
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from callgate.errors import BrokenReply
from callgate.testing.simulator.formats.event_frames import frame
from callgate.wire.event_stream import Frames, Message, Value, read_message
from tests.unit.wire.streams import cut

NAMES = st.text(min_size=1, max_size=20)
TYPED: st.SearchStrategy[tuple[bytes, Value]] = st.one_of(
    st.booleans().map(lambda v: (pack("!B", not v), v)),
    st.integers(-128, 127).map(lambda v: (pack("!Bb", 2, v), v)),
    st.integers(-(2**15), 2**15 - 1).map(lambda v: (pack("!Bh", 3, v), v)),
    st.integers(-(2**31), 2**31 - 1).map(lambda v: (pack("!Bi", 4, v), v)),
    st.integers(-(2**63), 2**63 - 1).map(lambda v: (pack("!Bq", 5, v), v)),
    st.binary(max_size=40).map(lambda v: (pack("!BH", 6, len(v)) + v, v)),
    st.text(max_size=20).map(lambda v: (pack("!BH", 7, len(v.encode())) + v.encode(), v)),
    st.integers(0, 2**62).map(lambda v: (pack("!Bq", 8, v), v)),
    st.uuids().map(lambda v: (b"\x09" + v.bytes, v.bytes)),
)
FIELDS = st.dictionaries(NAMES, TYPED, max_size=4)
MESSAGES = st.lists(st.tuples(FIELDS, st.binary(max_size=200)), max_size=5)


def written(fields: bytes, payload: bytes) -> bytes:
    """Return a message, put together by hand."""
    prelude = pack("!II", 16 + len(fields) + len(payload), len(fields))
    head = prelude + pack("!I", crc32(prelude)) + fields + payload
    return head + pack("!I", crc32(head))


def fields_of(headers: dict[str, tuple[bytes, Value]]) -> bytes:
    return b"".join(
        bytes([len(name.encode())]) + name.encode() + value for name, (value, _) in headers.items()
    )


def ours(chunks: Sequence[bytes]) -> list[Message]:
    frames = Frames()
    return [read_message(each) for chunk in chunks for each in frames.feed(chunk)]


@given(told=MESSAGES, data=st.data())
def test_messages_are_those_of_awss_own_reader_however_they_are_cut(
    told: list[tuple[dict[str, tuple[bytes, Value]], bytes]], data: st.DataObject
) -> None:
    stream = b"".join([written(fields_of(headers), payload) for headers, payload in told])
    buffer: Any = EventStreamBuffer()
    buffer.add_data(stream)
    read = ours(list(cut(data, stream)))
    assert [(dict(each.headers), each.payload) for each in read] == [
        (each.headers, each.payload) for each in buffer
    ]
    assert [{name: value for name, (_, value) in headers.items()} for headers, _ in told] == [
        each.headers for each in read
    ]


@given(payload=st.binary(max_size=100), at=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_one_wrong_byte_anywhere_is_found(payload: bytes, at: int, flip: int) -> None:
    message = bytearray(frame({":event-type": "x"}, payload))
    message[at % len(message)] ^= flip
    with pytest.raises(BrokenReply):
        ours([bytes(message), bytes(16)])


def test_what_stood_before_a_broken_message_is_still_given() -> None:
    good = frame({":event-type": "x"}, b"{}")
    frames = Frames().feed(good + b"\xff" * 16)
    assert next(iter(frames)) == good
    with pytest.raises(BrokenReply, match="does not match its checksum"):
        next(iter(frames))


def test_half_a_message_is_what_is_left() -> None:
    frames = Frames()
    assert not list(frames.feed(frame({}, b"abc")[:-1]))
    with pytest.raises(BrokenReply):
        read_message(frames.rest)


@pytest.mark.parametrize("size", [(2**31, 0), (40, 2**20), (15, 0)])
def test_a_length_that_no_message_has_is_refused_before_it_is_waited_for(
    size: tuple[int, int],
) -> None:
    prelude = pack("!II", *size)
    with pytest.raises(BrokenReply, match="bytes of headers"):
        list(Frames().feed(prelude + pack("!I", crc32(prelude))))


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        (b"\x01a\x63", "unknown type 99"),
        (b"\x01a\x07\x00\x05ab", "end too early"),
        (b"\x05a", "end too early"),
        (b"\x01a\x04\x00", "cannot be read"),
        (b"\x01\xff\x00", "cannot be read"),
        (b"\x01a", "cannot be read"),
        (b"\x01a\x00\x01a\x00", "'a' twice"),
    ],
)
def test_headers_that_make_no_sense_are_refused(fields: bytes, found: str) -> None:
    with pytest.raises(BrokenReply, match=found):
        read_message(written(fields, b""))


def test_a_text_that_is_no_text_is_nothing() -> None:
    message = read_message(written(b"\x01a\x00\x01b\x09" + uuid.UUID(int=7).bytes, b""))
    assert (message.text("a"), message.text("b"), message.text("c")) == ("", "", "")
