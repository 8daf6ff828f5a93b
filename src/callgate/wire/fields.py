"""Reading the few fields of a request that the gate must know, strictly."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, TypeVar

import msgspec

from callgate.wire.document import Document, decoded, malformed
from callgate.wire.images import Size

MOST_TOKENS: Final = 1_000_000_000
"""More than any model writes; a larger number is a mistake."""

NOTHING: Final = (b"", b"n")
"""How a value begins that is absent or null."""

Item = TypeVar("Item")

_ABSENT: Final = msgspec.Raw()


class Part(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """As much of a part of a message, or of a tool, as tells what it is."""

    type: Any = None
    content: msgspec.Raw = msgspec.Raw()
    """What a tool's result holds."""


PARTS: Final = msgspec.json.Decoder(list[Part])
"""Decodes what the parts are, and passes over what they hold: half the cost of decoding it all."""

_RAW_PARTS: Final = msgspec.json.Decoder(list[msgspec.Raw])


class Sight(msgspec.Struct):
    """What was seen in the messages of a request so far that is no text."""

    size_of: Callable[[bytes], Size | None]
    """How large an image is that a part holds; None where it is not known."""
    image_sizes: list[Size | None] = msgspec.field(default_factory=list["Size | None"])
    image_bytes: int = 0
    """What they take of the request, their addresses or data among it."""


def text_of(document: Document, key: str) -> str:
    """Return a text that must be there."""
    value = document.get(key)
    if isinstance(value, str) and value:
        return value
    raise wrong(key, "a text that is not empty", value)


def flag_of(document: Document, key: str) -> bool:
    """Return true or false; absent and null are false."""
    return is_set(key, document.get(key))


def is_set(name: str, value: object) -> bool:
    """Return a flag's value; null is false, and nothing else stands for true or false."""
    if value is None or isinstance(value, bool):
        return bool(value)
    raise wrong(name, "true or false", value)


def count_of(document: Document, key: str, *, least: int) -> int | None:
    """Return a whole number; None where it is absent or null. ``1000.0`` is whole."""
    return whole_number(key, document.get(key), least=least)


def whole_number(name: str, value: object, *, least: int) -> int | None:
    """Return a whole number's value; None where it is null."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        is_counted = least <= value <= MOST_TOKENS
        if is_counted and value == int(value):
            return int(value)
    raise wrong(name, f"a whole number from {least} to {MOST_TOKENS:,}", value)


def items_of(
    document: Document, key: str, decoder: msgspec.json.Decoder[list[Item]], *, needed: bool = False
) -> list[Item]:
    """Return the items of a list; none where it may be absent and is.

    Args:
        document: The request.
        key: Where the list stands.
        decoder: Reads what must be known of each item, which must be an object.
        needed: Whether the list must be there.

    Raises:
        Malformed: It is no list, or an item of it is no object.
    """
    raw = document.values.get(key, _ABSENT)
    if needed and bytes(memoryview(raw)[:1]) in NOTHING:
        raise wrong(key, "a list", None)
    return items_in(key, raw, decoder)


def items_in(
    key: str, raw: msgspec.Raw | bytes, decoder: msgspec.json.Decoder[list[Item]]
) -> list[Item]:
    """Return the items of a list as it was written; none where it is absent or null.

    Raises:
        Malformed: It is no list, or an item of it is no object.
    """
    first = bytes(memoryview(raw)[:1])
    if first in NOTHING:
        return []
    try:
        return decoder.decode(raw)
    except RecursionError:
        msg = f"{key} is nested too deeply to be read"
        raise malformed(msg) from None
    except msgspec.DecodeError as error:
        if first != b"[":
            raise wrong(key, "a list", decoded(key, raw)) from None
        msg = f"{key} must be a list of objects: {error}"
        raise malformed(msg, code="wrong_field") from None


def strange_part(
    content: msgspec.Raw, plain: frozenset[str], image: str, sight: Sight
) -> str | None:
    """Return what a message holds besides plain text and images; None if there is nothing else.

    Args:
        content: The message's content as it was written: a text, nothing, or a list of parts.
        plain: The types of parts whose tokens are bounded by their bytes.
        image: The type of a part that is an image.
        sight: Where images are counted.
    """
    first = bytes(memoryview(content)[:1])
    if first == b'"' or first in NOTHING:
        return None
    try:
        parts = PARTS.decode(content)
    except (msgspec.DecodeError, RecursionError):
        return "content that is neither a text nor a list of parts"
    if any(part.type == image for part in parts):
        parts = _without_images(content, parts, image, sight)
    for part in parts:
        if not isinstance(part.type, str) or part.type not in plain:
            return f"a part of type {part.type!r}"
        within = strange_part(part.content, plain, image, sight)
        if within is not None:
            return within
    return None


def _without_images(
    content: msgspec.Raw, parts: Sequence[Part], image: str, sight: Sight
) -> list[Part]:
    """Count the images; return the other parts.

    One that is written in more than ASCII stays among the others: how much of the bound of a text is
    its own could not be told.
    """
    others: list[Part] = []
    for part, raw in zip(parts, _RAW_PARTS.decode(content), strict=True):
        written = bytes(raw)
        if part.type == image and written.isascii():
            sight.image_sizes.append(sight.size_of(written))
            sight.image_bytes += len(written)
        else:
            others.append(part)
    return others


def strange_tool(tools: Sequence[Part], plain: Collection[str | None]) -> str | None:
    """Return which tool the provider describes or runs itself; None if the agent does all.

    Args:
        tools: The tools of the request.
        plain: The types of tools that the request describes whole; None is no type at all.
    """
    for index, tool in enumerate(tools):
        if not isinstance(tool.type, str | None) or tool.type not in plain:
            return f"tools[{index}] is of type {tool.type!r}, which adds input of its own"
    return None


def unbounded_field(document: Document, fields: Sequence[str]) -> str | None:
    """Return which of some top-level fields is set, as each of them adds input; None if none is."""
    if document.values.keys().isdisjoint(fields):
        return None
    for field in fields:
        if document.get(field):
            return f"{field} adds to the input what its bytes do not show"
    return None


def refuse_other_models(document: Document, field: str) -> None:
    """Refuse a request that lets its provider choose another model than the one that it asks for.

    No permission, price or bound would be that of the model that answers.

    Raises:
        Malformed: The field names any.

    Source: OpenRouter's guide "Model fallbacks" ("priced using the model that was ultimately used").
    """
    if document.get(field):
        msg = (
            f"{field} lets the provider fall back to models that nobody here has permitted or priced; "
            "leave it out, and name the fallbacks as use of a model under [models] in the settings"
        )
        raise malformed(msg, code="wrong_field")


def wrong(key: str, allowed: str, found: object) -> Exception:
    """Return the refusal of a field of the wrong type."""
    shown = "nothing" if found is None else f"{type(found).__name__} {str(found)[:40]!r}"
    msg = f"{key} must be {allowed}; found {shown}"
    return malformed(msg, code="wrong_field")
