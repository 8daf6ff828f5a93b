"""Reading the few fields of a request that the gate must know, strictly."""

from __future__ import annotations

from typing import Any

from callgate.wire.document import Document, malformed

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
    is_whole = (
        isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
    )
    if is_whole and least <= value <= MOST_TOKENS:
        return int(value)
    raise wrong(key, f"a whole number from {least} to {MOST_TOKENS:,}", value)


def list_of(document: Document, key: str, *, needed: bool = False) -> list[Any]:
    """Return a list; empty where it may be absent and is."""
    value = document.get(key)
    if value is None and not needed:
        return []
    if isinstance(value, list):
        return value
    raise wrong(key, "a list", value)


def wrong(key: str, allowed: str, found: object) -> Exception:
    """Return the refusal of a field of the wrong type."""
    shown = "nothing" if found is None else f"{type(found).__name__} {str(found)[:40]!r}"
    msg = f"{key} must be {allowed}; found {shown}"
    return malformed(msg, code="wrong_field")
