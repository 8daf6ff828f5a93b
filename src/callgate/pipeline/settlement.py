"""How an attempt ended, in money: what is booked for each way it can end."""

from __future__ import annotations

import asyncio

from callgate.errors import CallgateError, ClientLeft, Failed, OutcomeUnknown
from callgate.pipeline.matrix import strategy_of
from callgate.pipeline.stage import AnyPassage
from callgate.pipeline.terms import Ending, Known
from callgate.redact import redact
from callgate.store import AttemptState, CallEnd, CallState, Settlement

LONGEST_ERROR = 500
"""Characters of a failure that an attempt's row keeps."""

HUNG_UP = (ClientLeft, asyncio.CancelledError, GeneratorExit)
"""What ends a reply whose reader is gone."""


def settlement_of(
    passage: AnyPassage, ending: Ending, known: Known, *, ended_at: float
) -> Settlement:
    """Return what to book for an attempt that is over.

    A reply that was read to its own end is paid by its usage, also when the reader hung up just
    then. What surely cost nothing is booked as nothing. Everything else may have cost all that
    was reserved, and is booked so, as an estimate: unknown is never zero. Where what it tells of
    its tokens comes to more than that, it did cost more.
    """
    attempt = passage.attempt
    assert attempt is not None
    meter = ending.meter(attempt)
    ended_by = None if ending.error is None else passage.cause(ending.error)
    error = None if meter.finished and isinstance(ended_by, HUNG_UP) else ended_by
    return Settlement(
        attempt_id=attempt.id,
        state=_attempt_state(error),
        cost=known.cost,
        least=known.least,
        estimated=known.cost is None and attempt.reserved is not None,
        usage=known.usage,
        price_version=known.price_version,
        service_tier=known.service_tier,
        unpriced=known.unpriced,
        ended_at=ended_at,
        first_byte_at=passage.opened_at,
        http_status=_http_status(ending),
        error=None if error is None else _describe(error),
        # A call that is a task of its own has no next one to put it right.
        is_bad=isinstance(error, Failed) and strategy_of(error).corrects and not passage.own_task,
        model=meter.model,
        reply_id=meter.reply_id,
        finish_reason=meter.finish_reason,
        changes=(*ending.quote.changes, *passage.changes),
        action=known.action,
        call=None
        if ending.reply is None or passage.goes_on
        else _call_end(passage, error, ended_at),
    )


def _attempt_state(error: BaseException | None) -> AttemptState:
    if error is None:
        return "ok"
    if isinstance(error, OutcomeUnknown):
        return "unknown"
    return "left" if isinstance(error, HUNG_UP) else "failed"


def _call_end(passage: AnyPassage, error: BaseException | None, ended_at: float) -> CallEnd:
    state: CallState = "ok"
    if error is not None:
        state = "left" if isinstance(error, HUNG_UP) else "failed"
    code = None
    if error is not None:
        code = error.reason.code if isinstance(error, CallgateError) else _code(error)
    return CallEnd(
        call_id=passage.call.id,
        state=state,
        status=200,
        ended_at=ended_at,
        code=code,
        message=None if error is None else _describe(error),
        ends_task=passage.task.id if passage.own_task and passage.task else None,
    )


def _code(error: BaseException) -> str:
    return ClientLeft.code if isinstance(error, HUNG_UP) else "internal"


def _http_status(ending: Ending) -> int | None:
    if ending.reply is not None:
        return ending.reply.status
    answer = ending.error.answer if isinstance(ending.error, Failed) else None
    return None if answer is None else answer.status


def _describe(error: BaseException) -> str:
    return redact(f"{type(error).__name__}: {error}")[:LONGEST_ERROR]
