"""Reading what a provider says: leniently, as a reply that its reader can use is never broken here."""

from __future__ import annotations

import json
from typing import Any, Final, cast

import msgspec

from callgate.errors import BrokenReply

TOO_DEEP: Final = "is nested too deeply"

LONGEST_SAMPLE: Final = 80
"""Bytes of an unreadable reply that a message shows."""

CUT: Final = frozenset({"length", "max_tokens", "max_output_tokens", "MAX_TOKENS"})
"""How the families say that a reply ended at its output limit."""

MOST_COUNTED: Final = 10**12
"""A counter over this is not a count of tokens; it also keeps every cost inside 64 bits."""


HALF: Final = "\ufffd"
"""What stands for half a character whose other half never came."""


def whole(text: str) -> str:
    """Return a text without halves of characters, which can be neither kept nor sent on."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def object_of(data: bytes) -> dict[str, Any]:
    """Return a JSON object, with whole characters only.

    Raises:
        BrokenReply: It is no JSON object.
    """
    page = object_as_written(data)
    # Half a character can come only in an escape: as bytes it is no UTF-8.
    if b"\\u" not in data:
        return page
    try:
        return cast("dict[str, Any]", _mended(page))
    except RecursionError as error:
        raise unreadable(TOO_DEEP, data) from error


def _mended(value: object) -> object:
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, list):
        return [_mended(each) for each in cast("list[object]", value)]
    if isinstance(value, dict):
        page = cast("dict[str, object]", value)
        return {whole(key): _mended(each) for key, each in page.items()}
    return value


def object_as_written(data: bytes) -> dict[str, Any]:
    """Return a JSON object that may hold half a character, whose other half is in the next event.

    The second reader takes what the first refuses and the official SDKs accept: half a surrogate
    pair where an emoji falls on the border of two events, and NaN among log probabilities.

    Raises:
        BrokenReply: It is no JSON object.
    """
    try:
        page = msgspec.json.decode(data)
    except RecursionError as error:
        raise unreadable(TOO_DEEP, data) from error
    except (msgspec.DecodeError, UnicodeDecodeError):
        page = _leniently(data)
    if not isinstance(page, dict):
        problem = "is no JSON object"
        raise unreadable(problem, data)
    return cast("dict[str, Any]", page)


def _leniently(data: bytes) -> object:
    try:
        # Decoded here, as the reader's own way takes half a character as bytes.
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        problem = f"is not JSON ({error})"
        raise unreadable(problem, data) from error


def unreadable(problem: str, data: bytes) -> BrokenReply:
    """Return the failure of a reply that makes no sense."""
    msg = f"the provider's reply {problem}: {data[:LONGEST_SAMPLE]!r}"
    return BrokenReply(msg, billed=True)


def member(page: dict[str, Any], key: str) -> dict[str, Any]:
    """Return an object inside an object; an empty one where there is none."""
    return mapping(page.get(key))


def mapping(value: object) -> dict[str, Any]:
    """Return an object; an empty one where a value is something else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def objects(value: object) -> list[dict[str, Any]]:
    """Return the objects of a list; none where there is no list."""
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]


def text(page: dict[str, Any], key: str) -> str | None:
    """Return a text; None where there is none, or something else."""
    value = page.get(key)
    return value if isinstance(value, str) and value else None


def count(counters: dict[str, Any], key: str) -> int | None:
    """Return a counter; None where it is absent, null or not a number of tokens."""
    value = counters.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # A comparison with NaN is false, so that what is converted here is finite.
    return max(0, int(value)) if -MOST_COUNTED <= value <= MOST_COUNTED else None
