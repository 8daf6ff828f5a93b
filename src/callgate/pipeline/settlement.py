"""How an attempt ended, in money: what is booked for each way it can end."""

from __future__ import annotations

import asyncio

import msgspec

from callgate.call import Meter, Reply, Usage
from callgate.errors import CallgateError, ClientLeft, Failed, Misconfigured, Refused
from callgate.money import Money
from callgate.pipeline.matrix import strategy_of
from callgate.pipeline.stage import Passage
from callgate.pricing import Price, served_price
from callgate.pricing.lifetimes import with_lifetimes
from callgate.pricing.snapshot import always_searches
from callgate.redact import redact
from callgate.store import AttemptState, CallEnd, CallState, Settlement

MEDIA = "pictures or sounds"
SEARCHES = "a search in every call"

LONGEST_ERROR = 500
"""Characters of a failure that an attempt's row keeps."""

HUNG_UP = (ClientLeft, asyncio.CancelledError, GeneratorExit)
"""What ends a reply whose reader is gone."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the price of an attempt."""

    cost: Money | None = None
    least: Money | None = None
    """What its tokens cost, where that is not all, or not all of them are told."""
    usage: Usage | None = None
    price_version: str | None = None
    service_tier: str | None = None
    unpriced: str | None = None


class Ending(msgspec.Struct, kw_only=True):
    """What is known when an attempt is over."""

    prices: tuple[Price, ...]
    """What may hold for the request, the standard one first; none where nobody tells."""
    free: bool
    """Whether the format costs nothing whatever happens."""
    api: str
    """What the provider speaks."""
    reply: Reply | None = None
    """None if it never opened."""
    error: BaseException | None = None


def settlement_of(passage: Passage, ending: Ending, *, ended_at: float) -> Settlement:
    """Return what to book for an attempt that is over.

    A reply that was read to its own end is paid by its usage, also when the reader hung up just
    then. What surely cost nothing is booked as nothing. Everything else may have cost all that
    was reserved, and is booked so, as an estimate: unknown is never zero. Where what it tells of
    its tokens comes to more than that, it did cost more.
    """
    attempt = passage.attempt
    assert attempt is not None
    meter = attempt.meter if ending.reply is None else ending.reply.meter
    known = _known(passage, ending, meter)
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
        changes=(*passage.counted, *passage.changes),
        call=None
        if ending.reply is None or passage.goes_on
        else _call_end(passage, error, ended_at),
    )


def _known(passage: Passage, ending: Ending, meter: Meter) -> Known:
    """Return what an attempt cost, and by which price; no cost where nobody knows."""
    assert passage.draft is not None
    usage, tier = meter.usage, meter.service_tier
    if usage is not None:
        usage = with_lifetimes(usage, body=passage.draft.body, api=ending.api)
    if ending.free or _surely_unbilled(ending):
        return Known(cost=Money(), usage=usage, service_tier=tier)
    if meter.reported is not None and meter.finished:
        by = f"reported by {meter.believed}"
        return Known(cost=meter.reported, usage=usage, price_version=by, service_tier=tier)
    unpriced = _unpriced(passage, ending, meter)
    price = None if usage is None else served_price(ending.prices, usage, service_tier=tier)
    if usage is None or price is None:
        return Known(usage=usage, service_tier=tier, unpriced=unpriced)
    is_whole = meter.finished and usage.is_credible and price.covers(usage)
    if unpriced is not None or not is_whole:
        least = price.cost(usage)
        return Known(least=least, usage=usage, service_tier=tier, unpriced=unpriced)
    return Known(
        cost=price.cost(usage),
        usage=usage,
        price_version=price.version,
        service_tier=tier or price.service_tier,
    )


def _unpriced(passage: Passage, ending: Ending, meter: Meter) -> str | None:
    """Return what an attempt has used that no price of tokens covers; None where there is nothing."""
    assert passage.draft is not None
    request = passage.draft.request
    used = meter.unpriced or request.charged or _searches(passage)
    if used is not None or (ending.prices and not ending.prices[0].text_only):
        return used
    # The prices of text say nothing of pictures and sounds, and without one nobody does.
    if request.opaque is not None:
        return request.opaque
    return MEDIA if request.image_sizes or meter.has_media else None


def _searches(passage: Passage) -> str | None:
    assert passage.candidate is not None
    return SEARCHES if always_searches(passage.candidate.model) else None


def _surely_unbilled(ending: Ending) -> bool:
    """Whether it is known that the provider charged nothing."""
    if ending.reply is not None:
        return False
    if isinstance(ending.error, Failed):
        return not ending.error.billed
    return isinstance(ending.error, Refused | Misconfigured)


def _attempt_state(error: BaseException | None) -> AttemptState:
    if error is None:
        return "ok"
    return "left" if isinstance(error, HUNG_UP) else "failed"


def _call_end(passage: Passage, error: BaseException | None, ended_at: float) -> CallEnd:
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
