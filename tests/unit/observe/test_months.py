"""Months that burn too fast are told days before their cap is hit, and normal ones never."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import accumulate
from statistics import median

import msgspec
import pytest

from callgate.money import NANO_PER_DOLLAR, Money
from callgate.observe.thresholds import Crossing, burning

CAP = 5_000.0
SLOT_SECONDS = 300.0
HOUR_SLOTS = 12
DAY_SLOTS = 24 * HOUR_SLOTS
DAYS = 30
SLOTS = DAYS * DAY_SLOTS
MONTH_SECONDS = SLOTS * SLOT_SECONDS


def dollars(amount: float) -> Money:
    return Money(int(amount * NANO_PER_DOLLAR))


def a_month(
    rng: random.Random, *, used: float, extra: float = 0.0, since: int = SLOTS
) -> list[float]:
    """Return what each five minutes of a month spend: more by day, less at weekends, in bursts.

    Args:
        rng: The chance of it.
        used: How much of the cap, about.
        extra: Dollars a minute that a runaway adds.
        since: The slot in which that begins.
    """
    weights = [
        (1.0 if day % 7 < 5 else 0.35)
        * (1 + 0.8 * math.sin((slot / DAY_SLOTS - 0.25) * 2 * math.pi))
        * rng.expovariate(1)
        for day in range(DAYS)
        for slot in range(DAY_SLOTS)
    ]
    scale = rng.gauss(used, 0.05) * CAP / sum(weights)
    return [
        weight * scale + (5 * extra if slot >= since else 0.0)
        for slot, weight in enumerate(weights)
    ]


class Told(msgspec.Struct):
    """What is told of a month."""

    hit: int = SLOTS
    """The slot in which the cap is hit."""
    burns: int | None = None
    """The one in which it is told first that it burns."""
    share: int | None = None
    """The one in which 80 % are spent."""
    times: int = 0
    """How many alerts that are."""


def told(slots: Sequence[float]) -> Told:
    """Return what a gate that looks every five minutes tells of a month."""
    total = [0.0, *accumulate(slots)]
    month, opened = Told(), set[float | None]()
    for n in range(1, len(total)):
        if total[n] >= CAP:
            month.hit = n
            break
        if total[n] >= 0.8 * CAP and month.share is None:
            month.share = n
        found = burnt(total, n)
        opened &= {each.factor for each in burnt(total, n, lasting=True)} if opened else opened
        if found and found[0].factor not in opened:
            opened.add(found[0].factor)
            month.times += 1
            month.burns = month.burns or n
    return month


def burnt(total: Sequence[float], n: int, *, lasting: bool = False) -> list[Crossing]:
    def spent_in(seconds: float) -> Money:
        return dollars(total[n] - total[max(0, n - round(seconds / SLOT_SECONDS))])

    return burning(
        dollars(CAP),
        dollars(total[n]),
        spent_in=spent_in,
        lasts_seconds=MONTH_SECONDS,
        now=n * SLOT_SECONDS,
        resets_at=MONTH_SECONDS,
        lasting=lasting,
    )


@pytest.mark.slow
def test_no_normal_month_is_told() -> None:
    rng = random.Random(1)
    months = [told(a_month(rng, used=0.6)) for _ in range(24)]
    assert [month.burns for month in months] == [None] * 24


@pytest.mark.slow
@pytest.mark.parametrize(
    ("extra", "after", "by_share", "by_burn", "at_least"),
    [(0.5, 123, 30, 114, 80), (2, 33, 8, 32, 20), (5, 13, 3, 12, 9), (20, 3.3, 0.8, 3.2, 2)],
    ids=str,
)
def test_a_runaway_is_told_long_before_the_cap_of_the_month_is_hit(
    extra: float, after: float, by_share: float, by_burn: float, at_least: float
) -> None:
    rng = random.Random(2)
    hours: list[tuple[float, ...]] = []
    for _ in range(12):
        since = rng.randrange(0, 20 * DAY_SLOTS)
        month = told(a_month(rng, used=0.6, extra=extra, since=since))
        slots = (since, month.share or month.hit, month.burns or month.hit)
        hours.append(tuple((month.hit - slot) / HOUR_SLOTS for slot in slots))
        assert 1 <= month.times <= 3
    figures = [median(column) for column in zip(*hours, strict=True)]
    assert figures == pytest.approx([after, by_share, by_burn], rel=0.25)
    assert min(lead for *_, lead in hours) >= at_least


EVEN = CAP / DAYS / 24
"""What an hour spends where the month lasts."""


def crossed(
    *hours: float, spent: float = 1_000, days_left: float = 20, lasting: bool = False
) -> list[float | None]:
    """Return what burns where the windows, of 72, 6, 6, 1, 0.5 and 1/12 hours, spend so much an hour."""
    rates = dict(zip((72.0, 6.0, 1.0, 0.5, 1 / 12), hours, strict=True))
    found = burning(
        dollars(CAP),
        dollars(spent),
        spent_in=lambda seconds: dollars(rates[seconds / 3600] * seconds / 3600),
        lasts_seconds=MONTH_SECONDS,
        now=0.0,
        resets_at=days_left * 86_400,
        lasting=lasting,
    )
    return [each.factor for each in found]


def test_each_pair_of_windows_must_show_it_in_both() -> None:
    # Of 72, 6, 1, 1/2 and 1/12 hours.
    assert crossed(0, 0, 15 * EVEN, 0, 15 * EVEN) == [14.4]
    assert crossed(0, 0, 15 * EVEN, 0, 14 * EVEN) == []
    assert crossed(0, 6.1 * EVEN, 0, 6.1 * EVEN, 0) == [6.0]
    assert crossed(2 * EVEN, 2 * EVEN, 0, 0, 0) == [1.0]
    assert crossed(*[15 * EVEN] * 5) == [14.4, 6.0, 1.0]


def test_it_lasts_while_the_long_window_shows_three_quarters_of_it() -> None:
    assert crossed(0, 0, 10.9 * EVEN, 0, 0, lasting=True) == [14.4]
    assert crossed(0, 0, 10.7 * EVEN, 0, 0, lasting=True) == []


def test_a_month_that_ends_before_its_money_does_is_no_reason_to_warn() -> None:
    # $4,000 are left, and $104 an hour spend them in 38 hours.
    fast = [15 * EVEN] * 5
    assert crossed(*fast, days_left=1.7) == [14.4, 6.0, 1.0]
    assert crossed(*fast, days_left=1.5) == []
    assert crossed(*fast, days_left=1.5, lasting=True) == [14.4, 6.0, 1.0]


def test_a_cap_of_nothing_and_one_that_is_spent_burn_nothing() -> None:
    assert crossed(*[15 * EVEN] * 5, spent=CAP) == []
    nothing = burning(
        Money(), Money(), spent_in=lambda _: Money(1), lasts_seconds=1.0, now=0.0, resets_at=1.0
    )
    assert nothing == []
