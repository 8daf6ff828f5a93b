"""The published list of prices, as it comes: the data of genai-prices, from a file or the package."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from callgate.errors import Misconfigured

PACKAGE: Final = "genai-prices"

LARGEST_FILE: Final = 64 * 1024 * 1024
"""Bytes; the published one has two millions."""


class Above(msgspec.Struct, frozen=True):
    """What holds above a threshold of input."""

    start: int
    price: Decimal


class Tiered(msgspec.Struct, frozen=True):
    """An amount that depends on how much input a request has."""

    base: Decimal
    tiers: list[Above]


Amount = Decimal | Tiered
"""Dollars, mostly for a million tokens."""

Amounts = Mapping[str, Amount]
"""By genai-prices' names of what is paid for."""


class Constraint(msgspec.Struct, frozen=True):
    """When a price holds: from a day on, or between two hours of each day."""

    start_date: date | None = None
    start_time: time | None = None
    end_time: time | None = None


class Conditional(msgspec.Struct, frozen=True):
    """A price that holds under a condition; of several that do, the last."""

    prices: dict[str, Amount | None]
    constraint: Constraint | None = None


class Variant(msgspec.Struct, frozen=True):
    """What differs in a price for requests that are served in another way."""

    when: dict[str, str]
    prices: dict[str, Amount | None]
    constraint: Constraint | None = None


class ListedModel(msgspec.Struct, frozen=True):
    """One model of a provider."""

    id: str
    match: Any
    prices: dict[str, Amount | None] | list[Conditional]
    price_variants: list[Variant] | None = None
    context_window: int | None = None
    currency: str | None = None


class ListedProvider(msgspec.Struct, frozen=True):
    """One provider and its models."""

    id: str
    models: list[ListedModel]
    currency: str | None = None


class _Whole(msgspec.Struct):
    """The newer form of the file, which has the units beside the providers."""

    providers: list[ListedProvider]


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """A published list."""

    source: str
    """What versions of prices begin with: ``genai-prices 0.2.3``."""
    providers: Sequence[ListedProvider]


def read_file(path: Path) -> Listing:
    """Return the list of a file in the form of genai-prices' ``data.json``.

    Raises:
        Misconfigured: It is none.

    Source: genai-prices 0.2.3 (``update_prices.py``, ``types.py``).
    """
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_FILE + 1)
    except OSError as error:
        msg = f"the price list {path} cannot be read: {error.strerror}"
        raise Misconfigured(msg) from error
    if len(text) > LARGEST_FILE:
        msg = f"{path} has more than {LARGEST_FILE:,} bytes, and is no price list"
        raise Misconfigured(msg)
    try:
        told = msgspec.json.decode(text, type=list[ListedProvider] | _Whole)
    except (msgspec.DecodeError, RecursionError) as error:
        msg = f"{path} is no price list of genai-prices (its data.json): {error}"
        raise Misconfigured(msg) from error
    providers = told.providers if isinstance(told, _Whole) else told
    return Listing(source=f"{PACKAGE} sha256:{sha256(text).hexdigest()[:16]}", providers=providers)


def read_package() -> Listing:
    """Return the list of the genai-prices that is installed.

    Raises:
        Misconfigured: None is, or its list looks different.
    """
    try:
        from genai_prices import data  # noqa: PLC0415 (an extra)
    except ImportError as error:
        msg = f"{PACKAGE} is not installed: pip install --upgrade 'callgate[prices]' brings it, or name a file with --from"
        raise Misconfigured(msg) from error
    version = importlib.metadata.version(PACKAGE)
    try:
        providers = msgspec.convert(plain(data.providers), type=list[ListedProvider])
    except msgspec.ValidationError as error:
        msg = f"{PACKAGE} {version} looks different from what this Callgate can read: {error}"
        raise Misconfigured(msg) from error
    return Listing(source=f"{PACKAGE} {version}", providers=providers)


def plain(value: object) -> object:
    """Return the package's records as the file would have them."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in cast("Sequence[object]", value)]
    if not isinstance(value, dict) and hasattr(value, "__dict__"):
        value = vars(value)
    if isinstance(value, dict):
        # A name that is a word of Python, such as ``or``, has a line behind it there.
        items = cast("dict[str, object]", value).items()
        return {key.rstrip("_"): plain(item) for key, item in items}
    return value
