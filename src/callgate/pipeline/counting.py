"""What is held instead, where a proven bound does not fit and the task type takes a count."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from callgate.call import COUNTED, Candidate, Headers
from callgate.errors import OverBudget, Refused, Unbounded, Unpriced
from callgate.money import from_femto
from callgate.pipeline.bounding import Bounding, least_output_tokens, with_level
from callgate.pipeline.stage import ModelPassage
from callgate.pricing import Price
from callgate.pricing.counting import Count, Uncounted
from callgate.store import Bill
from callgate.wire import Request

CountInput = Callable[[str, Request, Headers, Candidate], Awaitable[Count | Uncounted]]
"""Counts the input of a request of a format, with its headers, for the candidate that would serve it."""

IN_VAIN: Final = "no count could have made it fit"

Proven = Bill | Unpriced | Unbounded


class Second(msgspec.Struct, frozen=True, kw_only=True):
    """What is tried once more."""

    bill: Bill
    changes: tuple[str, ...] = ()
    """What the attempt's row says of a count that it stands on."""
    uncounted: str | None = None
    """Why it stands on no count."""


class Counting(msgspec.Struct, frozen=True, kw_only=True):
    """Has the input of a request counted, after the store has refused its proven bound."""

    bounding: Bounding
    count: CountInput

    async def second(
        self,
        passage: ModelPassage,
        prices: tuple[Price, ...],
        proven: Proven,
        refused: OverBudget | Unpriced,
    ) -> Second:
        """Return what to try once more, if there is anything.

        Args:
            passage: The call.
            prices: What may hold for it.
            proven: What was tried, or why there was nothing to try.
            refused: What the store said.

        Raises:
            Refused: The same, as its reader is to have it.
        """
        policy, draft, candidate = passage.policy, passage.draft, passage.candidate
        assert policy is not None
        assert draft is not None
        assert candidate is not None
        if policy.bound == "proven" or isinstance(proven, Unpriced):
            raise self.told(passage, proven, refused) from None
        count: Count | Uncounted = Uncounted(IN_VAIN)
        if not _in_vain(passage, proven, refused):
            count = await self.count(draft.format.name, draft.request, draft.headers, candidate)
        if isinstance(count, Uncounted):
            return self._uncounted(passage, proven, refused, why=count.why)
        bill = self.bounding.bill(passage, prices, count=count)
        assert isinstance(bill, Bill)
        return Second(bill=bill, changes=notes(count))

    def told(
        self,
        passage: ModelPassage,
        proven: Proven,
        refused: OverBudget | Unpriced,
        *,
        uncounted: str | None = None,
    ) -> Refused:
        """Return a refusal as its reader is to have it.

        Args:
            passage: The call.
            proven: What was tried, or why there was nothing to try.
            refused: What the store said.
            uncounted: Why nothing was counted, where it was to be.
        """
        told: Refused = refused
        if isinstance(refused, OverBudget):
            told = self.bounding.explained(refused, passage)
        else:
            assert isinstance(proven, Refused)
            told = with_level(proven, refused)
        if uncounted is None:
            return told
        msg = f"{told.message}; its tokens were not counted, as {uncounted}"
        return type(told)(msg, reason=told.reason)

    def _uncounted(
        self,
        passage: ModelPassage,
        proven: Bill | Unbounded,
        refused: OverBudget | Unpriced,
        *,
        why: str,
    ) -> Second:
        """Return the proven bound again, where a shorter reply may yet make it fit."""
        if isinstance(proven, Bill):
            shorter = least_output_tokens(passage, worth_reading=False)
            if shorter < proven.least_output_tokens:
                bill = msgspec.structs.replace(proven, least_output_tokens=shorter)
                return Second(bill=bill, uncounted=why)
        raise self.told(passage, proven, refused, uncounted=why) from None


def notes(count: Count) -> tuple[str, ...]:
    """Return what an attempt's row says of a count."""
    return (
        COUNTED,
        f"counted_tokens={count.tokens}",
        f"counted_by={count.by}",
        f"bound_tokens={count.bound_tokens}",
    )


def _in_vain(
    passage: ModelPassage, proven: Bill | Unbounded, refused: OverBudget | Unpriced
) -> bool:
    """Whether it would not fit without any input either: a provider is not asked for nothing."""
    reason = refused.reason
    if isinstance(proven, Unbounded) or not isinstance(reason.limit, int):
        return False
    output_tokens = least_output_tokens(passage, worth_reading=False)
    output = from_femto(proven.output_femto * proven.choices * output_tokens)
    return output.nano > reason.limit - int(reason.used or 0) - (reason.held or 0)
