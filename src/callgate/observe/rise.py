"""How fast a meter rises: the difference of two looks, however often its window begins anew."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

from callgate.money import Money
from callgate.observe.thresholds import BURNS, LONG_SECONDS

FINE_SECONDS: Final = LONG_SECONDS + 60.0
"""Looks of so long are all kept; older ones are thinned to one in a part of their age."""

PARTS: Final = 24
"""Of an hour one in 2.5 minutes, of three days one in three hours: what lies between two looks is taken
as even, so that no window is off by more than what a burst in a 24th of it can be."""

LONGEST_SECONDS: Final = 1.1 * max(long for _, long, _ in BURNS)
TIDY_SECONDS: Final = 300.0


class Rise:
    """What one scope has spent, since some instant that does not matter.

    Args:
        window: The key of the window of its meter.
        spent: What the meter says.
        before: When, in seconds since 1970, and how much less it was than now; the oldest first.
        now: Seconds since 1970.
    """

    def __init__(
        self, window: str, spent: Money, before: Iterable[tuple[float, Money]], *, now: float
    ) -> None:
        self._window = window
        self._spent = spent.nano
        self._at = [*(at for at, _ in before), now]
        self._total = [*(-less.nano for _, less in before), 0]
        self._tidied_at = now

    def __len__(self) -> int:
        """Return how many looks are kept."""
        return len(self._at)

    def look(self, window: str, spent: Money, *, now: float) -> None:
        """Note what the meter says now; in a new window all of it is new."""
        more = spent.nano - (self._spent if window == self._window else 0)
        total = self._total[-1] + more
        # A clock that was set back sees some looks again.
        known = bisect_right(self._at, now)
        del self._at[known:], self._total[known:]
        self._at.append(now)
        self._total.append(total)
        self._window, self._spent = window, spent.nano
        if not 0 <= now - self._tidied_at < TIDY_SECONDS:
            self._tidy(now)

    def spent_in(self, seconds: float) -> Money:
        """Return what was spent in the last so many seconds, as far as it is known."""
        return Money(max(0, round(self._total[-1] - self._total_at(self._at[-1] - seconds))))

    def _total_at(self, at: float) -> float:
        """Return the total of an instant; it rises evenly from one look to the next."""
        later = bisect_right(self._at, at)
        if later == 0:
            return self._total[0]
        since, until = self._at[later - 1], self._at[later]
        before, after = self._total[later - 1], self._total[later]
        return before + (after - before) * (at - since) / (until - since)

    def _tidy(self, now: float) -> None:
        kept: list[int] = []
        for n, at in enumerate(self._at):
            age = now - at
            if age <= FINE_SECONDS or (
                age <= LONGEST_SECONDS and (not kept or at - self._at[kept[-1]] >= age / PARTS)
            ):
                kept.append(n)
        self._at = [self._at[n] for n in kept]
        self._total = [self._total[n] for n in kept]
        self._tidied_at = now
