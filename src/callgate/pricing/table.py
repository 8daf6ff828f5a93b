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


class SnapshotModel(msgspec.Struct, frozen=True):
    """One model of the snapshot."""

    id: str
    match: Any
    rates: tuple[int, int, int, int, int, int]
    """Femto-dollars for a token, in the order of :class:`callgate.pricing.Rates`."""
    tiers: tuple[tuple[int, tuple[int, int, int, int, int, int]], ...] = ()
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

    def find(self, source: str, candidate: Candidate) -> Price | None:
        """Return a candidate's price; None where nobody tells one.

        Args:
            source: Whose list holds for its provider, such as ``openai``.
            candidate: Who is to serve.
        """
        key = (source, candidate)
        if key not in self._known:
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


def unpriced_fix(candidate: Candidate) -> str:
    """Return the lines that give a model its price, to be completed with its numbers."""
    return (
        f'[prices."{candidate.name}"]\n'
        'input = "$0.00"    # US dollars for a million tokens, from your contract\n'
        'output = "$0.00"'
    )


def _matches(name: str, rule: Any) -> bool:
    kind, value = next(iter(rule.items()))
    if kind == "or":
        return any(_matches(name, part) for part in value)
    if kind == "and":
        return all(_matches(name, part) for part in value)
    return MATCHES[kind](name, value)


def _from_snapshot(version: str, source: str, model: SnapshotModel) -> Price:
    return Price(
        version=f"{version} {source}/{model.id}",
        rates=_rates(model.rates),
        tiers=tuple(
            Tier(above_input_tokens=above, rates=_rates(rates)) for above, rates in model.tiers
        ),
        context_window=model.context_window,
    )


def _rates(femto: tuple[int, int, int, int, int, int]) -> Rates:
    return Rates(**dict(zip(Rates.__struct_fields__, femto, strict=True)))


def _from_settings(candidate: Candidate, policy: PricePolicy) -> Price:
    """Return a contract price; buckets that it does not name cost as the dearer plain one."""
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
