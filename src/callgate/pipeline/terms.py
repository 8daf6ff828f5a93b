"""Terms: what one kind of call costs, as ``admit`` asks for it before an attempt and after it."""

from __future__ import annotations

from typing import Protocol

import msgspec

from callgate.call import Attempt, Meter, Reply, Usage
from callgate.errors import Failed, Misconfigured, OverBudget, Refused, Unpriced
from callgate.money import Money
from callgate.pipeline.stage import P_contra
from callgate.store import ActionEnd, Bill, Grant


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt is admitted on."""

    bill: Bill | None
    """The most that it can cost; None where nobody knows."""
    price_version: str | None = None
    tokens: int = 0
    """How many it is expected to take, where tokens are limited."""
    changes: tuple[str, ...] = ()
    """What the attempt's row says of how the bill came about."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an attempt that is over: what it cost, and what it did."""

    cost: Money | None = None
    least: Money | None = None
    """What it surely cost, where that is not all, or not all of it is told."""
    usage: Usage | None = None
    price_version: str | None = None
    service_tier: str | None = None
    unpriced: str | None = None
    action: ActionEnd | None = None
    """What became of what it was to do once."""


class Ending(msgspec.Struct, kw_only=True):
    """How an attempt ended."""

    quote: Quote
    reply: Reply | None = None
    """None if it never opened."""
    error: BaseException | None = None

    def meter(self, attempt: Attempt) -> Meter:
        """Return what its reply has told, also one that was no answer."""
        return attempt.meter if self.reply is None else self.reply.meter

    @property
    def is_surely_unbilled(self) -> bool:
        """Whether it is known that the far side charged nothing."""
        if self.reply is not None:
            return False
        if isinstance(self.error, Failed):
            return not self.error.billed
        return isinstance(self.error, Refused | Misconfigured)


class Terms(Protocol[P_contra]):
    """Knows what calls of one kind cost."""

    async def quote(self, passage: P_contra, /) -> Quote:
        """Return what an attempt is to be admitted on, at the prices of this instant."""
        ...

    def stand(self, passage: P_contra, quote: Quote, /) -> bool:
        """Return whether a quote is still right, after an attempt has waited for its turn."""
        ...

    async def second(
        self, passage: P_contra, quote: Quote, refused: OverBudget | Unpriced, /
    ) -> Quote:
        """Return what to try once more, after a budget has refused a quote.

        Raises:
            Refused: There is nothing to try; the same refusal, as its reader is to have it.
        """
        ...

    def told(self, passage: P_contra, quote: Quote, refused: OverBudget, /) -> Refused:
        """Return the refusal of a second quote as its reader is to have it."""
        ...

    def output_tokens(self, passage: P_contra, grant: Grant, /) -> int | None:
        """Return the output limit that the gate sends, where the request names none."""
        ...

    def known(self, passage: P_contra, ending: Ending, /) -> Known:
        """Return what an attempt cost, and by which price; no cost where nobody knows."""
        ...
