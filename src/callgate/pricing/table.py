"""The price of a model: from the settings first, else from the list that holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from hashlib import sha256
from math import inf
from typing import Final

import msgspec

from callgate.call import Candidate
from callgate.config.policies import PricePolicy, Settings
from callgate.pricing import Numbered, Price, Rates, Tier
from callgate.pricing.snapshot import (
    Numbers,
    Period,
    Snapshot,
    SnapshotModel,
    SnapshotPrice,
    always_searches,
    read_snapshot,
    shipped,
)

GUESSES: Final[Mapping[str, Mapping[str, str]]] = {
    "openai": {"input": "$10.00", "output": "$50.00"},
    "gemini": {"input": "$10.00", "output": "$50.00"},
    "anthropic": {
        "input": "$10.00", "cache_read": "$1.00", "cache_write": "$12.50",
        "cache_write_long": "$20.00", "output": "$50.00",
    },
}  # fmt: skip
"""What to write for a model whose price nobody tells, by api.

Source: 96 of 100 models of the snapshot cost at most this; Anthropic's documentation of prompt
caching: reads cost 0.1 of the input, writes 1.25 and 2 times as much.
"""

STANDARD_TIERS: Final = frozenset({"auto", "default", "standard", "scale", "on_demand"})
"""Names of service tiers that cost what the list says, or were paid for beforehand.

Source: openai-python 3.57 (``service_tier``); Groq's documentation for ``on_demand``.
"""

STANDARD_TIERS_BY_SOURCE: Final[Mapping[str, frozenset[str]]] = {
    "anthropic": STANDARD_TIERS | {"standard_only", "priority"},
}
"""Anthropic's priority tier is paid for beforehand. Source: anthropic-python 2.13 (``Usage``)."""

PLACES: Final[Mapping[str, Mapping[str, tuple[int, int]]]] = {"anthropic": {"us": (11, 10)}}
"""By source: where a request may be served, and as which fraction of the list that is charged.

A service tier says so by its end, ``fast us``; the standard one is called after the place. Source: Anthropic's documentation of pricing, "Data
residency" (1.1 times on all kinds of tokens).
"""

WRITES: Final[Mapping[str, tuple[tuple[int, int], tuple[int, int]]]] = {
    "anthropic": ((5, 4), (2, 1)),
}
"""By source: as which fractions of plain input it is written to a cache, for the shorter lifetime and
for the longer, where the settings do not say. Source: Anthropic's documentation of prompt caching.
"""

AS_INPUT: Final = ((1, 1), (1, 1))

LONGEST_NAME: Final = 256
"""Characters of a model's name; no list has a longer one."""

MOST_KNOWN: Final = 4096
"""How many prices are remembered: the names come from agents, who may make them up."""

FINGERPRINT_CHARACTERS: Final = 8


class Dated(msgspec.Struct, frozen=True):
    """A price, and from when on it holds."""

    since_at: float
    """Seconds since 1970: the midnight of a day in UTC; less than anything for the first."""
    price: Price | None
    """None: nobody tells one for this time."""


NOBODY_TELLS: Final = (Dated(-inf, None),)


class PriceTable:
    """Finds prices.

    Args:
        policies: The settings' own.
        snapshot: The list; None for the one that ships, which is read when the first model asks.
    """

    def __init__(
        self, policies: Mapping[str, PricePolicy], snapshot: Snapshot | None = None
    ) -> None:
        self._policies = policies
        self._snapshot = snapshot
        self._known: dict[tuple[str, Candidate], Sequence[Dated]] = {}

    @classmethod
    def of(cls, settings: Settings) -> PriceTable:
        """Return the prices that hold by some settings.

        Raises:
            Misconfigured: There is a list of the user's own, and it cannot be used.
        """
        return cls(settings.prices, own_list(settings))

    def __len__(self) -> int:
        """Return how many names are remembered."""
        return len(self._known)

    @property
    def snapshot(self) -> Snapshot:
        """The list."""
        return shipped() if self._snapshot is None else self._snapshot

    @property
    def is_older_than_shipped(self) -> bool:
        """Whether the list is one of the user's own, and the one that ships is newer."""
        return self._snapshot is not None and self._snapshot.made_on < shipped().made_on

    def find(self, source: str, candidate: Candidate, *, at: float) -> Price | None:
        """Return a candidate's price; None where nobody tells one.

        Args:
            source: Whose list holds for its provider, such as ``openai``.
            candidate: Who is to serve.
            at: When it is sent, seconds since 1970: prices change at midnight in UTC.
        """
        for dated in self.dated(source, candidate):
            if at >= dated.since_at:
                return dated.price
        return None

    def dated(self, source: str, candidate: Candidate) -> Sequence[Dated]:
        """Return all that a candidate costs at any time, the latest first."""
        known = self._known.get((source, candidate))
        if known is not None:
            return known
        if len(candidate.model) > LONGEST_NAME:
            return NOBODY_TELLS
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        found = self._look_up(source, candidate)
        self._known[source, candidate] = found
        return found

    def _look_up(self, source: str, candidate: Candidate) -> Sequence[Dated]:
        policy = self._policies.get(candidate.name)
        if policy is not None:
            return (Dated(-inf, _from_settings(candidate, policy, source=source)),)
        # By the name that is asked for: a list may take one that searches for one that does not.
        if always_searches(candidate.model):
            return NOBODY_TELLS
        model = self.snapshot.find(source, candidate.model)
        if model is None:
            return NOBODY_TELLS
        return prices_of(model, source, listed_in=self.snapshot.source)


