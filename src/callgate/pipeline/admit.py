"""Admit: hold all that an attempt needs and write its intent, in one transaction; then settle."""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future
from collections.abc import AsyncGenerator
from contextlib import suppress
from math import inf

import msgspec

from callgate.call import Attempt, Reply, new_id
from callgate.clock import Clock
from callgate.config.policies import Settings
from callgate.errors import OverBudget, OverLimit, StoreDown, Unpriced
from callgate.money import Money
from callgate.pipeline.bounding import Bounding, may_hold
from callgate.pipeline.counting import Counting
from callgate.pipeline.late import LateOutcomes
from callgate.pipeline.settlement import Ending, settlement_of
from callgate.pipeline.stage import Next, Passage, is_of_provider, staged
from callgate.pricing import Price
from callgate.pricing.noted import NotedPrices
from callgate.pricing.table import PriceTable
from callgate.store import Bill, Grant, Intent, Overrun, Settlement, Store
from callgate.store.calendar import Calendar

log = logging.getLogger("callgate")


class PriceChanged(Exception):
    """An attempt has waited until another price holds: it begins anew."""


class Admit(msgspec.Struct, frozen=True, kw_only=True):
    """Reserve the most an attempt can cost, and settle what it did cost."""

    settings: Settings
    prices: PriceTable
    noted: NotedPrices
    bounding: Bounding
    counting: Counting
    store: Store
    clock: Clock
    late: LateOutcomes
    calendar: Calendar
    """Where the windows of money and days come from."""

    @staged
    async def __call__(self, passage: Passage, next: Next, /) -> AsyncGenerator[Reply]:
        """Let an attempt leave only with its intent and its hold on disk.

        The settlement is submitted before anything is awaited, so a cancellation can end the
        wait for it and never the settlement itself.
        """
        prices = await self._admit(passage)
        assert passage.draft is not None
        format = passage.draft.format
        ending = Ending(free=not format.costs_output, api=format.api, prices=prices)
        try:
            async with next(passage) as reply:
                ending.reply = reply
                yield reply
        except BaseException as error:
            ending.error = error
            raise
        finally:
            passage.ended = ending.reply is not None and not passage.goes_on
            if passage.ended:
                passage.stop_clock()
            settlement = settlement_of(passage, ending, ended_at=self.clock.now())
            await self._settle(settlement)

    async def _admit(self, passage: Passage) -> tuple[Price, ...]:
        while True:
            price = self._price(passage)
            if price is not None and price not in self.noted:
                await self.noted.note(price)
            with suppress(PriceChanged):
                return await self._admit_at(price, passage)

    def _price(self, passage: Passage) -> Price | None:
        """Return what the candidate costs by the list at this instant."""
        candidate = passage.candidate
        assert candidate is not None
        source = self.settings.providers[candidate.provider].price_source
        return self.prices.find(source, candidate, at=self.clock.now())

    async def _admit_at(self, price: Price | None, passage: Passage) -> tuple[Price, ...]:
        """Admit an attempt at a price.

        Raises:
            PriceChanged: It waited for its turn, and costs something else by now.
        """
        prices = may_hold(passage, price)
        bill = self.bounding.bill(passage, prices)
        known = bill if isinstance(bill, Bill) else None
        intent = _intent(
            passage, known, price, calendar=self.calendar, now=self.clock.now(),
            tokens=self.bounding.expected_tokens(passage),
        )  # fmt: skip
        passage.counted = ()
        try:
            intent, grant = await self._in_turn(passage, intent, price)
        except (OverBudget, Unpriced) as refused:
            second = await self.counting.second(passage, prices, bill, refused)
            again = msgspec.structs.replace(
                self._now(intent), bill=second.bill, changes=passage.counted
            )
            try:
                intent, grant = await self._in_turn(passage, again, price)
            except OverBudget as still:
                why = second.uncounted
                raise self.counting.told(passage, bill, still, uncounted=why) from None
        passage.attempts += 1
        passage.attempt = Attempt(
            id=intent.attempt_id,
            n=intent.n,
            reserved=grant.reserved,
            output_tokens=self._inserted(passage, grant),
        )
        return prices

    async def _in_turn(
        self, passage: Passage, intent: Intent, price: Price | None
    ) -> tuple[Intent, Grant]:
        """Have an attempt admitted; wait for its turn where its limits say so and time allows."""
        latest = _latest_turn(passage, now=intent.sent_at)
        while True:
            try:
                return intent, await self._granted(intent)
            except OverLimit as refused:
                now = self.clock.now()
                due = now + refused.retry_after_seconds
                if (
                    not refused.waits
                    or passage.left
                    or due > latest
                    or _others_serve(refused, passage)
                ):
                    raise
                await self.clock.sleep(due - now)
            if self._price(passage) is not price:
                raise PriceChanged
            intent = self._now(intent)

    def _now(self, intent: Intent) -> Intent:
        """Return an intent that has waited, as one of this instant."""
        now = self.clock.now()
        windows = tuple(self.calendar.windows(now).values())
        return msgspec.structs.replace(intent, sent_at=now, windows=windows)

    async def _granted(self, intent: Intent) -> Grant:
        """Wait for the admission; give back what it holds if the caller does not wait."""
        admitted = self.store.admit(intent)
        try:
            return await asyncio.shield(admitted)
        except asyncio.CancelledError:
            admitted.add_done_callback(lambda done: self._give_back(intent, done))
            raise

    def _give_back(self, intent: Intent, admitted: Future[Grant]) -> None:
        if admitted.cancelled() or admitted.exception() is not None:
            return
        settlement = Settlement(
            attempt_id=intent.attempt_id,
            state="left",
            cost=Money(),
            estimated=False,
            usage=None,
            ended_at=self.clock.now(),
            error="the client hung up before the attempt left",
        )
        self.late.add(settlement, wait_seconds=0.0)

    def _inserted(self, passage: Passage, grant: Grant) -> int | None:
        """Return the output limit that the gate sends where the request names none."""
        draft, policy = passage.draft, passage.policy
        assert draft is not None
        assert policy is not None
        if draft.request.output_limit is not None or not draft.format.costs_output:
            return None
        return policy.max_output_tokens if grant.output_tokens is None else grant.output_tokens

    async def _settle(self, settlement: Settlement) -> None:
        settled = self.store.settle(settlement)
        # On the future, not after the await: who is cancelled meanwhile loses no settlement.
        settled.add_done_callback(lambda done: self._settle_later(settlement, done))
        with suppress(StoreDown):
            await asyncio.shield(settled)

    def _settle_later(self, settlement: Settlement, settled: Future[Overrun | None]) -> None:
        """Try again where the store was down: the reply is paid and read, and its hold stays."""
        error = settled.exception()
        if isinstance(error, StoreDown):
            log.warning("attempt %s is not settled yet: %s", settlement.attempt_id, error)
            self.late.add(settlement)
        elif error is None and (overrun := settled.result()) is not None:
            log.warning("%s", overrun.told)


