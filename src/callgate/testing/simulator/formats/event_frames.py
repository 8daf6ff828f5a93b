"""Amazon's binary event stream as a server writes it.

Source: Smithy's specification ``application/vnd.amazon.eventstream``.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Final

CONTENT_TYPE: Final = "application/vnd.amazon.eventstream"
PRELUDE_BYTES, CHECKSUM_BYTES = 12, 4
TEXT: Final = b"\x07"
"""The type of a header that holds text."""


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Return one message with its two checksums."""
    return _framed(b"".join([_field(name, value) for name, value in headers.items()]), payload)


def event_frame(kind: str, payload: bytes) -> bytes:
    """Return a message that is an event."""
    told = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return frame(told, payload)


def exception_frame(kind: str, payload: bytes) -> bytes:
    """Return a message that is an exception of the service's model."""
    told = {
        ":exception-type": kind,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return frame(told, payload)


def half_frame(message: bytes) -> bytes:
    """Return a message with the first half of its payload, and the checksums of that."""
    at = PRELUDE_BYTES + int.from_bytes(message[4:8], "big")
    payload = message[at:-CHECKSUM_BYTES]
    return _framed(message[PRELUDE_BYTES:at], payload[: len(payload) // 2])


def _framed(fields: bytes, payload: bytes) -> bytes:
    total = PRELUDE_BYTES + len(fields) + len(payload) + CHECKSUM_BYTES
    prelude = total.to_bytes(4, "big") + len(fields).to_bytes(4, "big")
    message = prelude + _checksum(prelude) + fields + payload
    return message + _checksum(message)


def _field(name: str, value: str) -> bytes:
    told = value.encode()
    return bytes([len(name)]) + name.encode() + TEXT + len(told).to_bytes(2, "big") + told


def _checksum(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "big")
