"""Choosing: in which order candidates are asked, and why."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from callgate.call import Candidate, Usage
from callgate.clock import Clock
from callgate.config.policies import Preference, Settings, TaskPolicy
from callgate.money import Money
from callgate.pipeline.stage import ModelPassage
from callgate.pricing.table import PriceTable
from callgate.store import Performance, Store
from callgate.task import Task
from callgate.wire import Request

LOOK_BACK_SECONDS: Final = 900.0
"""How far back it matters how a candidate has done."""

READ_SECONDS: Final = 10.0
"""How old what is known of that may be."""

BYTES_FOR_A_TOKEN: Final = 4
"""What a token takes of a request, as a rule.

Source: docs/decisions/0005: 3.8 to 4.2 bytes for prose, code, Chinese and what agents send.
"""


Latest = Callable[[], Mapping[Candidate, Performance]]
"""Tells how candidates have done lately."""


class Performances:
    """How candidates have done lately, read from the store every few seconds while it is asked for."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: Mapping[Candidate, Performance] = {}
        self._read_at: float | None = None
        self._reading: Future[Mapping[Candidate, Performance]] | None = None

    def latest(self) -> Mapping[Candidate, Performance]:
        """Return what is known; nobody waits for what is newer."""
        now = self._clock.monotonic()
        is_due = self._read_at is None or now - self._read_at >= READ_SECONDS
        if is_due and self._reading is None:
            self._read_at = now
            self._reading = self._store.performance(self._clock.now() - LOOK_BACK_SECONDS)
            self._reading.add_done_callback(self._take)
        return self._known

    def _take(self, read: Future[Mapping[Candidate, Performance]]) -> None:
        self._reading = None
        # Where the store does not tell, the order goes by what is known, and admit says what is wrong.
        if not read.cancelled() and read.exception() is None:
            self._known = read.result()


class Weighed(msgspec.Struct, frozen=True, kw_only=True):
    """What speaks for a candidate, and what against it."""

    candidate: Candidate
    cost: Money | None = None
    """What the request would cost there at its full length, as expected; None where nobody tells."""
    performance: Performance | None = None
    """How it has done lately; None where nobody has asked it."""
    misfit: str | None = None
    """Why it is asked only if no other is left; None if nothing speaks against it."""


class Choosing(msgspec.Struct, frozen=True, kw_only=True):
    """Puts candidates in the order in which they are asked."""

    settings: Settings
    prices: PriceTable
    latest: Latest
    """How candidates have done lately."""
    clock: Clock

    def ordered(self, passage: ModelPassage) -> Sequence[Candidate]:
        """Return the candidates of a call, the first choice first."""
        request, policy = passage.request, passage.policy
        assert request is not None
        assert policy is not None
        if len(passage.candidates) == 1:
            return passage.candidates
        prefer = self.preference(request.model, policy)
        weighed = [self.weighed(each, passage) for each in passage.candidates]
        return [each.candidate for each in ranked(weighed, prefer)]

    def preference(self, model: str, policy: TaskPolicy) -> Preference:
        """Return by what the first choice is made for a model that is asked for in a task."""
        route = self.settings.models.get(model)
        return policy.prefer or ("order" if route is None else route.prefer)

    def weighed(self, candidate: Candidate, passage: ModelPassage) -> Weighed:
        """Return what speaks for a candidate, and what against it, for a call."""
        request, policy, task = passage.request, passage.policy, passage.task
        assert request is not None
        assert policy is not None
        source = self.settings.providers[candidate.provider].price_source
        price = self.prices.find(source, candidate, at=self.clock.now())
        input_tokens = (len(passage.call.body) - request.image_bytes) // BYTES_FOR_A_TOKEN
        output_tokens = request.choices * _output_tokens(request, policy)
        performance = self.latest().get(candidate)
        usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
        window = None if price is None else price.context_window
        return Weighed(
            candidate=candidate,
            cost=None if price is None else price.cost(usage),
            performance=performance,
            misfit=_too_long(input_tokens, window)
            or too_slow(performance, task, now=self.clock.now()),
        )


def ranked(weighed: Sequence[Weighed], prefer: Preference) -> list[Weighed]:
    """Return candidates in the order in which they are asked: who fits, by preference, as named.

    A candidate of which nothing is known comes before those that are known where speed or
    reliability counts, so that it gets known; and last where cost does.
    """
    return sorted(weighed, key=lambda each: (each.misfit is not None, _rank(each, prefer)))


def _rank(each: Weighed, prefer: Preference) -> float:
    known = each.performance
    if prefer == "cost":
        return float("inf") if each.cost is None else each.cost.nano
    if prefer == "reliability":
        return -1.0 if known is None else -known.success_rate
    if prefer == "latency":
        return (
            0.0
            if known is None or known.first_content_seconds is None
            else known.first_content_seconds
        )
    return 0.0


def _output_tokens(request: Request, policy: TaskPolicy) -> int:
    return policy.max_output_tokens if request.output_limit is None else request.output_limit


def _too_long(input_tokens: int, window: int | None) -> str | None:
    if window is None or input_tokens <= window:
        return None
    return f"about {input_tokens:,} tokens of input, and its context window is {window:,}"


def too_slow(performance: Performance | None, task: Task | None, *, now: float) -> str | None:
    """Return why a candidate will not answer before a task's deadline; None if it may."""
    wait = None if performance is None else performance.first_content_seconds
    if wait is None or task is None or task.deadline_at is None or now + wait <= task.deadline_at:
        return None
    left = max(0.0, task.deadline_at - now)
    return f"its first content takes {wait:.1f} s, and the task's deadline is in {left:.1f} s"
