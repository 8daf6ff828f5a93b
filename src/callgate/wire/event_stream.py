"""Amazon's binary event stream: cutting bytes into messages, and reading one.

A message is a prelude (its length, the length of its headers, and a checksum of both), headers, a
payload, and a checksum of all of it.

Source: Smithy's specification ``application/vnd.amazon.eventstream``; botocore 1.44,
``botocore/eventstream.py``.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Iterator, Mapping
from struct import Struct, error
from typing import Final

import msgspec

from callgate.errors import BrokenReply

CONTENT_TYPE: Final = "application/vnd.amazon.eventstream"

PRELUDE: Final = Struct("!III")
CHECKSUM: Final = Struct("!I")
SHORTEST: Final = PRELUDE.size + CHECKSUM.size
"""Bytes of a message without headers and payload."""

MOST_HEADER_BYTES: Final = 128 * 1024
MOST_PAYLOAD_BYTES: Final = 24 * 1024 * 1024
"""Source: botocore 1.44, which refuses longer ones."""

BYTES_TYPE, TEXT_TYPE = 6, 7
FIXED: Final[Mapping[int, Struct]] = {
    0: Struct(""),
    1: Struct(""),
    2: Struct("!b"),
    3: Struct("!h"),
    4: Struct("!i"),
    5: Struct("!q"),
    8: Struct("!q"),
    9: Struct("16s"),
}
"""The types of header values that have one length: yes, no, numbers, an instant, a UUID."""

LENGTH: Final = Struct("!H")

Value = bool | int | bytes | str


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a stream."""

    headers: Mapping[str, Value]
    payload: bytes

    def text(self, name: str) -> str:
        """Return a header that is a text; nothing where there is none."""
        value = self.headers.get(name)
        return value if isinstance(value, str) else ""


class Frames:
    """Takes chunks, gives whole messages as they came; used as :class:`callgate.wire.sse.Splitter`."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the messages that are complete now.

        Raises:
            BrokenReply: What follows them is no message; its length would be a guess.
        """
        self._rest += chunk
        while len(self._rest) >= PRELUDE.size:
            length = _length(self._rest)
            if len(self._rest) < length:
                return
            frame = bytes(self._rest[:length])
            del self._rest[:length]
            yield frame

    @property
    def rest(self) -> bytes:
        """What has come since the last complete message."""
        return bytes(self._rest)


def _length(data: bytearray) -> int:
    """Return the length of the message that begins here."""
    length, header_bytes, checksum = PRELUDE.unpack_from(data)
    if crc32(data[: PRELUDE.size - CHECKSUM.size]) != checksum:
        found = "a message whose length does not match its checksum"
        raise _broken(found)
    payload_bytes = length - header_bytes - SHORTEST
    if header_bytes > MOST_HEADER_BYTES or not 0 <= payload_bytes <= MOST_PAYLOAD_BYTES:
        found = f"a message of {length:,} bytes with {header_bytes:,} bytes of headers"
        raise _broken(found)
    return int(length)


def read_message(frame: bytes) -> Message:
    """Return what a whole message says.

    Raises:
        BrokenReply: Its checksum does not match, or its headers cannot be read.
    """
    if len(frame) < SHORTEST:
        found = "half a message"
        raise _broken(found)
    _, header_bytes, _ = PRELUDE.unpack_from(frame)
    end = len(frame) - CHECKSUM.size
    (checksum,) = CHECKSUM.unpack_from(frame, end)
    if crc32(frame[:end]) != checksum:
        found = "a message that does not match its checksum"
        raise _broken(found)
    split = PRELUDE.size + header_bytes
    try:
        headers = _headers(frame[PRELUDE.size : split])
    except (error, IndexError, UnicodeDecodeError) as flaw:
        found = f"headers that cannot be read ({flaw})"
        raise _broken(found) from flaw
    return Message(headers=headers, payload=frame[split:end])


def _headers(data: bytes) -> Mapping[str, Value]:
    headers: dict[str, Value] = {}
    at = 0
    while at < len(data):
        start = at + 1
        at = start + data[at]
        name = _piece(data, start, at).decode()
        if name in headers:
            found = f"the header {name[:40]!r} twice"
            raise _broken(found)
        headers[name], at = _value(data, at + 1, kind=data[at])
    return headers


def _value(data: bytes, at: int, *, kind: int) -> tuple[Value, int]:
    """Return a header's value, and where it ends."""
    if kind in {BYTES_TYPE, TEXT_TYPE}:
        start = at + LENGTH.size
        end = start + LENGTH.unpack_from(data, at)[0]
        piece = _piece(data, start, end)
        return (piece if kind == BYTES_TYPE else piece.decode()), end
    form = FIXED.get(kind)
    if form is None:
        found = f"a header of the unknown type {kind}"
        raise _broken(found)
    values = form.unpack_from(data, at)
    return (values[0] if values else kind == 0), at + form.size


def _piece(data: bytes, start: int, end: int) -> bytes:
    if end > len(data):
        msg = "they end too early"
        raise IndexError(msg)
    return data[start:end]


def _broken(found: str) -> BrokenReply:
    msg = f"the provider's stream has {found}"
    return BrokenReply(msg, billed=True)
