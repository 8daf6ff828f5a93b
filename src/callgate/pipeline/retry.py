"""Retry: the only place in this package that tries again."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator

import msgspec

from callgate.call import Reply
from callgate.clock import Clock
from callgate.errors import ClientLeft, Transient
from callgate.pipeline.stage import Held, Next, Passage, staged
from callgate.store import Store

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 8.0
LEAST_SHARE = 0.75
"""Wait n is min(8 s, 0.5 s x 2^n) x uniform(0.75, 1): random enough that callers do not come
back together, and never shorter than the wait before it.

Source: the backoff of the official OpenAI and Anthropic SDKs (0.5 s doubling to 8 s, up to a
quarter taken off), so that an agent sees the waits that it knows.
"""


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """Try a transient failure again, within the task's retries and deadline."""

    store: Store
    clock: Clock
    rng: random.Random

    @staged
    async def __call__(self, passage: Passage, next: Next, /) -> AsyncGenerator[Reply]:
        """Retry until the reply opens; a reply that breaks after that is not retried."""
        tries = 0
        while True:
            if passage.left:
                msg = "the client hung up before the provider answered"
                raise ClientLeft(msg)
            opening = next(passage)
            try:
                reply = await opening.__aenter__()
            except Transient as failure:
                wait = self._wait(passage, tries, failure)
                if wait is None:
                    raise
            else:
                async with Held(opening):
                    yield reply
                return
            tries += 1
            await self.clock.sleep(wait)

    def _wait(self, passage: Passage, tries: int, failure: Transient) -> float | None:
        """Return the seconds to wait before the next try, or None to give up."""
        policy, task = passage.policy, passage.task
        assert policy is not None
        assert task is not None
        if tries >= policy.retries or self.store.count_retries(task.id) >= policy.max_retries:
            return None
        wait = max(backoff_seconds(tries, self.rng), failure.retry_after_seconds or 0.0)
        deadline = task.deadline_at
        return None if deadline is not None and self.clock.now() + wait >= deadline else wait


def backoff_seconds(n: int, rng: random.Random) -> float:
    """Return the wait before retry ``n`` (from 0), in seconds."""
    longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0**n)
    return longest * rng.uniform(LEAST_SHARE, 1.0)
