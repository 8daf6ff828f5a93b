"""What differs between two price lists, model by model, and what of it cannot be meant."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Final, Literal

import msgspec

from callgate.pricing import Rates
from callgate.pricing.snapshot import Numbers, Snapshot, SnapshotModel

MOST_TIMES: Final = 10
"""By how much a price may rise or fall before somebody must look at it."""

BUCKETS: Final = tuple(field.removesuffix("_femto") for field in Rates.__struct_fields__)

Place = tuple[date | None, str | None, int, str]
"""Since when, at which service tier, above how much input, and which bucket."""

Kind = Literal["added", "removed", "changed"]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A number that is another one."""

    since: date | None
    """The first day on which it holds; None: it always did."""
    service_tier: str | None
    above_input_tokens: int
    """0 where it holds for any request."""
    bucket: str
    old_femto: int | None
    """None: there was none."""
    new_femto: int | None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A model whose price is another one."""

    source: str
    model: str
    """Its id in the list."""
    kind: Kind
    changes: tuple[Change, ...]
    other_names: bool
    """Whether it goes by other names."""
    suspicions: tuple[str, ...]
    """What cannot be meant, in words."""


def compare(old: Snapshot, new: Snapshot, *, sources: Collection[str]) -> list[Difference]:
    """Return what differs between two lists, in the order of their models.

    Args:
        old: The list that holds.
        new: Another one.
        sources: Whose lists matter.
    """
    return [
        difference
        for source in sorted(sources)
        for difference in _of_source(
            source, _by_id(old.sources.get(source, ())), _by_id(new.sources.get(source, ()))
        )
    ]


def _by_id(models: Sequence[SnapshotModel]) -> Mapping[str, SnapshotModel]:
    return {model.id: model for model in models}


def _of_source(
    source: str, old: Mapping[str, SnapshotModel], new: Mapping[str, SnapshotModel]
) -> Iterator[Difference]:
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        changes = tuple(_changes(_numbers(before), _numbers(after)))
        renamed = before is not None and after is not None and before.match != after.match
        if changes or renamed or before is None or after is None:
            yield Difference(
                source=source,
                model=name,
                kind="added" if before is None else "removed" if after is None else "changed",
                changes=changes,
                other_names=renamed,
                suspicions=tuple(_suspicions(changes)) if before and after else (),
            )


def _numbers(model: SnapshotModel | None) -> dict[Place, int]:
    """Return every number of a model by its place."""
    found: dict[Place, int] = {}
    for period in () if model is None else model.periods:
        served = {None: (period.rates, period.tiers)} | {
            name: (price.rates, price.tiers) for name, price in period.service_tiers.items()
        }
        for tier, (rates, tiers) in served.items():
            every: list[tuple[int, Numbers]] = [] if rates is None else [(0, rates)]
            for above, numbers in (*every, *tiers):
                for bucket, femto in zip(BUCKETS, numbers, strict=True):
                    found[period.since, tier, above, bucket] = femto
    return found


def _changes(old: Mapping[Place, int], new: Mapping[Place, int]) -> Iterator[Change]:
    places = {**old, **new}
    for since, tier, above, bucket in places:
        place = (since, tier, above, bucket)
        if old.get(place) != new.get(place):
            yield Change(
                since=since,
                service_tier=tier,
                above_input_tokens=above,
                bucket=bucket,
                old_femto=old.get(place),
                new_femto=new.get(place),
            )


def _suspicions(changes: Sequence[Change]) -> Iterator[str]:
    for change in changes:
        old, new = change.old_femto, change.new_femto
        if old is None or new is None:
            continue
        if (old == 0) != (new == 0):
            yield f"{change.bucket} {'costs something now' if new else 'costs nothing any more'}"
        elif max(old, new) > MOST_TIMES * min(old, new):
            times = max(old, new) / min(old, new)
            yield f"{change.bucket} {'rises' if new > old else 'falls'} {times:,.0f} times"
