"""Bills above their reservation: they are paid in full, and raise that model's bound from then on."""

from __future__ import annotations

from typing import Final

import msgspec

from callgate.call import Candidate
from callgate.money import Money
from callgate.store import Bill

ONE: Final = 1_000
"""Factors are whole thousandths, so that a raised bound is exact too."""


class Overruns:
    """Remembers by how much bills have passed their bounds, as long as the process runs."""

    def __init__(self) -> None:
        self._thousandths: dict[Candidate, int] = {}

    def factor(self, candidate: Candidate) -> int:
        """Return by how many thousandths a candidate's bound is to be multiplied."""
        return self._thousandths.get(candidate, ONE)

    def note(self, candidate: Candidate, *, billed: Money, reserved: Money, factor: int) -> None:
        """Raise a candidate's bound so that it would have covered a bill.

        Args:
            candidate: Who served.
            billed: What the call cost, more than what was held.
            reserved: What was held.
            factor: By how many thousandths that had been raised already. Of many calls that ran
                together, each tells the same again: the factor does not grow with their number.
        """
        if reserved.nano > 0:
            needed = -(-billed.nano * factor // reserved.nano)
            self._thousandths[candidate] = max(needed, self.factor(candidate))


def raised(bill: Bill, factor: int) -> Bill:
    """Return a bill multiplied by thousandths, rounded up."""
    if factor == ONE:
        return bill
    return msgspec.structs.replace(
        bill,
        input_femto=-(-bill.input_femto * factor // ONE),
        output_femto=-(-bill.output_femto * factor // ONE),
    )
