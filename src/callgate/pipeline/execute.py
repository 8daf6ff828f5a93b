"""Execute: hand the attempt to who serves it; the only stage that reaches outside."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import Any

import msgspec

from callgate.call import Reply, Tool, ToolReply, ToolResult
from callgate.clock import Clock, paused
from callgate.config.policies import Settings
from callgate.errors import (
    BrokenReply,
    Failed,
    Reason,
    StoreDown,
    TimedOut,
)
from callgate.pipeline.flights import Flights
from callgate.pipeline.matrix import judged
from callgate.pipeline.stage import ModelPassage, ToolPassage, staged
from callgate.providers import Outgoing, Provider
from callgate.store import Store
from callgate.tools import Invocation, Toolset
from callgate.wire.codec.losses import lost

log = logging.getLogger("callgate")


class Execute(msgspec.Struct, frozen=True, kw_only=True):
    """The end of the road."""

    settings: Settings
    providers: Mapping[str, Provider]
    clock: Clock

    @staged
    async def __call__(self, passage: ModelPassage, /) -> AsyncGenerator[Reply]:
        """Write the request as it leaves, and open the provider's reply."""
        candidate, attempt, draft = passage.candidate, passage.attempt, passage.draft
        assert candidate is not None
        assert attempt is not None
        assert draft is not None
        policy = self.settings.providers[candidate.provider]
        rewrite = draft.format.rewrite(
            draft.request,
            model=candidate.model,
            output_tokens=attempt.output_tokens,
            limit_field=policy.limit_field,
        )
        passage.changes = (*draft.changes, *rewrite.changes)
        passage.limited_to = attempt.output_tokens
        attempt.meter.believed = policy.reported_cost
        outgoing = Outgoing(
            format=draft.format,
            request=draft.request,
            model=candidate.model,
            body=rewrite.body,
            headers=draft.headers,
            credential=passage.credential,
            meter=attempt.meter,
            way_back=draft.way_back,
        )
        try:
            async with self.providers[candidate.provider].open(outgoing) as reply:
                passage.opened_at = self.clock.now()
                yield reply
        except Failed as failure:
            if draft.way_back is not None:
                failure.answer = draft.way_back.answer(failure)
            raise
        finally:
            if draft.way_back is not None:
                lost_back = lost(draft.way_back.losses)
                passage.changes = tuple(dict.fromkeys((*passage.changes, *lost_back)))


class ExecuteTool(msgspec.Struct, frozen=True, kw_only=True):
    """The end of the road of calls to tools."""

    toolsets: Mapping[str, Toolset]
    flights: Flights
    store: Store
    clock: Clock

    @staged
    async def __call__(self, passage: ToolPassage, /) -> AsyncGenerator[Reply]:
        """Call the tool, once, for as long as it and its task may take."""
        tool = passage.tool
        assert tool is not None
        invocation, toolset = self._invocation(passage, tool), self.toolsets[tool.toolset]
        passage.asking = True
        try:
            with self.flights.to(id(toolset)):
                async with asyncio.timeout(invocation.timeout_seconds) as limit:
                    result = await toolset.call(_patient(invocation, limit))
        except TimeoutError:
            passage.asking = False
            raise judged(_timed_out(invocation), tool) from None
        except Failed as failure:
            passage.asking = False
            told = judged(failure, tool)
            if told is failure:
                raise
            raise told from failure
        passage.asking = False
        passage.opened_at = self.clock.now()
        yield _reply(result, tool)

    def _invocation(self, passage: ToolPassage, tool: Tool) -> Invocation:
        task, attempt, arguments = passage.task, passage.attempt, passage.arguments
        assert task is not None
        assert attempt is not None
        assert arguments is not None
        left = tool.timeout_seconds
        if task.deadline_at is not None:
            left = min(left, max(0.0, task.deadline_at - self.clock.now()))
        return Invocation(
            tool=tool,
            arguments=arguments,
            call_id=passage.call.id,
            task_id=task.id,
            idempotency_key=attempt.idempotency_key or passage.call.id,
            timeout_seconds=left,
            credential=passage.credential,
            on_progress=passage.call.on_progress,
            on_question=passage.call.on_question,
            note_job=partial(self._note_job, attempt.id),
        )

    async def _note_job(self, attempt_id: str, job_id: str) -> None:
        """Note a job; where the store is down the call goes on all the same, as it is paid for."""
        try:
            await asyncio.shield(self.store.note_job(attempt_id, job_id, self.clock.now()))
        except StoreDown as down:
            log.warning(
                "the job of attempt %s is not noted, and ends with this gate: %s", attempt_id, down
            )


def _reply(result: ToolResult, tool: Tool) -> ToolReply:
    try:
        return ToolReply.of(result)
    except (RecursionError, UnicodeEncodeError, ValueError) as error:
        msg = f"what {tool.name} answered cannot be written as JSON: {error}"
        broken = BrokenReply(msg, billed=True)
        broken.cost = result.cost
        raise judged(broken, tool) from error


def _patient(invocation: Invocation, limit: asyncio.Timeout) -> Invocation:
    """Return a call whose limit stands still while somebody is asked."""
    ask = invocation.on_question
    if ask is None:
        return invocation

    async def patiently(question: Mapping[str, Any]) -> Mapping[str, Any]:
        with paused(limit):
            return await ask(question)

    return msgspec.structs.replace(invocation, on_question=patiently)


def _timed_out(invocation: Invocation) -> TimedOut:
    tool, seconds = invocation.tool, invocation.timeout_seconds
    fix = f'raise timeout under [tools."{tool.name}"] in callgate.toml, or give the task more time'
    msg = f"{tool.name} had not answered after {seconds:g} s; {fix}"
    return TimedOut(
        msg, billed=True, reason=Reason(code="tool_timeout", limit=f"{seconds:g} s", fix=fix)
    )
