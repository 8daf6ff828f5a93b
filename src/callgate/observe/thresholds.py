"""Thresholds: where somebody is told, well before a cap is hit, and when that is over.

A share of a cap comes late where money runs away: at 80 % of a day's cap a runaway leaves minutes.
So the time until the cap is hit is a threshold too, at the rate of two windows: the long one shows
that it matters, the short one that it still goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Final, Literal

import msgspec

from callgate.money import Money
from callgate.observe.forecast import Rate

LONG_SECONDS: Final = 15 * 60.0
SHORT_SECONDS: Final = 3 * 60.0
SOON_SECONDS: Final = 60 * 60.0
"""A cap that is hit in less is told."""

LEAST_SHARE: Final = 0.02
"""What the long window must have spent of the cap: less is too little to judge by.

Source: these four by simulation, 33 minutes of lead for $5 a minute too much under $250 a day, and no
false alarm in 60 normal days (tests/unit/observe/test_thresholds.py).
"""

BURNS: Final = (
    (14.4, 3600.0, 300.0),
    (6.0, 6 * 3600.0, 1800.0),
    (1.0, 3 * 86_400.0, 6 * 3600.0),
)
"""For the cap of a month: how many times as fast as it lasts it is spent, in a long and a short window.

Source: "Alerting on SLOs" of Google's SRE workbook: 2 %, 5 % and 10 % of a month's budget in an hour,
six hours and three days, each with a twelfth of it to see that it still goes on.
"""

SHARE_BACK: Final = 0.02
"""How far below a share somebody must have come for it to be over: an estimate that is corrected
must not make it come and go."""

EASE: Final = 0.75
"""A rate is over below so much of what it took, by the long window alone: spending comes in bursts, and
the short one would come and go with them."""


class Crossing(msgspec.Struct, frozen=True, kw_only=True):
    """A threshold that is crossed."""

    kind: Literal["share", "run_out", "burn"]
    share: float
    """The share of the cap that is the threshold; for the others the one that is spent."""
    runs_out_at: float | None = None
    """When the cap will be hit, seconds since 1970; None for a share."""
    factor: float | None = None
    """For ``burn``: how many times too fast it is spent, at least."""


def shares_crossed(
    cap: Money, spent: Money, shares: Sequence[float], *, lasting: bool = False
) -> list[Crossing]:
    """Return the shares of a cap that are spent, the lowest first.

    Args:
        cap: What may be spent.
        spent: What is.
        shares: The shares that are told, 0 to 1.
        lasting: Which are not over, if they were crossed before.
    """
    back = SHARE_BACK if lasting else 0.0
    return [
        Crossing(kind="share", share=share)
        for share in sorted(shares)
        if spent.nano >= (share - back) * cap.nano and cap.nano
    ]


def crossings(
    cap: Money,
    spent: Money,
    *,
    last_long: Money,
    last_short: Money,
    now: float,
    resets_at: float,
    shares: Sequence[float],
) -> tuple[Crossing, ...]:
    """Return the thresholds of a cap that are crossed.

    Args:
        cap: What its window may spend.
        spent: What it has spent.
        last_long: What was spent in the last 15 minutes.
        last_short: What was spent in the last 3 minutes.
        now: Seconds since 1970.
        resets_at: When the window ends.
        shares: The shares of the cap that are told, 0 to 1.
    """
    crossed = shares_crossed(cap, spent, shares)
    soon = running_out(
        cap, spent, last_long=last_long, last_short=last_short, now=now, resets_at=resets_at
    )
    return (*crossed, soon) if soon is not None else tuple(crossed)


def running_out(
    cap: Money,
    spent: Money,
    *,
    last_long: Money,
    last_short: Money,
    now: float,
    resets_at: float,
    lasting: bool = False,
) -> Crossing | None:
    """Return whether a cap is hit within the hour.

    Args:
        cap: What its window may spend.
        spent: What it has spent.
        last_long: What was spent in the last 15 minutes.
        last_short: What was spent in the last 3 minutes.
        now: Seconds since 1970.
        resets_at: When the window ends.
        lasting: Whether it is not over, if it was so before.
    """
    # What is spent already is told by its share.
    if spent >= cap:
        return None
    ease = EASE if lasting else 1.0
    rates = [Rate(spent=last_long, seconds=LONG_SECONDS)]
    if not lasting:
        rates.append(Rate(spent=last_short, seconds=SHORT_SECONDS))
    lasts = [rate.seconds_for(cap - spent) for rate in rates]
    runs_out_at = now + max(inf if each is None else each for each in lasts)
    matters = last_long.nano >= ease * LEAST_SHARE * cap.nano
    if matters and runs_out_at < min(resets_at, now + SOON_SECONDS / ease):
        return Crossing(kind="run_out", share=spent.nano / cap.nano, runs_out_at=runs_out_at)
    return None


def burning(
    cap: Money,
    spent: Money,
    *,
    spent_in: Callable[[float], Money],
    lasts_seconds: float,
    now: float,
    resets_at: float,
    lasting: bool = False,
) -> list[Crossing]:
    """Return how much too fast a month's cap is spent, so that it is gone before its month, the fastest first.

    Args:
        cap: What the month may spend.
        spent: What it has spent.
        spent_in: Returns what was spent in the last so many seconds.
        lasts_seconds: How long the month is.
        now: Seconds since 1970.
        resets_at: When the month ends.
        lasting: Which are not over, if it was so fast before.
    """
    if spent >= cap:
        return []
    ease = EASE if lasting else 1.0
    even = cap.nano / lasts_seconds
    found: list[Crossing] = []
    for factor, *pair in BURNS:
        long, *short = (Rate(spent=spent_in(seconds), seconds=seconds) for seconds in pair)
        rates = [long] if lasting else [long, *short]
        if any(rate.spent.nano / rate.seconds < ease * factor * even for rate in rates):
            continue
        lasts = long.seconds_for(cap - spent)
        if lasts is not None and now + ease * lasts < resets_at:
            share = spent.nano / cap.nano
            found.append(Crossing(kind="burn", share=share, runs_out_at=now + lasts, factor=factor))
    return found
