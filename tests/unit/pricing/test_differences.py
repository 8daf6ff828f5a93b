"""What differs between two price lists is told number by number, and what cannot be meant is marked."""

from __future__ import annotations

from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.pricing.differences import Change, Difference, compare
from callgate.pricing.snapshot import (
    Numbers,
    Period,
    Snapshot,
    SnapshotModel,
    SnapshotPrice,
    shipped,
)

ONE = (10, 20, 30, 40, 50, 60)
MORE = (11, 20, 30, 40, 50, 60)


def listing(**models: Any) -> Snapshot:
    """A list of models by their ids, each of one period or several."""
    entries: list[dict[str, Any]] = [
        {"id": name, "match": {"equals": name}, "periods": told if isinstance(told, list) else [told]}
        for name, told in models.items()
    ]  # fmt: skip
    page = {"source": "s", "made_on": "2026-11-25", "sources": {"openai": entries}}
    return msgspec.convert(page, type=Snapshot)


def differences(old: Snapshot, new: Snapshot) -> list[Difference]:
    return compare(old, new, sources=["openai"])


numbers = st.tuples(*[st.integers(0, 10**12)] * 6)


def _period(rates: Numbers, tier: Numbers | None) -> Period:
    served = {} if tier is None else {"flex": SnapshotPrice(rates=tier)}
    return Period(rates=rates, tiers=((100, rates),), service_tiers=served)


models = st.dictionaries(
    st.text(min_size=1, max_size=3), st.builds(_period, numbers, st.none() | numbers), max_size=5
)


def _snapshot(models: dict[str, Period]) -> Snapshot:
    entries = tuple(
        SnapshotModel(id=name, match={"equals": name}, periods=(period,))
        for name, period in models.items()
    )
    return Snapshot(source="s", made_on=date(2026, 11, 25), sources={"openai": entries})


@given(models)
def test_equal_lists_differ_in_nothing(models: dict[str, Period]) -> None:
    assert differences(_snapshot(models), _snapshot(dict(models))) == []


def test_the_list_that_ships_does_not_differ_from_itself() -> None:
    assert compare(shipped(), shipped(), sources=list(shipped().sources)) == []


@given(models, models)
def test_every_number_of_both_lists_is_told_or_is_the_same(
    old: dict[str, Period], new: dict[str, Period]
) -> None:
    found = {one.model: one for one in differences(_snapshot(old), _snapshot(new))}
    kinds = {name: one.kind for name, one in found.items()}
    assert {name for name in kinds if kinds[name] == "added"} == new.keys() - old.keys()
    assert {name for name in kinds if kinds[name] == "removed"} == old.keys() - new.keys()
    assert {name for name in old.keys() & new.keys() if old[name] != new[name]} == {
        name for name in kinds if kinds[name] == "changed"
    }


def test_a_number_is_told_with_its_place() -> None:
    old = [{"rates": ONE}, {"since": "2027-01-01", "rates": ONE, "tiers": [[100, ONE]]}]
    new = [{"rates": MORE}, {"since": "2027-01-01", "rates": ONE, "tiers": [[100, MORE]]}]
    (found,) = differences(listing(m=old), listing(m=new))
    first = Change(
        since=None, service_tier=None, above_input_tokens=0, bucket="input", old_femto=10, new_femto=11
    )  # fmt: skip
    later = msgspec.structs.replace(first, since=date(2027, 1, 1), above_input_tokens=100)
    assert found.changes == (first, later)
    assert (found.kind, found.other_names, found.suspicions) == ("changed", False, ())


def test_a_service_tier_that_comes_or_goes_is_told() -> None:
    served = {"rates": ONE, "service_tiers": {"flex": {"rates": ONE}}}
    (found,) = differences(listing(m={"rates": ONE}), listing(m=served))
    told = {(change.service_tier, change.old_femto) for change in found.changes}
    assert (told, len(found.changes)) == ({("flex", None)}, 6)


def test_other_names_are_told_where_the_numbers_are_the_same() -> None:
    old = listing(m={"rates": ONE})
    model = msgspec.structs.replace(old.sources["openai"][0], match={"starts_with": "m"})
    new = msgspec.structs.replace(old, sources={"openai": (model,)})
    (found,) = differences(old, new)
    assert (found.other_names, found.changes) == (True, ())


def test_lists_that_nobody_uses_do_not_matter() -> None:
    assert compare(listing(m={"rates": ONE}), listing(), sources=["gemini"]) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (10, 100, ()),
        (10, 101, ("input rises 10 times",)),
        (1_000, 99, ("input falls 10 times",)),
        (10, 0, ("input costs nothing any more",)),
        (0, 10, ("input costs something now",)),
    ],
)
def test_what_can_hardly_be_meant_is_marked(old: int, new: int, told: tuple[str, ...]) -> None:
    (found,) = differences(
        listing(m={"rates": (old, *ONE[1:])}), listing(m={"rates": (new, *ONE[1:])})
    )
    assert found.suspicions == told


def test_a_model_that_is_new_is_no_suspicion() -> None:
    (found,) = differences(listing(), listing(m={"rates": ONE}))
    assert (found.kind, found.suspicions) == ("added", ())
