"""Retry: the only place in this package that tries again."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator

import msgspec

from callgate.call import Call, Reply
from callgate.clock import Clock
from callgate.errors import (
    BadCredential,
    BreakerOpen,
    ClientLeft,
    Failed,
    Looping,
    RateLimited,
    Reason,
    Transient,
)
from callgate.pipeline.matrix import strategy_of
from callgate.pipeline.stage import AnyPassage, Held, Next, staged
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


LEAD_SECONDS = 1.0
LEAD_SHARE = 0.1
"""So much before its client stops waiting a call is given up, and at most this share of its time: an
answer that says why still arrives, and keeps the client from sending the same again."""


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """Try a transient failure again, within the task's retries and deadline."""

    store: Store
    clock: Clock
    rng: random.Random

    @staged
    async def __call__(self, passage: AnyPassage, next: Next, /) -> AsyncGenerator[Reply]:
        """Retry until the reply opens; a reply that breaks after that is not retried."""
        self._refuse_resent(passage)
        self._watch_time(passage)
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
                passage.begin()
                async with Held(opening):
                    yield reply
                return
            tries += 1
            await self.clock.sleep(wait)

    def _refuse_resent(self, passage: AnyPassage) -> None:
        """Refuse what its client sends again when the retries of its task are used up.

        Raises:
            Looping: They are; the client is told not to try again.
        """
        policy, task = passage.policy, passage.task
        assert policy is not None
        assert task is not None
        if passage.client_retry and not passage.attempts:
            used = self.store.count_retries(task.id)
            if used >= policy.max_retries:
                raise _used_up(task, used, policy.max_retries)

    def _watch_time(self, passage: AnyPassage) -> None:
        """Let the call end at the deadline of its task, and when its client waits no longer."""
        assert passage.task is not None
        now = self.clock.now()
        left = _left_seconds(passage.task, now=now)
        if passage.expiry is None and left is not None:
            passage.expire(left)
        patience = _patience_seconds(passage.call, now=now)
        if patience is not None:
            passage.await_beginning(patience)

    def _wait(self, passage: AnyPassage, tries: int, failure: Failed) -> float | None:
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
        now = self.clock.now()
        left, patience = _left_seconds(task, now=now), _patience_seconds(passage.call, now=now)
        longest = LONGEST_WITHOUT_DEADLINE_SECONDS if left is None else left
        if wait >= (longest if patience is None else min(longest, patience)):
            return None
        return None if self.store.count_retries(task.id) >= policy.max_retries else wait


def _is_next_at_once(failure: Failed, passage: AnyPassage) -> bool:
    """Whether another way is better than any wait: nobody may be asked here, or not by this key."""
    if isinstance(failure, BreakerOpen):
        return passage.has_other_key or passage.has_others()
    return isinstance(failure, RateLimited) and passage.has_other_key


def _left_seconds(task: Task, *, now: float) -> float | None:
    """Return how long a task may go on; None where it has no deadline."""
    return None if task.deadline_at is None else task.deadline_at - now


def _patience_seconds(call: Call, *, now: float) -> float | None:
    """Return how long a reply may still take to begin, so that its client hears of it in time."""
    waits = call.patience_seconds
    if waits is None:
        return None
    return call.started_at + waits - min(LEAD_SECONDS, waits * LEAD_SHARE) - now


def _used_up(task: Task, used: int, most: int) -> Looping:
    fix = f"raise max_retries in [tasks.{task.type}] of callgate.toml, or begin a new task"
    msg = f"task {task.id} has used up its {most} retries ({used}), those of its client included; {fix}"
    reason = Reason(
        code="retries_used_up",
        rule=f"tasks.{task.type}.max_retries",
        scope=f"task:{task.id}",
        limit=most,
        used=used,
        fix=fix,
    )
    return Looping(msg, reason=reason)


def backoff_seconds(n: int, rng: random.Random) -> float:
    """Return the wait before retry ``n`` (from 0), in seconds."""
    longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0**n)
    return longest * rng.uniform(LEAST_SHARE, 1.0)
