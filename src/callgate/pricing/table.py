"""The price of a model: from the settings first, else from the snapshot that ships with callgate."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final

import msgspec

from callgate.call import Candidate
from callgate.config.policies import PricePolicy
from callgate.pricing import Price, Rates, Tier

SNAPSHOT: Final = "prices.json"

MATCHES: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "equals": lambda name, text: name == text,
    "starts_with": lambda name, text: name.startswith(text),
    "ends_with": lambda name, text: name.endswith(text),
    "contains": lambda name, text: text in name,
    "regex": lambda name, text: re.search(text, name) is not None,
}
"""How a rule of the snapshot recognises a model's name, which is compared in lower case."""

GUESSES: Final[Mapping[str, Mapping[str, str]]] = {
    "openai": {"input": "$10.00", "output": "$50.00"},
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
    "anthropic": STANDARD_TIERS | {"standard_only", "priority", "batch"},
}
"""Anthropic's priority tier is paid for beforehand. Source: anthropic-python 2.13 (``Usage``)."""

LONGEST_NAME: Final = 256
"""Characters of a model's name; no list has a longer one."""

MOST_KNOWN: Final = 4096
"""How many prices are remembered: the names come from agents, who may make them up."""

Numbers = tuple[int, int, int, int, int, int]
"""Femto-dollars for a token, in the order of :class:`callgate.pricing.Rates`."""


class SnapshotPrice(msgspec.Struct, frozen=True, kw_only=True):
    """What one model costs as it is served in one way."""

    rates: Numbers
    tiers: tuple[tuple[int, Numbers], ...] = ()


class SnapshotModel(msgspec.Struct, frozen=True, kw_only=True):
    """One model of the snapshot."""

    id: str
    match: Any
    rates: Numbers | None = None
    """None: it cannot be priced; its place keeps its names from a model further down."""
    tiers: tuple[tuple[int, Numbers], ...] = ()
    service_tiers: dict[str, SnapshotPrice] = {}
    text_only: bool = False
    context_window: int | None = None


class Snapshot(msgspec.Struct, frozen=True):
    """The prices that ship with callgate."""

    source: str
    sources: dict[str, tuple[SnapshotModel, ...]]


class PriceTable:
    """Finds prices; reads the snapshot when the first model asks for it."""

    def __init__(self, policies: Mapping[str, PricePolicy]) -> None:
        self._policies = policies
        self._known: dict[tuple[str, Candidate], Price | None] = {}
        self._snapshot: Snapshot | None = None

    def __len__(self) -> int:
        """Return how many names are remembered."""
        return len(self._known)

    def find(self, source: str, candidate: Candidate) -> Price | None:
        """Return a candidate's price; None where nobody tells one.

        Args:
            source: Whose list holds for its provider, such as ``openai``.
            candidate: Who is to serve.
        """
        key = (source, candidate)
        if key not in self._known:
            if len(candidate.model) > LONGEST_NAME:
                return None
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[key] = self._look_up(source, candidate)
        return self._known[key]

    def _look_up(self, source: str, candidate: Candidate) -> Price | None:
        policy = self._policies.get(candidate.name)
        if policy is not None:
            return _from_settings(candidate, policy)
        if self._snapshot is None:
            text = files("callgate.pricing").joinpath(SNAPSHOT).read_bytes()
            self._snapshot = msgspec.json.decode(text, type=Snapshot)
        name = candidate.model.lower()
        for model in self._snapshot.sources.get(source, ()):
            if _matches(name, model.match):
                return _from_snapshot(self._snapshot.source, source, model)
        return None


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


def _matches(name: str, rule: Any) -> bool:
    kind, value = next(iter(rule.items()))
    if kind == "or":
        return any(_matches(name, part) for part in value)
    if kind == "and":
        return all(_matches(name, part) for part in value)
    return MATCHES[kind](name, value)


def _from_snapshot(version: str, source: str, model: SnapshotModel) -> Price | None:
    if model.rates is None:
        return None
    version = f"{version} {source}/{model.id}"
    return Price(
        version=version,
        rates=_rates(model.rates),
        tiers=_tiers(model.tiers),
        standard_tiers=STANDARD_TIERS_BY_SOURCE.get(source, STANDARD_TIERS),
        service_tiers={
            name: Price(
                version=f"{version} {name}", rates=_rates(price.rates), tiers=_tiers(price.tiers)
            )
            for name, price in model.service_tiers.items()
        },
        text_only=model.text_only,
        context_window=model.context_window,
    )


def _rates(numbers: Numbers) -> Rates:
    return Rates(**dict(zip(Rates.__struct_fields__, numbers, strict=True)))


def _tiers(tiers: tuple[tuple[int, Numbers], ...]) -> tuple[Tier, ...]:
    return tuple(Tier(above_input_tokens=above, rates=_rates(rates)) for above, rates in tiers)


def _from_settings(candidate: Candidate, policy: PricePolicy) -> Price:
    """Return a contract price, which holds however a call is served.

    A bucket of input that it does not name costs as plain input, reasoning as output.
    """
    plain, output = policy.input_femto, policy.output_femto
    written = _first(policy.cache_write_femto, plain)
    fingerprint = sha256(msgspec.json.encode(policy)).hexdigest()[:8]
    return Price(
        version=f"settings {candidate.name} {fingerprint}",
        rates=Rates(
            input_femto=plain,
            cache_read_femto=_first(policy.cache_read_femto, plain),
            cache_write_femto=written,
            cache_write_long_femto=_first(policy.cache_write_long_femto, written),
            output_femto=output,
            reasoning_femto=_first(policy.reasoning_femto, output),
        ),
        context_window=policy.context_window,
    )


def _first(rate: int | None, otherwise: int) -> int:
    return otherwise if rate is None else rate
