"""Reconcile: the ledger held against a provider's export by day and model, and why they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from callgate.call import Candidate
from callgate.config.policies import BASE_URLS, Settings
from callgate.errors import Misconfigured
from callgate.observe.difference import Case, Reason, Tolerance
from callgate.observe.exports import Export
from callgate.observe.exports.values import DAY_SECONDS, family, moved, starts_at
from callgate.observe.reasons import midnight_reason, move_over_midnight, reasons
from callgate.observe.sides import (
    NOTHING,
    TOKENS,
    Amounts,
    ExportSide,
    Key,
    LedgerSide,
    export_sides,
    ledger_sides,
)
from callgate.observe.suspicions import suspicions
from callgate.pricing import Price
from callgate.pricing.table import PriceTable
from callgate.store import Store

SETTLES_SECONDS: Final = 24 * 3600.0
"""How long after a day a provider may still add to it.

Source: OpenAI's help on the usage dashboard ("the data may be delayed").
"""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One day and model on both sides."""

    day: str
    model: str | None
    """As the export names it; None for all models together, and for what is no model."""
    ledger: Amounts
    ledger_names: tuple[str, ...]
    export: Amounts
    fees: tuple[str, ...]
    """What is charged besides tokens."""
    difference: Amounts
    """The export less the ledger."""
    left: Amounts
    """The part of it that no reason accounts for."""
    reasons: tuple[Reason, ...]
    is_open: bool
    """Whether somebody must look."""


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """All of a comparison."""

    export: Export
    providers: tuple[str, ...]
    tolerance: Tolerance
    told: tuple[str, ...]
    """The fields that the export tells; the others are not compared."""
    rows: tuple[Compared, ...]

    @property
    def is_open(self) -> bool:
        """Whether anything differs that no reason accounts for."""
        return any(row.is_open for row in self.rows)


def reconcile(
    export: Export,
    store: Store,
    settings: Settings,
    *,
    providers: Sequence[str],
    tolerance: Tolerance,
) -> Reconciliation:
    """Return what the ledger and an export say of the same days.

    Args:
        export: What the provider says.
        store: The ledger.
        settings: Where prices come from.
        providers: Whose attempts the export is about; those of :func:`providers_of`.
        tolerance: Which differences are none.

    Raises:
        Misconfigured: The price list of the user's own cannot be used.
    """
    by_model = all(line.model or line.fee for line in export.lines)
    theirs = export_sides(export, by_model=by_model)
    ours = ledger_sides(store, export, providers=providers, by_model=by_model)
    told = _told(export)
    prices = PriceTable.of(settings)
    now = store.clock.now()
    cases: dict[Key, Case] = {}
    for key in sorted({*theirs, *_of_days(ours, export.days)}, key=_by_day_and_model):
        mine, other = ours.get(key, LedgerSide()), theirs.get(key, ExportSide())
        candidate = _candidate(key[1], mine, providers)
        cases[key] = Case(
            day=key[0],
            model=key[1],
            relatives=_relatives(key, theirs),
            ledger=mine,
            export=other,
            told=told,
            price=_price(prices, settings, candidate, day=key[0]),
            priced_as=candidate.name,
            tolerance=tolerance,
            may_grow=_may_grow(key[0], export, now=now),
            left=(other.amounts - mine.amounts).of(told),
        )
    shifted = _over_midnights(cases, ours, export.days)
    return Reconciliation(
        export=export,
        providers=tuple(providers),
        tolerance=tolerance,
        told=told,
        rows=tuple(_compared(case, shifted.get(key, NOTHING)) for key, case in cases.items()),
    )


def providers_of(settings: Settings, export: Export, names: Sequence[str]) -> tuple[str, ...]:
    """Return the providers of the settings that an export is about.

    Args:
        settings: Whose providers.
        export: What was read.
        names: Those that somebody named; without any, those at the address of the export's API.

    Raises:
        Misconfigured: There is none, or one that was named is not there or speaks otherwise.
    """
    known = settings.providers
    for name in names:
        if name not in known:
            has = ", ".join(known) or "none"
            msg = f"there is no provider {name!r} in the settings (there are: {has})"
            raise Misconfigured(msg)
        if known[name].api != export.api:
            msg = f"the export is of the api {export.api}, and provider {name} speaks {known[name].api}"
            raise Misconfigured(msg)
    found = names or [
        name
        for name, policy in known.items()
        if policy.api == export.api and policy.base_url == BASE_URLS[export.api]
    ]
    if not found:
        has = ", ".join(known) or "none"
        msg = (
            f"no provider of the settings is at {BASE_URLS[export.api]}, where this export comes from;"
            f" name one with --provider (there are: {has})"
        )
        raise Misconfigured(msg)
    return tuple(dict.fromkeys(found))


