from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import accumulate
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.money import NANO_PER_DOLLAR, Money
from callgate.observe.thresholds import (
    Crossing,
    crossings,
    running_out,
    shares_crossed,
)

CAP = Money(250 * NANO_PER_DOLLAR)
DAY_MINUTES = 1440
SHARES = (0.8, 0.95)
AMOUNTS = st.integers(0, 10**12).map(Money)


def dollars(amount: float) -> Money:
    return Money(int(amount * NANO_PER_DOLLAR))


def crossed(
    spent: float, *, last_long: float = 0, last_short: float = 0, resets_at: float = 1e9
) -> tuple[Crossing, ...]:
    """Return what is crossed of $250, at the instant 0."""
    return crossings(
        CAP,
        dollars(spent),
        last_long=dollars(last_long),
        last_short=dollars(last_short),
        now=0.0,
        resets_at=resets_at,
        shares=SHARES,
    )


def kinds(found: Sequence[Crossing]) -> list[str]:
    return [one.kind for one in found]


def test_every_share_that_is_reached_is_crossed() -> None:
    assert crossed(199.99) == ()
    assert crossed(200) == (Crossing(kind="share", share=0.8),)
    assert crossed(237.5) == tuple(Crossing(kind="share", share=share) for share in SHARES)


def test_money_that_runs_out_within_an_hour_is_told_with_when() -> None:
    # $15 in 3 minutes are the slower rate of the two: $150 last 30 minutes.
    (found,) = crossed(100, last_long=90, last_short=15)
    assert (found.kind, found.runs_out_at) == ("run_out", 1800.0)


@pytest.mark.parametrize(
    ("last_long", "last_short"),
    [(37.4, 15), (90, 7.4), (90, 0), (0, 15)],
    ids=["the long window is slow", "the short one is", "it has stopped", "it has just begun"],
)
def test_a_rate_that_only_one_window_shows_is_not_told(last_long: float, last_short: float) -> None:
    assert crossed(100, last_long=last_long, last_short=last_short) == ()


def test_a_rate_is_not_judged_by_less_than_a_fiftieth_of_the_cap() -> None:
    assert crossed(249, last_long=4.99, last_short=4.99, resets_at=1e9) == crossed(249)
    assert kinds(crossed(249, last_long=5, last_short=5)) == ["share", "share", "run_out"]


def test_a_window_that_ends_before_the_money_does_is_no_reason_to_warn() -> None:
    assert kinds(crossed(100, last_long=90, last_short=15, resets_at=1801.0)) == ["run_out"]
    assert crossed(100, last_long=90, last_short=15, resets_at=1800.0) == ()


def test_a_cap_of_nothing_has_no_thresholds() -> None:
    nothing = Money()
    assert not crossings(
        nothing, nothing, last_long=nothing, last_short=nothing, now=0, resets_at=1, shares=SHARES
    )


@given(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)
def test_more_spent_crosses_no_fewer_shares(
    cap: Money, spent: Money, more: Money, lately: Money
) -> None:
    few, many = (
        crossings(cap, total, last_long=lately, last_short=lately, now=0, resets_at=9e9, shares=SHARES)
        for total in (spent, spent + more)
    )  # fmt: skip
    assert kinds(few).count("share") <= kinds(many).count("share")


def a_day(rng: random.Random, *, extra: float = 0.0, since: int = DAY_MINUTES) -> list[float]:
    """Return what each minute of a day spends: about $150, more by day, in bursts.

    Args:
        rng: The chance of it.
        extra: Dollars a minute that a runaway adds.
        since: The minute in which that begins.
    """
    weights = [
        (1 + 0.6 * math.sin(2 * math.pi * (minute - 480) / DAY_MINUTES)) * rng.expovariate(1)
        for minute in range(DAY_MINUTES)
    ]
    scale = rng.gauss(150, 12) / sum(weights)
    return [weight * scale + (extra if n >= since else 0.0) for n, weight in enumerate(weights)]


