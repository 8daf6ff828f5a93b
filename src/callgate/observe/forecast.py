"""Where spending leads: the same rate as lately, until the window ends or the money does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from callgate.money import Money
from callgate.store.calendar import Span, Window

HOUR_SECONDS: Final = 3600.0
DAY_SECONDS: Final = 86_400.0

LOOKED_BACK_SECONDS: Final[Mapping[Span, float]] = {
    "hour": HOUR_SECONDS, "day": DAY_SECONDS, "month": 7 * DAY_SECONDS,
}  # fmt: skip
"""How far back the rate of a window is measured: a month has weekends, a day has a night."""


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """Money in a length of time."""

    spent: Money
    seconds: float

    def over(self, seconds: float) -> Money:
        """Return what is spent in a length of time, rounded up."""
        return Money(-int(-self.spent.nano * seconds // self.seconds))

    def seconds_for(self, amount: Money) -> float | None:
        """Return how long an amount lasts; None where nothing is spent."""
        if self.spent.nano <= 0:
            return None
        return max(0, amount.nano) * self.seconds / self.spent.nano


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """How a window ends if it goes on like this."""

    spent: Money
    """What it will have spent at its end."""
    runs_out_at: float | None
    """When its cap is spent, seconds since 1970; None where the window ends before."""


def looked_back_seconds(span: Span, *, now: float, first_at: float | None) -> float:
    """Return how far back the rate of a window is measured.

    Args:
        span: The kind of window.
        now: Seconds since 1970.
        first_at: When the first attempt of all left. The time before tells nothing; but an hour at
            least is looked at, as a few minutes tell little.
    """
    age = 0.0 if first_at is None else now - first_at
    return min(LOOKED_BACK_SECONDS[span], max(HOUR_SECONDS, age))


def forecast(
    window: Window, rate: Rate, *, spent: Money, cap: Money | None, now: float
) -> Forecast:
    """Return how a window ends: what is spent, and the rate times what is left of the window.

    Args:
        window: It holds ``now``.
        rate: How fast money has been spent lately.
        spent: What the window has spent so far.
        cap: What it may spend; None for a window without one.
        now: Seconds since 1970.
    """
    lasts = None if cap is None else rate.seconds_for(cap - spent)
    runs_out_at = None if lasts is None else now + lasts
    return Forecast(
        spent=spent + rate.over(window.ends_at - now),
        runs_out_at=runs_out_at
        if runs_out_at is not None and runs_out_at < window.ends_at
        else None,
    )