def _others_serve(refused: OverLimit, passage: Passage) -> bool:
    """Whether nobody has to wait for a provider's limit, as another one may serve."""
    return is_of_provider(refused, passage) and passage.has_others()


def _latest_turn(passage: Passage, *, now: float) -> float:
    """Return when an attempt must have its turn at the latest, in seconds since 1970."""
    task, policy = passage.task, passage.policy
    assert task is not None
    assert policy is not None
    deadline = inf if task.deadline_at is None else task.deadline_at
    most = policy.max_wait_seconds
    return deadline if most is None else min(deadline, now + most)


def _intent(
    passage: Passage,
    bill: Bill | None,
    price: Price | None,
    *,
    calendar: Calendar,
    now: float,
    tokens: int,
) -> Intent:
    call, task, request, candidate = passage.call, passage.task, passage.request, passage.candidate
    assert task is not None
    assert request is not None
    assert candidate is not None
    return Intent(
        task=task,
        call_id=call.id,
        attempt_id=new_id("att"),
        n=passage.attempts + 1,
        door=call.door,
        kind=call.kind,
        target=request.model,
        stream=request.stream,
        candidate=candidate,
        bill=bill,
        price_version=None if price is None else price.version,
        request_bytes=len(call.body),
        started_at=call.started_at,
        sent_at=now,
        windows=tuple(calendar.windows(now).values()),
        tokens=tokens,
        fingerprint=call.fingerprint,
        client_retry=passage.client_retry,
    )