def _told(export: Export) -> tuple[str, ...]:
    told = {
        "requests": any(line.requests is not None for line in export.lines),
        **dict.fromkeys(TOKENS, any(line.usage is not None for line in export.lines)),
        "cost_nano": any(line.cost_femto is not None for line in export.lines),
    }
    return tuple(name for name, is_told in told.items() if is_told) or tuple(told)


def _of_days(sides: Mapping[Key, LedgerSide], days: Sequence[str]) -> set[Key]:
    """Return the keys of some days under which there is anything."""
    inside = set(days)
    return {key for key, side in sides.items() if key[0] in inside and side.is_anything}


def _by_day_and_model(key: Key) -> tuple[str, bool, str]:
    return key[0], key[1] is None, key[1] or ""


def _relatives(key: Key, theirs: Mapping[Key, ExportSide]) -> tuple[str, ...]:
    day, model = key
    if model is None or key in theirs:
        return ()
    names = (name for each, name in theirs if each == day and name is not None)
    return tuple(sorted(name for name in names if family(name) == family(model)))


def _candidate(model: str | None, side: LedgerSide, providers: Sequence[str]) -> Candidate:
    """Return under which name the settings may price a model: as it was asked for."""
    provider, asked = min(side.asked, default=(providers[0], model or "MODEL"))
    return Candidate(provider=provider, model=asked)


def _price(
    prices: PriceTable, settings: Settings, candidate: Candidate, *, day: str
) -> Price | None:
    source = settings.providers[candidate.provider].price_source
    return prices.find(source, candidate, at=starts_at(day))


def _may_grow(day: str, export: Export, *, now: float) -> str | None:
    """Return why an export may not have all of a day."""
    ends_at = starts_at(day) + DAY_SECONDS
    if now < ends_at:
        return "the day is not over in UTC"
    if now < ends_at + SETTLES_SECONDS:
        hours = (now - ends_at) / 3600
        return f"the day ended {hours:.0f} hours ago, and providers add to a day for a while"
    return None if export.is_whole else "there are pages after its last one"


def _over_midnights(
    cases: Mapping[Key, Case], ours: Mapping[Key, LedgerSide], days: Sequence[str]
) -> dict[Key, Amounts]:
    """Move what was counted on the other day; return what was moved, by key."""
    before = {key: case.left for key, case in cases.items()}
    for day, model in before:
        for earlier, later in _pairs(day, days):
            beside = later if earlier == day else earlier
            if beside in days and (beside, model) not in cases:
                continue
            move_over_midnight(
                cases.get((earlier, model)),
                cases.get((later, model)),
                leaves=ours.get((earlier, model), LedgerSide()).last,
                comes_back=ours.get((later, model), LedgerSide()).first,
            )
    return {key: before[key] - case.left for key, case in cases.items()}


def _pairs(day: str, days: Sequence[str]) -> list[tuple[str, str]]:
    """Return a day with the next one, and the first with the one before it."""
    pairs = [(day, moved(day, 1))]
    return [(moved(day, -1), day), *pairs] if day == days[0] else pairs


def _compared(case: Case, shifted: Amounts) -> Compared:
    difference = case.left + shifted
    found = [] if shifted == NOTHING else [midnight_reason(case, shifted)]
    found += reasons(case)
    is_open = case.is_open
    if is_open:
        found += suspicions(case)
    return Compared(
        day=case.day,
        model=case.model,
        ledger=case.ledger.amounts,
        ledger_names=tuple(sorted(case.ledger.names)),
        export=case.export.amounts,
        fees=tuple(sorted(case.export.fees)),
        difference=difference,
        left=case.left,
        reasons=tuple(found),
        is_open=is_open,
    )
