"""Admit: hold all that an attempt needs and write its intent, in one transaction; then settle."""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future
from collections.abc import AsyncGenerator
from contextlib import suppress
from math import inf
from typing import Any

import msgspec

from callgate.call import Attempt, Reply, new_id
from callgate.clock import Clock
from callgate.errors import OverBudget, OverLimit, StoreDown, Unpriced
from callgate.money import Money
from callgate.pipeline.late import LateOutcomes
from callgate.pipeline.settlement import settlement_of
from callgate.pipeline.stage import AnyPassage, Next, is_of_provider, staged
from callgate.pipeline.terms import Ending, Quote, Terms
from callgate.store import ActionEnd, Grant, Intent, Overrun, Settlement, Store
from callgate.store.calendar import Calendar

log = logging.getLogger("callgate")


class PriceChanged(Exception):
    """An attempt has waited until another price holds: it begins anew."""


class Admit(msgspec.Struct, frozen=True, kw_only=True):
    """Reserve the most an attempt can cost, and settle what it did cost."""

    terms: Terms[Any]
    """What calls of this kind cost; it takes the passages that this stage is given."""
    store: Store
    clock: Clock
    late: LateOutcomes
    calendar: Calendar
    """Where the windows of money and days come from."""

    @staged
    async def __call__(self, passage: AnyPassage, next: Next, /) -> AsyncGenerator[Reply]:
        """Let an attempt leave only with its intent and its hold on disk.

        The settlement is submitted before anything is awaited, so a cancellation can end the
        wait for it and never the settlement itself.
        """
        ending = Ending(quote=await self._admit(passage))
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
            known = self.terms.known(passage, ending)
            await self._settle(settlement_of(passage, ending, known, ended_at=self.clock.now()))

    async def _admit(self, passage: AnyPassage) -> Quote:
        while True:
            quote = await self.terms.quote(passage)
            with suppress(PriceChanged):
                return await self._admit_at(quote, passage)

    async def _admit_at(self, quote: Quote, passage: AnyPassage) -> Quote:
        """Admit an attempt at a price; return what it was admitted on.

        Raises:
            PriceChanged: It waited for its turn, and costs something else by now.
        """
        intent = _intent(passage, quote, calendar=self.calendar, now=self.clock.now())
        try:
            intent, grant = await self._in_turn(passage, intent, quote)
        except (OverBudget, Unpriced) as refused:
            quote = await self.terms.second(passage, quote, refused)
            again = msgspec.structs.replace(
                self._now(intent), bill=quote.bill, changes=quote.changes
            )
            try:
                intent, grant = await self._in_turn(passage, again, quote)
            except OverBudget as still:
                raise self.terms.told(passage, quote, still) from None
        passage.attempts += 1
        passage.attempt = Attempt(
            id=intent.attempt_id,
            n=intent.n,
            reserved=grant.reserved,
            output_tokens=self.terms.output_tokens(passage, grant),
            idempotency_key=grant.idempotency_key,
        )
        return quote

    async def _in_turn(
        self, passage: AnyPassage, intent: Intent, quote: Quote
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
            if not self.terms.stand(passage, quote):
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
            action=None if intent.action is None else ActionEnd(state="not_done"),
        )
        self.late.add(settlement, wait_seconds=0.0)

    async def _settle(self, settlement: Settlement) -> None:
        if settlement.action is not None and settlement.action.state == "unknown":
            told = (
                "nobody knows whether attempt %s has done its work (%s); callgate effects lists it"
            )
            log.warning(told, settlement.attempt_id, settlement.error)
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


def _others_serve(refused: OverLimit, passage: AnyPassage) -> bool:
    """Whether nobody has to wait for a provider's limit, as another one may serve."""
    return is_of_provider(refused, passage) and passage.has_others()


def _latest_turn(passage: AnyPassage, *, now: float) -> float:
    """Return when an attempt must have its turn at the latest, in seconds since 1970."""
    task, policy = passage.task, passage.policy
    assert task is not None
    assert policy is not None
    deadline = inf if task.deadline_at is None else task.deadline_at
    most = policy.max_wait_seconds
    return deadline if most is None else min(deadline, now + most)


def _intent(passage: AnyPassage, quote: Quote, *, calendar: Calendar, now: float) -> Intent:
    call, task, target, candidate = passage.call, passage.task, passage.target, passage.candidate
    assert task is not None
    assert target is not None
    assert candidate is not None
    return Intent(
        task=task,
        call_id=call.id,
        attempt_id=new_id("att"),
        n=passage.attempts + 1,
        door=call.door,
        kind=call.kind,
        target=target,
        stream=passage.stream,
        candidate=candidate,
        bill=quote.bill,
        price_version=quote.price_version,
        request_bytes=len(call.body),
        started_at=call.started_at,
        sent_at=now,
        windows=tuple(calendar.windows(now).values()),
        tokens=quote.tokens,
        fingerprint=call.fingerprint,
        client_retry=passage.client_retry,
        input=passage.input,
        action=passage.action,
    )
