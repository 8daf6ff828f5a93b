"""Jobs that outlived their gate: taken over, followed to their end, and settled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import msgspec

from callgate.call import ToolResult
from callgate.clock import Clock
from callgate.errors import Failed, Misconfigured, StoreDown, TimedOut
from callgate.redact import redact
from callgate.store import ActionEnd, CallEnd, Job, Settlement, Store
from callgate.store.jobs import LONGEST_JOB_SECONDS
from callgate.tools import Follower

LOOK_SECONDS: Final = 5.0
"""How long until somebody looks whether there are jobs to take over."""

LONGEST_MESSAGE: Final = 500
"""Characters of a failure that a row keeps."""

log = logging.getLogger("callgate")


class Following:
    """Takes over the jobs of dead gates, and sees each to its end.

    Args:
        store: Where they are noted.
        clock: What waits and ends go by.
        followers: Returns the toolsets that can follow a job, by name.
    """

    def __init__(
        self, store: Store, clock: Clock, followers: Callable[[], Mapping[str, Follower]]
    ) -> None:
        self._store = store
        self._clock = clock
        self._followers = followers
        self._followed: set[asyncio.Task[None]] = set()

    async def go_on(self) -> None:
        """Look for jobs, and follow them, until this is cancelled; they then wait for the next."""
        try:
            while True:
                with suppress(StoreDown):
                    await self.look()
                await self._clock.sleep(LOOK_SECONDS)
        finally:
            for following in self._followed:
                following.cancel()
            await self.settled()

    async def look(self) -> None:
        """Take over what there is to take over, and begin to follow it."""
        followers = self._followers()
        if not followers:
            return
        for job in await self._store.adopt_jobs(followers.keys()):
            log.info(
                "the job of call %s goes on: its gate died, and this one follows it", job.call_id
            )
            following = asyncio.create_task(self._follow(job, followers[job.toolset]))
            self._followed.add(following)
            following.add_done_callback(self._followed.discard)

    async def settled(self) -> None:
        """Wait until every job that is followed is over."""
        while self._followed:
            await asyncio.wait(self._followed)

    async def _follow(self, job: Job, follower: Follower) -> None:
        """See a job to its end, and settle its attempt."""
        left = max(0.0, job.noted_at + LONGEST_JOB_SECONDS - self._clock.now())
        try:
            async with asyncio.timeout(left):
                outcome: ToolResult | Failed = await self._outcome(job, follower)
        except TimeoutError:
            msg = f"{job.tool} was still at work after {LONGEST_JOB_SECONDS:g} s"
            outcome = TimedOut(msg, billed=True)
        settlement = self._settlement(job, outcome)
        result = msgspec.json.encode(outcome) if isinstance(outcome, ToolResult) else None
        while True:
            with suppress(StoreDown):
                await self._store.end_job(settlement, result)
                return
            await self._clock.sleep(LOOK_SECONDS)

    async def _outcome(self, job: Job, follower: Follower) -> ToolResult | Failed:
        """Return how a job ends; without a key it cannot be asked for, and a key may come."""
        while True:
            try:
                return await follower.follow(job.id, job.tool)
            except Failed as failure:
                return failure
            except Misconfigured as missing:
                log.warning("the job of call %s cannot be followed: %s", job.call_id, missing)
                await self._clock.sleep(LOOK_SECONDS)

    def _settlement(self, job: Job, outcome: ToolResult | Failed) -> Settlement:
        ended_at = self._clock.now()
        error = None if isinstance(outcome, ToolResult) else outcome
        told = None if error is None else redact(f"{type(error).__name__}: {error}")
        message = None if told is None else told[:LONGEST_MESSAGE]
        cost = outcome.cost
        return Settlement(
            attempt_id=job.attempt_id,
            # What no answer tells may have happened: nobody knows.
            state="ok" if error is None else "unknown",
            cost=cost,
            estimated=cost is None and job.reserved is not None,
            usage=None,
            ended_at=ended_at,
            price_version=None if cost is None else f"reported by {job.toolset}",
            error=message,
            action=_action_end(outcome),
            call=CallEnd(
                call_id=job.call_id,
                state="ok" if error is None else "failed",
                status=200 if error is None else error.status,
                ended_at=ended_at,
                code=None if error is None else error.reason.code,
                message=message,
            ),
        )


def _action_end(outcome: ToolResult | Failed) -> ActionEnd:
    """Return what became of an action whose gate died over it."""
    if isinstance(outcome, Failed):
        # What was refunded may have been done all the same.
        return ActionEnd(state="unknown" if outcome.billed else "not_done")
    return ActionEnd(state="unknown") if outcome.is_error else ActionEnd.of(outcome)