def warned(
    minutes: Sequence[float], shares: Sequence[float] = SHARES
) -> tuple[dict[str, int], int]:
    """Return in which minute each threshold is crossed first, and when the cap is hit."""
    total = [0.0, *accumulate(minutes)]
    first: dict[str, int] = {}
    for n in range(1, len(total)):
        if total[n] >= 250:
            return first, n
        found = crossings(
            CAP,
            dollars(total[n]),
            last_long=dollars(total[n] - total[max(0, n - 15)]),
            last_short=dollars(total[n] - total[max(0, n - 3)]),
            now=n * 60.0,
            resets_at=DAY_MINUTES * 60.0,
            shares=shares,
        )
        for one in found:
            first.setdefault(one.kind if one.kind == "run_out" else f"{one.share:.0%}", n)
    return first, DAY_MINUTES


def test_no_normal_day_is_told_and_half_a_cap_would_be_told_on_most() -> None:
    rng = random.Random(1)
    days = [warned(a_day(rng), (0.5, *SHARES))[0] for _ in range(60)]
    assert [day for day in days if day.keys() - {"50%"}] == []
    assert sum("50%" in day for day in days) > 50


@pytest.mark.parametrize(
    ("extra", "after", "by_share", "by_time"),
    [(0.5, 325, 73, 60), (2, 101, 23, 58), (5, 42, 9.7, 33), (20, 10, 2, 7)],
    ids=str,
)
def test_a_runaway_is_told_long_before_the_cap_is_hit(
    extra: float, after: float, by_share: float, by_time: float
) -> None:
    rng = random.Random(1)
    hits: list[tuple[int, int, int]] = []
    for _ in range(40):
        since = rng.randrange(0, 900)
        first, hit = warned(a_day(rng, extra=extra, since=since))
        hits.append((hit - since, hit - first.get("80%", hit), hit - first.get("run_out", hit)))
    figures = [median(column) for column in zip(*hits, strict=True)]
    assert figures == pytest.approx([after, by_share, by_time], rel=0.2, abs=3)
    assert min(by_run_out for _, _, by_run_out in hits) >= min(20, by_time / 2)


@pytest.mark.parametrize("extra", [0.5, 2, 5, 20])
def test_a_runaway_is_told_once(extra: float) -> None:
    rng = random.Random(1)
    days = [a_day(rng, extra=extra, since=rng.randrange(0, 900)) for _ in range(40)]
    assert [begins(day) for day in days] == [1] * 40


def begins(minutes: Sequence[float]) -> int:
    """Return how often it begins that money runs out, until it has."""
    total = [0.0, *accumulate(minutes)]
    times, lasting = 0, False
    for n in range(1, len(total)):
        found = running_out(
            CAP,
            dollars(total[n]),
            last_long=dollars(total[n] - total[max(0, n - 15)]),
            last_short=dollars(total[n] - total[max(0, n - 3)]),
            now=n * 60.0,
            resets_at=DAY_MINUTES * 60.0,
            lasting=lasting,
        )
        times += found is not None and not lasting
        lasting = found is not None
        if total[n] >= 250:
            break
    return times


def test_a_share_lasts_until_somebody_is_well_below_it() -> None:
    spent = [dollars(amount) for amount in (200, 199, 195, 194.9)]
    lasting = [shares_crossed(CAP, each, (0.8,), lasting=True) for each in spent]
    assert [len(each) for each in lasting] == [1, 1, 1, 0]


def test_what_runs_out_lasts_while_the_long_window_shows_it() -> None:
    def still(last_long: float, last_short: float = 0) -> bool:
        found = running_out(
            CAP, dollars(100), last_long=dollars(last_long), last_short=dollars(last_short),
            now=0.0, resets_at=1e9, lasting=True,
        )  # fmt: skip
        return found is not None

    # $150 are left: what spends them in 80 minutes is no more near than it was far.
    assert [still(37.5), still(29), still(28), still(3, 15)] == [True, True, False, False]
