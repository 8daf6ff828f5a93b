"""How large an image is, told by its first bytes, where a request holds it and not its address."""

from __future__ import annotations

import binascii
import re
from typing import Any, Final

import msgspec

Size = tuple[int, int]
"""Width and height in pixels."""

PNG: Final = re.compile(rb"\x89PNG\r\n\x1a\n....IHDR(....)(....)", re.DOTALL)
"""Source: PNG specification, §5.2 and §11.2.1."""

JPEG: Final = b"\xff\xd8"
FRAMES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""The markers of a segment that tells the size. Source: ITU-T T.81, table B.1."""

SCAN: Final = 0xDA
"""The marker after which there is only the picture."""

LONGEST_HEAD: Final = 400_000
"""Characters of an image that are looked at: a camera writes a small picture before the size."""

FIRST_LOOK: Final = 4_096
"""Characters that suffice as a rule."""

DATA_URL: Final = re.compile(rb"data:[a-z0-9.+/-]*;base64,", re.IGNORECASE)
BASE64: Final = re.compile(rb"[A-Za-z0-9+/]*")


class ImageUrl(msgspec.Struct):
    """An image as Chat Completions names it."""

    url: msgspec.Raw = msgspec.Raw()


class UrlPart(msgspec.Struct):
    """A part of Chat Completions that is an image."""

    image_url: ImageUrl


class InputPart(msgspec.Struct):
    """A part of Responses that is an image."""

    image_url: msgspec.Raw = msgspec.Raw()


class Source(msgspec.Struct):
    """An image as Messages names it."""

    type: Any = None
    data: msgspec.Raw = msgspec.Raw()


class SourcePart(msgspec.Struct):
    """A part of Messages that is an image."""

    source: Source


class Blob(msgspec.Struct):
    """Bytes as Gemini names them."""

    data: msgspec.Raw = msgspec.Raw()


_BLOB: Final = msgspec.json.Decoder(Blob)
_URL_PART: Final = msgspec.json.Decoder(UrlPart)
_INPUT_PART: Final = msgspec.json.Decoder(InputPart)
_SOURCE_PART: Final = msgspec.json.Decoder(SourcePart)


def size_of_url_part(written: bytes) -> Size | None:
    """Return the size of an image of Chat Completions; None where it is not known."""
    try:
        return _size_at(_head(_URL_PART.decode(written).image_url.url))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def size_of_input_part(written: bytes) -> Size | None:
    """Return the size of an image of Responses; None where it is not known."""
    try:
        return _size_at(_head(_INPUT_PART.decode(written).image_url))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _size_at(url: bytes) -> Size | None:
    prefix = DATA_URL.match(url)
    return None if prefix is None else size_of(url[prefix.end() :])


def size_of_source_part(written: bytes) -> Size | None:
    """Return the size of an image of Messages; None where it is not known."""
    try:
        source = _SOURCE_PART.decode(written).source
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return size_of(_head(source.data)) if source.type == "base64" else None


def size_of_blob(written: bytes) -> Size | None:
    """Return the size of an image of Gemini; None where it is not known."""
    try:
        return size_of(_head(_BLOB.decode(written).data))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _head(value: msgspec.Raw) -> bytes:
    """Return how a text begins, with the escapes of base64 read; nothing where it is no text."""
    written = bytes(memoryview(value)[: LONGEST_HEAD + 100])
    return written[1:].replace(b"\\/", b"/") if written[:1] == b'"' else b""


def size_of(data: bytes) -> Size | None:
    """Return the size of an image that is a PNG or a JPEG; None for others.

    Args:
        data: It in base64, or its beginning.
    """
    for length in (FIRST_LOOK, LONGEST_HEAD):
        size = _size_in(_decoded(data[:length]))
        if size is not None or length >= len(data):
            return size
    return None


def _decoded(data: bytes) -> bytes:
    """Return the bytes of base64, up to what is none: who reads on might read it otherwise."""
    found = BASE64.match(data)
    whole = b"" if found is None else found[0]
    return binascii.a2b_base64(whole[: len(whole) // 4 * 4])


def _size_in(head: bytes) -> Size | None:
    found = PNG.match(head)
    if found is not None:
        return int.from_bytes(found[1]), int.from_bytes(found[2])
    return _size_of_jpeg(head) if head.startswith(JPEG) else None


def _size_of_jpeg(head: bytes) -> Size | None:
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:  # noqa: PLR2004 (what begins a marker)
        marker = head[at + 1]
        if marker == 0xFF:  # noqa: PLR2004 (a filling byte)
            at += 1
        elif marker in FRAMES:
            height, width = head[at + 5 : at + 7], head[at + 7 : at + 9]
            return int.from_bytes(width), int.from_bytes(height)
        elif marker == SCAN:
            return None
        else:
            at += 2 + int.from_bytes(head[at + 2 : at + 4])
    return None
