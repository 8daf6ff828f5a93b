"""A price list as a file: what compiling makes, what ships, and what a gate reads at its start."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from callgate.errors import Misconfigured
from callgate.money import FEMTO_PER_DOLLAR

SHIPPED: Final = "prices.json"

FORMAT: Final = 2
"""What the file looks like; another number is another program's."""

MOST_FEMTO: Final = FEMTO_PER_DOLLAR
"""A dollar a token: what is over it is a mistake."""

MATCHES: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "equals": lambda name, text: name == text,
    "starts_with": lambda name, text: name.startswith(text),
    "ends_with": lambda name, text: name.endswith(text),
    "contains": lambda name, text: text in name,
    "regex": lambda name, text: re.search(text, name) is not None,
}
"""How a rule recognises a model's name, which is compared in lower case."""

ALWAYS_SEARCHES: Final = re.compile(r"-search\b|deep-research|\bsonar\b")
"""Models that search whatever they are asked, for a fee beside their tokens.

Source: OpenAI's documentation of web search; Perplexity's of pricing ("request fee").
"""

GROUPS: Final[Mapping[str, Callable[[Iterable[bool]], bool]]] = {"or": any, "and": all}
"""How several rules are one."""

Numbers = tuple[int, int, int, int, int, int]
"""Femto-dollars for a token, in the order of :class:`callgate.pricing.Rates`."""


class SnapshotPrice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one model costs as it is served in one way."""

    rates: Numbers
    tiers: tuple[tuple[int, Numbers], ...] = ()
    """Thresholds of input, rising, and what holds above each."""


class Period(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one model costs from a day on, until the next of its periods begins."""

    since: date | None = None
    """The first day, in UTC; None for the first period, which has no beginning."""
    rates: Numbers | None = None
    """None: it cannot be priced; its place keeps its names from a model further down."""
    tiers: tuple[tuple[int, Numbers], ...] = ()
    service_tiers: dict[str, SnapshotPrice] = {}
    text_only: bool = False
    short_writes_only: bool = False


class SnapshotModel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One model of the list."""

    id: str
    match: Any
    """The names that it goes by."""
    periods: tuple[Period, ...]
    """By rising days; the first has no beginning."""
    context_window: int | None = None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A price list, compiled."""

    format: int = FORMAT
    source: str
    """What it was compiled from, as versions of prices begin: ``genai-prices 0.2.3``."""
    made_on: date
    sources: dict[str, tuple[SnapshotModel, ...]]
    """Models by whose list they are on; of several that match a name, the first holds."""

    def find(self, source: str, name: str) -> SnapshotModel | None:
        """Return the entry that holds for a model's name; None where there is none."""
        name = name.lower()
        models = self.sources.get(source, ())
        return next((model for model in models if matches(name, model.match)), None)


NO_LIST: Final = Snapshot(source="nothing", made_on=date(1970, 1, 1), sources={})
"""A list without a price."""


@cache
def shipped() -> Snapshot:
    """Return the list that ships with callgate."""
    return msgspec.json.decode(files("callgate.pricing").joinpath(SHIPPED).read_bytes(), type=Snapshot)  # fmt: skip


def read_snapshot(path: Path) -> Snapshot:
    """Return the list of a file, looked through whole.

    Raises:
        Misconfigured: It is none. The list that ships is not taken instead: what it says may be
            less than what is paid.
    """
    try:
        snapshot = msgspec.json.decode(path.read_bytes(), type=Snapshot)
    except OSError as error:
        raise _broken(path, f"it cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise _broken(path, str(error)) from error
    if snapshot.format != FORMAT:
        raise _broken(
            path, f"it has the format {snapshot.format}, and this Callgate reads {FORMAT}"
        )
    for flaw in flaws_of(snapshot):
        raise _broken(path, flaw)
    return snapshot


def encode(snapshot: Snapshot) -> bytes:
    """Return the file of a list."""
    return msgspec.json.encode(snapshot) + b"\n"


def matches(name: str, rule: Any) -> bool:
    """Whether a rule recognises a name, which is in lower case."""
    kind, value = next(iter(rule.items()))
    group = GROUPS.get(kind)
    if group is not None:
        return group(matches(name, part) for part in value)
    return MATCHES[kind](name, value)


def always_searches(name: str) -> bool:
    """Whether a model of this name searches in every call, for a fee that no price of tokens tells."""
    return ALWAYS_SEARCHES.search(name.lower()) is not None


def flaws_of(snapshot: Snapshot) -> Iterator[str]:
    """Yield what is wrong with a list beyond the types of its fields."""
    for source, models in snapshot.sources.items():
        for model in models:
            for flaw in (*_flaws_of_rule(model.match), *_flaws_of_periods(model.periods)):
                yield f"{source}/{model.id}: {flaw}"


def _broken(path: Path, why: str) -> Misconfigured:
    return Misconfigured(
        f"the prices in {path} cannot be used: {why}; callgate prices update writes them again, and "
        "without the file the prices that ship with Callgate hold"
    )


def _flaws_of_rule(rule: object) -> Iterator[str]:
    if not isinstance(rule, dict) or len(cast("dict[str, object]", rule)) != 1:
        yield "its names are not told"
        return
    ((kind, value),) = cast("dict[str, object]", rule).items()
    if kind in GROUPS and isinstance(value, list):
        for part in cast("list[object]", value):
            yield from _flaws_of_rule(part)
    elif kind not in MATCHES or not isinstance(value, str):
        yield f"{kind!r} recognises no names"
    elif kind == "regex" and not _compiles(value):
        yield f"{value!r} is no regular expression"


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _flaws_of_periods(periods: Sequence[Period]) -> Iterator[str]:
    starts = [period.since for period in periods]
    later = [start for start in starts[1:] if start is not None]
    if not starts or starts[0] is not None or len(later) != len(starts) - 1:
        yield "it has no first price, or several"
    if any(one >= next for one, next in pairwise(later)):
        yield "its prices are not in the order of their days"
    for period in periods:
        served = [(each.rates, each.tiers) for each in period.service_tiers.values()]
        for rates, tiers in ((period.rates, period.tiers), *served):
            yield from _flaws_of_numbers(rates, tiers)


def _flaws_of_numbers(rates: Numbers | None, tiers: Sequence[tuple[int, Numbers]]) -> Iterator[str]:
    numbers = [*(rates or ()), *(rate for _, above in tiers for rate in above)]
    if any(not 0 <= number <= MOST_FEMTO for number in numbers):
        yield "a price is below $0, or over $1 a token"
    if any(low >= high for (low, _), (high, _) in pairwise(tiers)):
        yield "its thresholds do not rise"
