"""Thresholds: where somebody is told, well before a cap is hit.

A share of a cap comes late where money runs away: at 80 % of a day's cap a runaway leaves minutes.
So the time until the cap is hit is a threshold too, at the rate of two windows: the long one shows
that it matters, the short one that it still goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


class Crossing(msgspec.Struct, frozen=True, kw_only=True):
    """A threshold that is crossed."""

    kind: Literal["share", "run_out", "burn"]
    share: float
    """The share of the cap that is the threshold; for the others the one that is spent."""
    runs_out_at: float | None = None
    """When the cap will be hit, seconds since 1970; None for a share."""
    factor: float | None = None
    """For ``burn``: how many times too fast it is spent, at least."""


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
    if cap.nano == 0:
        return ()
    crossed = [
        Crossing(kind="share", share=share)
        for share in sorted(shares)
        if spent.nano >= share * cap.nano
    ]
    runs_out_at = _runs_out_at(cap - spent, last_long=last_long, last_short=last_short, now=now)
    # What is spent already is told by its share.
    matters = last_long.nano >= LEAST_SHARE * cap.nano and spent < cap
    if matters and runs_out_at is not None and runs_out_at < min(resets_at, now + SOON_SECONDS):
        share = spent.nano / cap.nano
        crossed.append(Crossing(kind="run_out", share=share, runs_out_at=runs_out_at))
    return tuple(crossed)


def burning(
    cap: Money,
    spent: Money,
    *,
    spent_in: Callable[[float], Money],
    lasts_seconds: float,
    now: float,
    resets_at: float,
) -> Crossing | None:
    """Return whether a month's cap is spent before its month is over, by the fastest pair of windows.

    Args:
        cap: What the month may spend.
        spent: What it has spent.
        spent_in: Returns what was spent in the last so many seconds.
        lasts_seconds: How long the month is.
        now: Seconds since 1970.
        resets_at: When the month ends.
    """
    if spent >= cap:
        return None
    for factor, long_seconds, short_seconds in BURNS:
        rates = [
            Rate(spent=spent_in(seconds), seconds=seconds)
            for seconds in (long_seconds, short_seconds)
        ]
        even = cap.nano / lasts_seconds
        if all(rate.spent.nano / rate.seconds >= factor * even for rate in rates):
            lasts = rates[0].seconds_for(cap - spent)
            runs_out_at = now + (lasts or 0.0)
            if runs_out_at < resets_at:
                share = spent.nano / cap.nano
                return Crossing(kind="burn", share=share, runs_out_at=runs_out_at, factor=factor)
    return None


def _runs_out_at(left: Money, *, last_long: Money, last_short: Money, now: float) -> float | None:
    """Return when the money is spent by the slower of both rates; None where one is zero."""
    lasts = [
        Rate(spent=last, seconds=seconds).seconds_for(left)
        for last, seconds in ((last_long, LONG_SECONDS), (last_short, SHORT_SECONDS))
    ]
    known = [one for one in lasts if one is not None]
    return now + max(known) if len(known) == len(lasts) else None
