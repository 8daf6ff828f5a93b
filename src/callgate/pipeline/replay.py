"""Replay: answer a call with what came of the same before, and let a tool do once what is done once."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

import msgspec

from callgate.call import Earlier, Reply, ToolReply, ToolResult
from callgate.clock import Clock
from callgate.errors import AlreadyDone, Reason, TimedOut
from callgate.money import Money
from callgate.pipeline.planning import planned
from callgate.pipeline.stage import Held, Next, Open, ToolPassage, staged
from callgate.store import Outlived, Store

LOOKS_AGAIN_SECONDS: Final = 0.5
"""The wait between two looks at a job that another gate, or another part of this one, follows."""


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """Tell who asks for an action again what came of it; of what may be done again, only once.

    That is where the gate of an earlier call died over a job that outlived it. Either was paid for by
    the call that began it.
    """

    store: Store
    clock: Clock

    def __call__(self, passage: ToolPassage, next: Next, /) -> Open:
        """Go by whether the tool does something that is done once."""
        tool = passage.tool
        assert tool is not None
        return self._done_once(passage, next) if tool.acts else self._handed_out(passage, next)

    @staged
    async def _done_once(self, passage: ToolPassage, next: Next, /) -> AsyncGenerator[Reply]:
        """Look first, so that nobody is asked, or waited for, about what is done; admission decides."""
        try:
            passage.action = planned(passage)
            self.store.check_action(passage.action, self.clock.now())
            opening = next(passage)
            reply = await opening.__aenter__()
        except AlreadyDone as done:
            passage.already_done = done
            yield _again(done)
            return
        async with Held(opening):
            yield reply

    @staged
    async def _handed_out(self, passage: ToolPassage, next: Next, /) -> AsyncGenerator[Reply]:
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


def _again(done: AlreadyDone) -> ToolReply:
    """Return what came of an action when it was done."""
    kept = (
        ToolResult() if done.result is None else msgspec.json.decode(done.result, type=ToolResult)
    )
    earlier = Earlier(call_id=done.call_id, done_at=done.done_at, is_same=done.is_same)
    return ToolReply.of(msgspec.structs.replace(kept, cost=None, already_done=earlier))


def _still_at_work(passage: ToolPassage, found: Outlived) -> TimedOut:
    fix = "ask for the same again later: its result is handed out then, and paid for already"
    msg = f"{passage.target} is still at work for the earlier call {found.call_id}; {fix}"
    return TimedOut(msg, billed=False, reason=Reason(code="still_at_work", fix=fix))
