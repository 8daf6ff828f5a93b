"""Retry: the only place in this package that tries again."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator

import msgspec

from callgate.call import Reply
from callgate.clock import Clock
from callgate.errors import BadCredential, BreakerOpen, ClientLeft, Failed, RateLimited, Transient
from callgate.pipeline.matrix import strategy_of
from callgate.pipeline.stage import Held, Next, Passage, staged
from callgate.store import Store
from callgate.task import Task

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 8.0
LEAST_SHARE = 0.75
"""Wait n is min(8 s, 0.5 s x 2^n) x uniform(0.75, 1): random enough that callers do not come
back together, and never shorter than the wait before it.

Source: the backoff of the official OpenAI and Anthropic SDKs (0.5 s doubling to 8 s, up to a
quarter taken off), so that an agent sees the waits that it knows.
"""

LONGEST_WITHOUT_DEADLINE_SECONDS = 120.0
"""Whoever asks for a longer wait is not waited for where no deadline ends it.

Source: the official OpenAI SDK gives up at as much.
"""


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """Try a transient failure again, within the task's retries and deadline."""

    store: Store
    clock: Clock
    rng: random.Random

    @staged
    async def __call__(self, passage: Passage, next: Next, /) -> AsyncGenerator[Reply]:
        """Retry until the reply opens; a reply that breaks after that is not retried."""
        self._watch_deadline(passage)
        tries = 0
        while True:
            if passage.left:
                msg = "the client hung up before the provider answered"
                raise ClientLeft(msg)
            opening = next(passage)
            try:
                reply = await opening.__aenter__()
            except Failed as failure:
                wait = self._wait(passage, tries, failure)
                if wait is None:
                    raise
            else:
                async with Held(opening):
                    yield reply
                return
            tries += 1
            await self.clock.sleep(wait)

    def _watch_deadline(self, passage: Passage) -> None:
        """Let the call end at the deadline of its task, whatever it does then."""
        assert passage.task is not None
        left = _left_seconds(passage.task, now=self.clock.now())
        if passage.expiry is None and left is not None:
            passage.expire(left)

    def _wait(self, passage: Passage, tries: int, failure: Failed) -> float | None:
        """Return the seconds to wait before the next try, or None to give up."""
        policy, task = passage.policy, passage.task
        assert policy is not None
        assert task is not None
        if tries >= policy.retries:
            return None
        if isinstance(failure, BadCredential) and failure.renewed:
            return 0.0
        if not strategy_of(failure).retries or _is_next_at_once(failure, passage):
            return None
        asked = (failure.retry_after_seconds if isinstance(failure, Transient) else None) or 0.0
        if asked > policy.max_retry_wait_seconds and passage.has_others():
            return None
        wait = max(backoff_seconds(tries, self.rng), asked)
        left = _left_seconds(task, now=self.clock.now())
        if wait >= (LONGEST_WITHOUT_DEADLINE_SECONDS if left is None else left):
            return None
        return None if self.store.count_retries(task.id) >= policy.max_retries else wait


def _is_next_at_once(failure: Failed, passage: Passage) -> bool:
    """Whether another way is better than any wait: nobody may be asked here, or not by this key."""
    if isinstance(failure, BreakerOpen):
        return passage.has_other_key or passage.has_others()
    return isinstance(failure, RateLimited) and passage.has_other_key


def _left_seconds(task: Task, *, now: float) -> float | None:
    """Return how long a task may go on; None where it has no deadline."""
    return None if task.deadline_at is None else task.deadline_at - now


def backoff_seconds(n: int, rng: random.Random) -> float:
    """Return the wait before retry ``n`` (from 0), in seconds."""
    longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0**n)
    return longest * rng.uniform(LEAST_SHARE, 1.0)
