"""What a platform said, read with no trust in it: members by path, credits as money, no key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import ceil, floor
from typing import Any, Final, cast

import msgspec

from callgate.errors import BrokenReply
from callgate.money import LARGEST_DOLLARS, NANO_PER_DOLLAR, Money
from callgate.redact import STARS, Secret, redact
from callgate.tools.platform.profiles import Path

LONGEST_QUOTE: Final = 300
"""Characters of a platform's own words that a message repeats."""

MOST_NANO: Final = LARGEST_DOLLARS * NANO_PER_DOLLAR


def read_object(body: bytes, credential: Secret | None) -> Mapping[str, Any]:
    """Return a JSON object as :func:`read_page` does, and an empty one for what is none."""
    try:
        return read_page(body, credential)
    except BrokenReply:
        return {}


def read_page(body: bytes, credential: Secret | None) -> Mapping[str, Any]:
    """Return a JSON object without the key, wherever somebody may have put it.

    Raises:
        BrokenReply: It is no JSON object.
    """
    try:
        page = msgspec.json.decode(body)
        if credential is not None:
            page = _without(page, credential)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        said = quote(body.decode("utf-8", "replace"), credential)
        msg = f"the platform's answer is no JSON: {said}"
        raise BrokenReply(msg, billed=True) from error
    if not isinstance(page, dict):
        msg = f"the platform's answer is no JSON object but {type(page).__name__}"
        raise BrokenReply(msg, billed=True)
    return cast("dict[str, Any]", page)


def _without(page: Any, credential: Secret) -> Any:
    """Return a document with stars for a key, however its text was escaped."""
    # As JSON writes the key, without the quotation marks around it.
    key = msgspec.json.encode(credential.reveal())[1:-1]
    text = msgspec.json.encode(page)
    return msgspec.json.decode(text.replace(key, STARS.encode())) if key in text else page


def quote(text: str, credential: Secret | None) -> str:
    """Return somebody's words on one line, short, and without a key."""
    if credential is not None:
        text = text.replace(credential.reveal(), STARS)
    return redact(" ".join(text.split()))[:LONGEST_QUOTE] or "(nothing)"


def member(page: object, path: Path | None) -> Any:
    """Return what stands at a path; None where nothing does, or where there is no path."""
    if path is None:
        return None
    for name in path:
        if not isinstance(page, dict):
            return None
        page = cast("dict[str, Any]", page).get(name)
    return page


def text_at(page: object, path: Path | None) -> str | None:
    """Return a text at a path."""
    found = member(page, path)
    return found if isinstance(found, str) and found else None


def object_at(page: object, path: Path | None) -> Mapping[str, Any] | None:
    """Return an object at a path."""
    found = member(page, path)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def list_at(page: object, path: Path) -> Sequence[Any]:
    """Return a list at a path; an empty one where there is none."""
    found = member(page, path)
    return cast("Sequence[Any]", found) if isinstance(found, list) else []


def number_at(page: object, path: Path | None) -> Decimal | None:
    """Return a number at a path that can be one of credits: neither negative nor beyond belief."""
    found = member(page, path)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    # The shortest form of a float is how it was written.
    number = Decimal(str(found))
    return number if number.is_finite() and number >= 0 else None


def spent(credits: Decimal | None, credit: Money) -> Money | None:
    """Return what credits cost, a part of a nano-dollar rounded up; None for none or too many."""
    if credits is None or credits * credit.nano > MOST_NANO:
        return None
    return Money(ceil(credits * credit.nano))


def left(credits: Decimal | None, credit: Money) -> Money | None:
    """Return what credits are worth that are left, a part of a nano-dollar rounded down."""
    if credits is None or credits * credit.nano > MOST_NANO:
        return None
    return Money(floor(credits * credit.nano))
