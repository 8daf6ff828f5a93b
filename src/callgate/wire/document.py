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
"""What may stand between two tokens. Source: RFC 8259 §2."""

MEMBER: Final = re.compile(
    rb'[ \t\n\r]*,?[ \t\n\r]*("[^"\\]*(?:\\.[^"\\]*)*")[ \t\n\r]*:[ \t\n\r]*', re.DOTALL
)
"""What stands between two values of an object that has been found to be JSON."""

BESIDES_KEY: Final = len('{"":')
"""What stands between two values besides the key, where there is no space: the comma is as long as
the brace."""

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
POSITION: Final = re.compile(r"\(byte (\d+)\)$")
"""Where the decoder says what it stumbled over."""

LONE_SURROGATE: Final = re.compile(
    rb"(?<!\\)(?:\\\\)*"
    rb"(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)
"""Half of an escaped character beyond U+FFFF, with its other half cut off."""

PIECE_BYTES: Final = 64 * 1024
"""How much is compared at once: larger copies are fresh pages each time, and 10x slower."""

TOO_DEEP: Final = "the request is nested too deeply to be read"

_TOP: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ANY: Final = msgspec.json.Decoder(Any)


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON object: its top-level values verbatim, and where each of them stands."""

    source: bytes
    """The bytes as they came."""
    values: Mapping[str, msgspec.Raw]
    found: Mapping[str, tuple[int, int]] | None = None
    """Where each value was found; None where they stand in a row, with nothing between them but
    their keys, as most clients write them."""

    @classmethod
    def parse(cls, source: bytes) -> Document:
        """Read the top level of an object.

        What no provider accepts is refused here, with its place and at no cost: half of a
        surrogate pair, NaN and a byte order mark among it.

        Raises:
            Malformed: It is not JSON, not UTF-8, not an object, or names a key twice.
        """
        if not source.isascii():
            check_utf8(source)
        try:
            values = _TOP.decode(source)
        except RecursionError as error:
            raise malformed(TOO_DEEP) from error
        except msgspec.ValidationError as error:
            msg = f"the request is not a JSON object: {error}"
            raise malformed(msg) from error
        except msgspec.DecodeError as error:
            raise malformed(_explain(source, str(error))) from error
        found = None if _stand_in_a_row(source, values) else _walk(source, values)
        return cls(source=source, values=values, found=found)

    @property
    def places(self) -> Mapping[str, tuple[int, int]]:
        """Start and end of each value in ``source``."""
        return _row(self.values) if self.found is None else self.found

    def get(self, key: str) -> Any:
        """Return a value, decoded; None where it is absent or null.

        Raises:
            Malformed: The value cannot be decoded.
        """
        raw = self.values.get(key)
        return None if raw is None else decoded(key, raw)

    def raw(self, key: str) -> bytes:
        """Return a value as it was written; nothing where it is absent."""
        raw = self.values.get(key)
        return b"" if raw is None else bytes(raw)

    def edit(self, changes: Mapping[str, bytes]) -> bytes:
        """Return the bytes with some values replaced, and new members added at the end.

        Args:
            changes: JSON texts by key.
        """
        # Views, so that a long request is copied once.
        source, places = memoryview(self.source), self.places
        replaced = sorted((*places[key], value) for key, value in changes.items() if key in places)
        parts: list[bytes | memoryview] = []
        at = 0
        for start, end, value in replaced:
            parts += (source[at:start], value)
            at = end
        added = [
            msgspec.json.encode(key) + b":" + value
            for key, value in changes.items()
            if key not in places
        ]
        if not added:
            return b"".join([*parts, source[at:]])
        last = max((end for _, end in places.values()), default=self.source.index(b"{") + 1)
        comma = b"," if places else b""
        return b"".join([*parts, source[at:last], comma, b",".join(added), source[last:]])

    def without(self, key: str) -> bytes:
        """Return the bytes with one member left out, and one comma with it."""
        source, places = self.source, self.places
        if key not in places:
            return source
        start, end = places[key]
        before = max((place[1] for place in places.values() if place[1] < start), default=None)
        if before is not None:
            return source[:before] + source[end:]
        after = _after_space(source, end)
        if source[after : after + 1] == b",":
            end = _after_space(source, after + 1)
        opened = _after_space(source, source.index(b"{") + 1)
        return source[:opened] + source[end:]


def decoded(key: str, raw: msgspec.Raw | bytes) -> Any:
    """Return a value of a request.

    Raises:
        Malformed: It cannot be decoded.
    """
    try:
        return _ANY.decode(raw)
    except RecursionError as error:
        raise malformed(TOO_DEEP) from error
    except msgspec.DecodeError as error:
        msg = f"{key} cannot be read: {error}"
        raise malformed(msg) from error


def malformed(message: str, *, code: str = "malformed") -> Malformed:
    """Return the refusal of a request that cannot be read."""
    return Malformed(message, reason=Reason(code=code, fix="correct the request; nothing was sent"))


def check_utf8(source: bytes) -> None:
    """Look at every byte: the decoder does not look into what it skips."""
    if source.startswith(BYTE_ORDER_MARK):
        msg = "the request begins with a byte order mark; JSON has none (save it as plain UTF-8)"
        raise malformed(msg)
    try:
        source.decode()
    except UnicodeDecodeError as error:
        msg = f"the request is not UTF-8: found {source[error.start]:#04x} at byte {error.start}"
        raise malformed(msg) from error


def _explain(source: bytes, complaint: str) -> str:
    """Say what is wrong with a text that is no JSON, and where."""
    if not source.strip():
        return "the request is empty; a JSON object was expected"
    half = LONE_SURROGATE.search(source)
    if half is not None:
        shown = half[0].lstrip(b"\\").decode()
        return (
            f"the request holds half a character, \\{shown} at byte {half.end() - 6}; "
            "a text was cut in the middle of an emoji or the like"
        )
    found = POSITION.search(complaint)
    if found is None:
        return f"the request is not JSON: it ends too early, after {len(source):,} bytes"
    at = int(found[1])
    said = complaint.removeprefix("JSON is malformed: ")
    return f"the request is not JSON: {said}, at {_shown(source, at)}"


def _shown(source: bytes, at: int) -> str:
    """Return a few characters from a place on, and never half of one."""
    return repr(source[at : at + 12].decode(errors="ignore"))


def _stand_in_a_row(source: bytes, values: Mapping[str, msgspec.Raw]) -> bool:
    """Whether the values, with a key, two quotes, a colon and a comma each, are all that there is.

    Then there is no space, no key is written with an escape, and none twice: the source would be longer.
    """
    length = sum(map(len, values)) + sum(map(len, values.values())) + BESIDES_KEY * len(values)
    return len(source) == length + 1


def _row(values: Mapping[str, msgspec.Raw]) -> Mapping[str, tuple[int, int]]:
    """Return where each of the values stands that stand in a row."""
    places: dict[str, tuple[int, int]] = {}
    end = 0
    for key, value in values.items():
        start = end + len(key) + BESIDES_KEY
        end = start + len(value)
        places[key] = (start, end)
    return places


def _walk(source: bytes, values: Mapping[str, msgspec.Raw]) -> Mapping[str, tuple[int, int]]:
    """Find where each top-level value stands; every one must be where the decoder had it.

    A key that is written twice would let the gate judge one value and the provider use the other.
    """
    places: dict[str, tuple[int, int]] = {}
    found = MEMBER.match(source, source.index(b"{") + 1)
    while found is not None:
        key = _key(found[1])
        start = found.end()
        value = memoryview(values[key])
        # A later value of the same key takes an earlier one's place in the decoder's answer.
        if key in places or not _stands(source, start, value):
            msg = f"the request names {key[:80]!r} twice; which one holds would be a guess"
            raise malformed(msg, code="duplicate_key")
        end = start + len(value)
        places[key] = (start, end)
        found = MEMBER.match(source, end)
    return places


def _key(written: bytes) -> str:
    """Return a key as the decoder reads it."""
    if b"\\" not in written:
        return written[1:-1].decode()
    key: str = msgspec.json.decode(written)
    return key


def _stands(source: bytes, start: int, value: memoryview) -> bool:
    """Whether a value stands at a place in the source, byte for byte."""
    length = len(value)
    if length <= PIECE_BYTES:
        return source[start : start + length] == bytes(value)
    for at in range(0, length, PIECE_BYTES):
        piece = bytes(value[at : at + PIECE_BYTES])
        if source[start + at : start + at + len(piece)] != piece:
            return False
    return True


def _after_space(source: bytes, at: int) -> int:
    found = SPACE.match(source, at)
    return at if found is None else found.end()