def own_list(settings: Settings) -> Snapshot | None:
    """Return the list of a user's own, where there is one.

    Raises:
        Misconfigured: There is, and it cannot be used.
    """
    path = settings.price_file
    return read_snapshot(path) if path is not None and path.exists() else None


def prices_of(model: SnapshotModel, source: str, *, listed_in: str) -> Sequence[Dated]:
    """Return all that a model of a list costs at any time, the latest first.

    Args:
        model: The model.
        source: Whose list it is on.
        listed_in: What versions of its prices begin with.
    """
    name = f"{listed_in} {source}/{model.id}"
    return tuple(
        Dated(_midnight(period.since), _from_list(name, source, model, period))
        for period in reversed(model.periods)
    )


def unpriced_fix(candidate: Candidate, *, api: str) -> str:
    """Return the lines that give a model its price: they load as they stand.

    The numbers are to be replaced. Until then they err against the spender: nearly every model
    costs less.

    Args:
        candidate: Whose price is missing.
        api: What its provider speaks; some charge for what is written to a cache.
    """
    lines = [
        f"[prices.{_toml(candidate.name)}]",
        "# US dollars for a million tokens: put in what you pay (most models cost less than this)",
        *(f'{bucket} = "{dollars}"' for bucket, dollars in GUESSES[api].items()),
    ]
    return "\n".join(lines)


def _toml(text: str) -> str:
    """Return a text as TOML writes it: as JSON does, but for one character."""
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")


def _midnight(day: date | None) -> float:
    return -inf if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def _from_list(name: str, source: str, model: SnapshotModel, period: Period) -> Price | None:
    if period.rates is None:
        return None
    standard = SnapshotPrice(rates=period.rates, tiers=period.tiers)
    served = {"": standard, **period.service_tiers}
    for place, fraction in PLACES.get(source, {}).items():
        there = {f"{tier} {place}".lstrip(): _times(served[tier], fraction) for tier in served}
        served = {**served, **there}
    prices = {tier: _price(name, tier or None, period, served[tier]) for tier in served}
    return msgspec.structs.replace(
        prices.pop(""),
        standard_tiers=STANDARD_TIERS_BY_SOURCE.get(source, STANDARD_TIERS),
        service_tiers=prices,
        context_window=model.context_window,
    )


def _price(name: str, service_tier: str | None, period: Period, price: SnapshotPrice) -> Price:
    numbered = Numbered(
        rates=_rates(price.rates),
        tiers=tuple(Tier(above_input_tokens=above, rates=_rates(of)) for above, of in price.tiers),
    )
    words = (name, service_tier, _fingerprint(numbered))
    return Price(
        version=" ".join(filter(None, words)),
        rates=numbered.rates,
        tiers=numbered.tiers,
        service_tier=service_tier,
        text_only=period.text_only,
        short_writes_only=period.short_writes_only,
    )


def _rates(numbers: Numbers) -> Rates:
    return Rates(**dict(zip(Rates.__struct_fields__, numbers, strict=True)))


def _times(price: SnapshotPrice, fraction: tuple[int, int]) -> SnapshotPrice:
    """Return a price multiplied, rounded up."""
    times, parts = fraction

    def numbers(of: Numbers) -> Numbers:
        plain, read, written, long, output, reasoning = (-(-each * times // parts) for each in of)
        return plain, read, written, long, output, reasoning

    return SnapshotPrice(
        rates=numbers(price.rates),
        tiers=tuple((above, numbers(of)) for above, of in price.tiers),
    )


def _fingerprint(record: object) -> str:
    return sha256(msgspec.json.encode(record)).hexdigest()[:FINGERPRINT_CHARACTERS]


def _from_settings(candidate: Candidate, policy: PricePolicy, *, source: str) -> Price:
    """Return a contract price, which holds however a call is served.

    A bucket of input that it does not name costs as plain input, but for what a provider charges
    more for all its models; reasoning costs as output.
    """
    plain, output = policy.input_femto, policy.output_femto
    short, long = (-(-plain * times // parts) for times, parts in WRITES.get(source, AS_INPUT))
    written = _first(policy.cache_write_femto, short)
    rates = Rates(
        input_femto=plain,
        cache_read_femto=_first(policy.cache_read_femto, plain),
        cache_write_femto=written,
        cache_write_long_femto=_first(policy.cache_write_long_femto, max(written, long)),
        output_femto=output,
        reasoning_femto=_first(policy.reasoning_femto, output),
    )
    return Price(
        version=f"settings {candidate.name} {_fingerprint(Numbered(rates=rates))}",
        rates=rates,
        context_window=policy.context_window,
    )


def _first(rate: int | None, otherwise: int) -> int:
    return otherwise if rate is None else rate
