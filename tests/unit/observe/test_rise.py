"""How fast a meter rises is told by the looks at it, of which few are kept."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.money import Money
from callgate.observe.rise import Rise
from callgate.observe.thresholds import BURNS, LONG_SECONDS, SHORT_SECONDS

DAY = 86_400.0
WINDOWS = sorted(
    {LONG_SECONDS, SHORT_SECONDS, *(seconds for _, *pair in BURNS for seconds in pair)}
)


def risen(*looks: tuple[float, int], window: str = "w") -> Rise:
    """Return what is known after looks, of when and how much."""
    (at, spent), *others = looks
    rise = Rise(window, Money(spent), (), now=at)
    for at, spent in others:
        rise.look(window, Money(spent), now=at)
    return rise


def test_what_was_spent_is_the_difference_of_two_looks() -> None:
    rise = risen((0, 100), (60, 130), (120, 250))
    assert rise.spent_in(60) == Money(120)
    assert rise.spent_in(120) == Money(150)


def test_between_two_looks_it_rises_evenly() -> None:
    assert risen((0, 0), (100, 1_000)).spent_in(25) == Money(250)


def test_before_the_first_look_nothing_is_known() -> None:
    assert risen((0, 700), (60, 730)).spent_in(900) == Money(30)
    assert risen((0, 700)).spent_in(900) == Money()


def test_what_was_before_the_first_look_may_be_told() -> None:
    rise = Rise("w", Money(700), [(100.0, Money(90)), (200.0, Money(40))], now=300.0)
    assert (rise.spent_in(200), rise.spent_in(100), rise.spent_in(150)) == (
        Money(90), Money(40), Money(65),
    )  # fmt: skip


def test_a_new_window_goes_on_where_the_old_one_ended() -> None:
    rise = risen((0, 100), (60, 130))
    rise.look("next", Money(20), now=120.0)
    assert rise.spent_in(120) == Money(50)


def test_a_correction_takes_nothing_below_zero() -> None:
    assert risen((0, 100), (60, 40)).spent_in(60) == Money()


def test_a_clock_that_is_set_back_sees_what_it_has_not_seen() -> None:
    rise = risen((0, 0), (600, 60), (1_200, 120), (700, 130))
    assert rise.spent_in(100) == Money(70)


@given(st.lists(st.tuples(st.integers(1, 600), st.integers(0, 10**6)), min_size=1))
def test_no_window_spends_more_than_a_longer_one(steps: list[tuple[int, int]]) -> None:
    at = spent = 0
    looks = [(0.0, 0)]
    for seconds, more in steps:
        at, spent = at + seconds, spent + more
        looks.append((float(at), spent))
    rise = risen(*looks)
    told = [rise.spent_in(seconds).nano for seconds in sorted(WINDOWS)]
    assert all(low <= high for low, high in pairwise(told))
    assert told[-1] == spent if at <= 3 * DAY else told[-1] <= spent


@pytest.mark.parametrize("seconds", WINDOWS)
def test_few_looks_are_kept_and_no_window_is_far_off(seconds: float) -> None:
    rise = Rise("w", Money(), (), now=0.0)
    at = 0.0
    while at < 4 * DAY:
        at += 10.0
        # A day spends unevenly: all of it in its first half.
        spent = at // DAY * DAY / 2 + min(at % DAY, DAY / 2)
        rise.look("w", Money(round(spent)), now=at)
    before = at - seconds
    exact = 2 * DAY - (before // DAY * DAY / 2 + min(before % DAY, DAY / 2))
    assert abs(rise.spent_in(seconds).nano - exact) <= seconds / 24
    assert len(rise) < 250
