"""Record: every call leaves one audit row, also one that was refused or went wrong."""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import msgspec

from callgate.call import Reply
from callgate.clock import Clock
from callgate.errors import AlreadyDone, CallgateError, ClientLeft, Refused, StoreDown
from callgate.pipeline.late import LateOutcomes
from callgate.pipeline.stage import AnyPassage, Next, staged
from callgate.redact import redact
from callgate.store import CallEnd, CallState, Refusal, Store

LONGEST_MESSAGE = 2_000
"""Characters of an error that a row keeps."""

log = logging.getLogger("callgate")


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """See a call to its end, and write what no inner stage has written."""

    store: Store
    clock: Clock
    late: LateOutcomes

    @staged
    async def __call__(self, passage: AnyPassage, next: Next, /) -> AsyncGenerator[Reply]:
        """Write the outcome of a call that an attempt's settlement has not written."""
        passage.runner = asyncio.current_task()
        try:
            async with next(passage) as reply:
                yield reply
            await self._end(passage, None)
        except BaseException as error:
            passage.stop_clock()
            cause = passage.cause(error)
            if cause is not error and passage.runner is not None:
                passage.runner.uncancel()
            await self._end(passage, cause)
            if cause is error:
                raise
            raise cause from error
        finally:
            passage.arrive()

    async def _end(self, passage: AnyPassage, error: BaseException | None) -> None:
        if passage.ended:
            return
        end = CallEnd(
            call_id=passage.call.id,
            ended_at=self.clock.now(),
            ends_task=passage.task.id if passage.own_task and passage.task else None,
            **_told(error, passage.already_done),
        )
        written = (
            self.store.end_call(end)
            if passage.attempts
            else self.store.refuse(_refusal(passage, end))
        )
        written.add_done_callback(lambda done: self._end_later(end, done, passage.attempts))
        # Who has waited in vain for the store is told so, and does not wait for it again.
        if not isinstance(error, StoreDown):
            # The caller learns the first error.
            with suppress(StoreDown):
                await asyncio.shield(written)

    def _end_later(self, end: CallEnd, written: Future[None], attempts: int) -> None:
        """Try again where the store was down and the call has a row, that of its first attempt."""
        if not isinstance(down := written.exception(), StoreDown):
            return
        if attempts:
            log.warning("call %s is not ended yet: %s", end.call_id, down)
            self.late.add(end)
        else:
            # Nothing ran that the row would have told of.
            log.warning("call %s left no row: %s", end.call_id, down)


def _told(error: BaseException | None, already_done: AlreadyDone | None) -> dict[str, Any]:
    """Return what a row says of how its call ended."""
    if error is None:
        told = {"state": "ok", "status": 200}
        if already_done is not None:
            told |= {"code": already_done.code, "message": already_done.message}
        return told
    ours = error if isinstance(error, CallgateError) else None
    return {
        "state": _state(error),
        "status": 500 if ours is None else ours.status,
        "code": "internal" if ours is None else ours.reason.code,
        "message": redact(str(error) or type(error).__name__)[:LONGEST_MESSAGE],
        "rule": None if ours is None else ours.reason.rule,
    }


def _state(error: BaseException) -> CallState:
    if isinstance(error, Refused):
        return "refused"
    if isinstance(error, ClientLeft | asyncio.CancelledError | GeneratorExit):
        return "left"
    return "failed"


def _refusal(passage: AnyPassage, end: CallEnd) -> Refusal:
    call = passage.call
    return Refusal(
        end=end,
        caller=call.caller,
        claims=call.claims,
        task=passage.task,
        door=call.door,
        kind=call.kind,
        target=passage.target,
        stream=passage.stream,
        request_bytes=len(call.body),
        client_retry=passage.client_retry,
        input=passage.input,
        started_at=call.started_at,
    )
