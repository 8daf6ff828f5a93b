"""What a reply itself says that it cost, in the ways of those providers that charge just that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, Generic, TypeVar

import msgspec

from callgate.call import CostReport
from callgate.money import LARGEST_DOLLARS, Money

TICKS_IN_A_DOLLAR: Final = 10_000_000_000
"""Source: xAI's documentation of cost tracking (``cost_in_usd_ticks``)."""

Told = TypeVar("Told")


class Reply(msgspec.Struct, Generic[Told]):
    """As much of a reply, or of an event of one, as tells its cost."""

    usage: Told | None = None


class OwnKey(msgspec.Struct):
    """What somebody else charges for a request that went there with a key of the user's own."""

    upstream_inference_cost: Decimal | None = None


class OpenRouterUsage(msgspec.Struct):
    """OpenRouter's: numbers of dollars, read as they are written."""

    cost: Decimal | None = None
    is_byok: bool | None = None
    cost_details: OwnKey | None = None


class XaiUsage(msgspec.Struct):
    """xAI's."""

    cost_in_usd_ticks: int | None = None


_OPENROUTER: Final = msgspec.json.Decoder(Reply[OpenRouterUsage])
_XAI: Final = msgspec.json.Decoder(Reply[XaiUsage])


def reported_cost(data: bytes, by: CostReport) -> Money | None:
    """Return what a reply says that it cost, rounded up to a nano-dollar; None where it does not.

    Args:
        data: A plain reply, or the data of an event.
        by: Whose way it tells it in.

    Source: OpenRouter's documentation of usage accounting (``usage.cost`` is charged to the account,
    ``upstream_inference_cost`` by whose key was brought); xAI's of cost tracking.
    """
    try:
        dollars = READERS[by](data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if dollars is None or not dollars.is_finite() or not 0 <= dollars <= LARGEST_DOLLARS:
        return None
    return Money.dollars(dollars)


def _openrouter(data: bytes) -> Decimal | None:
    usage = _OPENROUTER.decode(data).usage
    if usage is None or usage.cost is None:
        return None
    if not usage.is_byok:
        return usage.cost
    details = usage.cost_details
    own = None if details is None else details.upstream_inference_cost
    return None if own is None else usage.cost + own


def _xai(data: bytes) -> Decimal | None:
    usage = _XAI.decode(data).usage
    ticks = None if usage is None else usage.cost_in_usd_ticks
    return None if ticks is None else Decimal(ticks) / TICKS_IN_A_DOLLAR


READERS: Final[Mapping[CostReport, Callable[[bytes], Decimal | None]]] = {
    "openrouter": _openrouter,
    "x-ai": _xai,
}
