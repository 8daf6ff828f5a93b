"""A JSON object whose values can be changed in place, with every other byte as it came.

Prompt caches of providers and of inference servers key on bytes: a request that is decoded and
encoded again is a cache miss, even if it means the same. So the top level is walked, and an edit
is spliced into the original bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from callgate.errors import Malformed, Reason

SPACE: Final = re.compile(rb"[ \t\n\r]*")
STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)

_TOP: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ANY: Final = msgspec.json.Decoder(Any)

DEEPEST: Final = "the request is nested too deeply to be read"


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON object: its top-level values verbatim, and where each of them stands."""

    source: bytes
    """The bytes as they came."""
    values: Mapping[str, msgspec.Raw]
    places: Mapping[str, tuple[int, int]]
    """Start and end of each value in ``source``."""

    @classmethod
    def parse(cls, source: bytes) -> Document:
        """Read the top level of an object.

        Raises:
            Malformed: It is not JSON, not UTF-8, not an object, or names a key twice.
        """
        if not source.isascii():
            _check_utf8(source)
        try:
            values = _TOP.decode(source)
        except RecursionError as error:
            raise malformed(DEEPEST) from error
        except msgspec.ValidationError as error:
            msg = f"the request is not a JSON object: {error}"
            raise malformed(msg) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            msg = f"the request is not JSON: {error}" if source.strip() else "the request is empty"
            raise malformed(msg) from error
        return cls(source=source, values=values, places=_walk(source, values))

    def get(self, key: str) -> Any:
        """Return a value, decoded; None where it is absent or null.

        Raises:
            Malformed: The value cannot be decoded.
        """
        raw = self.values.get(key)
        if raw is None:
            return None
        try:
            return _ANY.decode(raw)
        except RecursionError as error:
            raise malformed(DEEPEST) from error
        except msgspec.DecodeError as error:
            msg = f"{key} is not JSON: {error}"
            raise malformed(msg) from error

    def raw(self, key: str) -> bytes:
        """Return a value as it was written; nothing where it is absent."""
        place = self.places.get(key)
        return b"" if place is None else self.source[place[0] : place[1]]

    def edit(self, changes: Mapping[str, bytes]) -> bytes:
        """Return the bytes with some values replaced, and new members added at the end.

        Args:
            changes: JSON texts by key.
        """
        source = self.source
        replaced = sorted(
            (*self.places[key], value) for key, value in changes.items() if key in self.places
        )
        parts: list[bytes] = []
        at = 0
        for start, end, value in replaced:
            parts += (source[at:start], value)
            at = end
        added = [
            msgspec.json.encode(key) + b":" + value
            for key, value in changes.items()
            if key not in self.places
        ]
        if not added:
            return b"".join([*parts, source[at:]])
        last = max((end for _, end in self.places.values()), default=source.index(b"{") + 1)
        comma = b"," if self.places else b""
        return b"".join([*parts, source[at:last], comma, b",".join(added), source[last:]])


def malformed(message: str, *, code: str = "malformed") -> Malformed:
    """Return the refusal of a request that cannot be read."""
    return Malformed(message, reason=Reason(code=code, fix="correct the request; nothing was sent"))


def _check_utf8(source: bytes) -> None:
    try:
        source.decode()
    except UnicodeDecodeError as error:
        msg = f"the request is not UTF-8: byte {source[error.start]:#04x} at position {error.start}"
        raise malformed(msg) from error


def _walk(source: bytes, values: Mapping[str, msgspec.Raw]) -> Mapping[str, tuple[int, int]]:
    """Find where each top-level value stands; every one must be where the decoder had it.

    A key that is written twice would let the gate judge one value and the provider use the other.
    """
    places: dict[str, tuple[int, int]] = {}
    at = _after_space(source, _after_space(source, 0) + 1)
    while source[at : at + 1] == b'"':
        key_end = _string_end(source, at)
        key: str = msgspec.json.decode(source[at:key_end])
        if key in places:
            msg = f"the request names {key!r} twice; which one holds would be a guess"
            raise malformed(msg, code="duplicate_key")
        start = _after_space(source, _after_space(source, key_end) + 1)
        value = values[key]
        end = start + len(memoryview(value))
        if source[start:end] != bytes(value):
            # Only a later value of the same key can have taken this one's place.
            msg = f"the request names {key!r} twice; which one holds would be a guess"
            raise malformed(msg, code="duplicate_key")
        places[key] = (start, end)
        at = _after_space(source, end)
        if source[at : at + 1] == b",":
            at = _after_space(source, at + 1)
    return places


def _after_space(source: bytes, at: int) -> int:
    found = SPACE.match(source, at)
    return at if found is None else found.end()


def _string_end(source: bytes, at: int) -> int:
    found = STRING.match(source, at)
    if found is None:
        raise malformed(DEEPEST)
    return found.end()
