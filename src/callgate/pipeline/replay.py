"""Replay: answer a call with what came of the same call before, where its gate died over it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

import msgspec

from callgate.call import Reply, ToolReply, ToolResult
from callgate.clock import Clock
from callgate.errors import Reason, TimedOut
from callgate.money import Money
from callgate.pipeline.stage import Next, ToolPassage, staged
from callgate.store import Outlived, Store

LOOKS_AGAIN_SECONDS: Final = 0.5
"""The wait between two looks at a job that another gate, or another part of this one, follows."""


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """Hand out the result of a job that outlived its gate, once, to who asks for the same again.

    It was paid for by the call that began it.
    """

    store: Store
    clock: Clock

    @staged
    async def __call__(self, passage: ToolPassage, next: Next, /) -> AsyncGenerator[Reply]:
        """Wait for the job of an earlier call, if there is one; else let the call go on."""
        result = await self._result(passage)
        if result is not None:
            yield ToolReply.of(result)
            return
        async with next(passage) as reply:
            yield reply

    async def _result(self, passage: ToolPassage) -> ToolResult | None:
        """Return what an earlier call has come to; None where there is none, or it failed."""
        until: float | None = None
        while (found := self._find(passage)) is not None:
            if found.result is not None:
                if await self.store.claim_result(found.attempt_id, self.clock.now()):
                    result = msgspec.json.decode(found.result, type=ToolResult)
                    return msgspec.structs.replace(result, cost=Money())
                continue
            until = until or self._until(passage)
            if self.clock.now() >= until:
                raise _still_at_work(passage, found)
            await self.clock.sleep(LOOKS_AGAIN_SECONDS)
        return None

    def _find(self, passage: ToolPassage) -> Outlived | None:
        task = passage.task
        assert task is not None
        # A call that is a task of its own has had none before.
        return (
            None
            if passage.own_task
            else self.store.find_outlived(task.id, passage.call.fingerprint)
        )

    def _until(self, passage: ToolPassage) -> float:
        """Return how long to wait, as for a call of the tool."""
        task, tool = passage.task, passage.tool
        assert task is not None
        assert tool is not None
        until = self.clock.now() + tool.timeout_seconds
        return until if task.deadline_at is None else min(until, task.deadline_at)


def _still_at_work(passage: ToolPassage, found: Outlived) -> TimedOut:
    fix = "ask for the same again later: its result is handed out then, and paid for already"
    msg = f"{passage.target} is still at work for the earlier call {found.call_id}; {fix}"
    return TimedOut(msg, billed=False, reason=Reason(code="still_at_work", fix=fix))
