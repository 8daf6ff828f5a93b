"""Reading the few fields of a request that the gate must know, strictly."""

from __future__ import annotations

import msgspec

from callgate.wire.document import Document, malformed

_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])

MOST_TOKENS = 1_000_000_000
"""More than any model writes; a larger number is a mistake."""


def text_of(document: Document, key: str) -> str:
    """Return a text that must be there."""
    value = document.get(key)
    if isinstance(value, str) and value:
        return value
    raise wrong(key, "a text that is not empty", value)


def flag_of(document: Document, key: str) -> bool:
    """Return true or false; absent and null are false."""
    value = document.get(key)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise wrong(key, "true or false", value)


def count_of(document: Document, key: str, *, least: int) -> int | None:
    """Return a whole number; None where it is absent or null. ``1000.0`` is whole."""
    value = document.get(key)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and least <= value <= MOST_TOKENS and value == int(value):
        return int(value)
    raise wrong(key, f"a whole number from {least} to {MOST_TOKENS:,}", value)


def items_of(document: Document, key: str, *, needed: bool = False) -> list[msgspec.Raw]:
    """Return the items of a list, verbatim; none where it may be absent and is.

    Counting them so costs a tenth of decoding them, and a conversation is mostly text.
    """
    raw = document.values.get(key)
    if raw is None or bytes(raw) == b"null":
        if needed:
            raise wrong(key, "a list", None)
        return []
    try:
        return _ITEMS.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        raise wrong(key, "a list", document.get(key)) from None


def wrong(key: str, allowed: str, found: object) -> Exception:
    """Return the refusal of a field of the wrong type."""
    shown = "nothing" if found is None else f"{type(found).__name__} {str(found)[:40]!r}"
    msg = f"{key} must be {allowed}; found {shown}"
    return malformed(msg, code="wrong_field")
