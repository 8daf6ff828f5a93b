"""Rate limits as the providers keep them: a bucket for each key and model that fills evenly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from callgate.clock import Clock
from callgate.testing.simulator.formats.format import Bucket, Rates
from callgate.testing.simulator.request import Asked, Problem
from callgate.testing.simulator.script import Kind, LimitTable

MINUTE_SECONDS: Final = 60.0
NEARLY: Final = 1e-9
"""What a sum of floats may lack of a whole request."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a limit says to one request."""

    rates: Rates
    problem: Problem | None
    """Why it must not be served."""
    settle: Callable[[int], None]
    """Takes the output tokens too, once they are known."""


class RateLimits:
    """Every limit of a script, with what each key has left of it for each model.

    Args:
        limits: The first that fits a request holds for it.
        clock: By which the buckets fill.
    """

    def __init__(self, limits: Sequence[LimitTable], clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._kept: dict[tuple[int, str | None, str], _Pair] = {}

    def take(self, asked: Asked) -> Grant | None:
        """Take a request and its input tokens, if both are there; None where no limit holds."""
        for n, limit in enumerate(self._limits):
            if _fits(limit, asked):
                place = (n, asked.key, asked.model)
                pair = self._kept.get(place)
                if pair is None:
                    pair = self._kept[place] = _Pair(limit, self._clock)
                return pair.take(asked.input_tokens)
        return None


class _Pair:
    """The two buckets of one key and model."""

    def __init__(self, limit: LimitTable, clock: Clock) -> None:
        self._clock = clock
        self._requests = _Level.of(limit.requests_per_minute, clock)
        self._tokens = _Level.of(limit.tokens_per_minute, clock)

    def take(self, input_tokens: int) -> Grant:
        requests = _seconds_until(self._requests, 1)
        tokens = _seconds_until(self._tokens, input_tokens)
        seconds, problem = max(requests, tokens), None
        if seconds > 0:
            kind: Kind | None = "tokens" if tokens > requests else None
            problem = Problem(429, kind=kind, retry_after_seconds=seconds)
        else:
            self._take_both(input_tokens)
        rates = Rates(
            now=self._clock.now(), requests=_shown(self._requests), tokens=_shown(self._tokens)
        )
        return Grant(rates=rates, problem=problem, settle=self._settle)

    def _take_both(self, input_tokens: int) -> None:
        if self._requests is not None:
            self._requests.take(1)
        if self._tokens is not None:
            self._tokens.take(input_tokens)

    def _settle(self, output_tokens: int) -> None:
        if self._tokens is not None:
            self._tokens.take(output_tokens)


class _Level:
    """One bucket; output that nobody foresaw may take it below nothing."""

    def __init__(self, limit: int, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._level = float(limit)
        self._at = clock.monotonic()

    @classmethod
    def of(cls, limit: int | None, clock: Clock) -> _Level | None:
        return None if limit is None else cls(limit, clock)

    def _filled(self) -> float:
        now = self._clock.monotonic()
        added = (now - self._at) * self._limit / MINUTE_SECONDS
        self._level, self._at = min(float(self._limit), self._level + added), now
        return self._level

    def take(self, amount: int) -> None:
        self._level = self._filled() - amount

    def seconds_until(self, amount: int) -> float:
        """Return how long until so much is there; what it can never hold waits until it is full."""
        lacks = min(amount, self._limit) - self._filled()
        return lacks * MINUTE_SECONDS / self._limit if lacks > NEARLY else 0.0

    def shown(self) -> Bucket:
        level = self._filled()
        return Bucket(
            limit=self._limit,
            remaining=max(0, int(level + NEARLY)),
            full_in_seconds=(self._limit - level) * MINUTE_SECONDS / self._limit,
        )


def _seconds_until(level: _Level | None, amount: int) -> float:
    return 0.0 if level is None else level.seconds_until(amount)


def _shown(level: _Level | None) -> Bucket | None:
    return None if level is None else level.shown()


def _fits(limit: LimitTable, asked: Asked) -> bool:
    return (
        limit.api in {None, asked.api}
        and (limit.key is None or fnmatchcase(asked.key or "", limit.key))
        and (limit.model is None or fnmatchcase(asked.model, limit.model))
    )
