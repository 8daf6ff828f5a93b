"""Whether an attempt fits into what is left of a budget: the arithmetic, the same in every store."""

from __future__ import annotations

from typing import Final

import msgspec

from callgate.call import Candidate
from callgate.errors import Malformed, OverBudget, Reason, Unpriced
from callgate.money import FEMTO_PER_NANO, Money, from_femto
from callgate.store import Bill, Grant

LARGEST_COST: Final = Money.dollars("1000000")
"""No single attempt holds or costs more: a larger number is a mistake, and thousands of this one
still fit into 64 bits."""


class Balance(msgspec.Struct, frozen=True):
    """One row of the ledger, in nano-dollars."""

    cap: int | None
    """What may be spent; None sets no limit."""
    spent: int = 0
    held: int = 0

    @property
    def left(self) -> int:
        """What is neither spent nor held, under a cap."""
        return (self.cap or 0) - self.spent - self.held


def reserve(
    bill: Bill | None, balance: Balance, /, *, task_id: str, task_type: str, candidate: Candidate
) -> Grant:
    """Return what to hold for an attempt, with the highest output limit that the budget pays for.

    Args:
        bill: The most that the attempt can cost; None where that is unknown.
        balance: The task's ledger as the transaction sees it.
        task_id: For the refusal's sentence, as are the other two.
        task_type: The task's type.
        candidate: Who would serve.

    Raises:
        Unpriced: A budget holds, and there is no bill.
        OverBudget: The bill does not fit even at its lowest output limit.
        Malformed: The request asks for more than any request can mean.
    """
    if bill is None:
        if balance.cap is None:
            return Grant(reserved=None, output_tokens=None)
        raise _unpriced(task_id, candidate)
    tokens = bill.output_tokens
    needed = from_femto(bill.femto(tokens))
    # A bill above its reservation may have spent more than the cap; what is free fits all the same.
    if balance.cap is not None and needed.nano > max(0, balance.left):
        tokens = _affordable_tokens(bill, balance.left)
        if tokens < bill.least_output_tokens:
            raise _over_budget(bill, balance, task_id=task_id, task_type=task_type)
        needed = from_femto(bill.femto(tokens))
    if needed > LARGEST_COST:
        raise _unreasonable(needed)
    return Grant(reserved=needed, output_tokens=tokens)


def _affordable_tokens(bill: Bill, left_nano: int) -> int:
    """Return the highest output limit whose bill fits; -1 if none does."""
    for_output = left_nano * FEMTO_PER_NANO - bill.input_femto
    per_token = bill.output_femto * bill.choices
    if for_output < 0 or per_token == 0:
        return -1
    return for_output // per_token


def _over_budget(bill: Bill, balance: Balance, *, task_id: str, task_type: str) -> OverBudget:
    limit, spent, held = Money(balance.cap or 0), Money(balance.spent), Money(balance.held)
    needed = from_femto(bill.femto(bill.least_output_tokens))
    fix = f"raise budget in [tasks.{task_type}] of callgate.toml, or start the run with --budget"
    waits = (
        "; what is held may come free when those calls end"
        if held.nano and spent + needed <= limit
        else ""
    )
    msg = (
        f"task budget: this call may cost {needed}, and of the {limit} of task {task_id} "
        f"{spent} is spent and {held} is held by running calls{waits}; {fix}"
    )
    reason = Reason(
        code="over_budget",
        rule="task budget",
        scope=f"task:{task_id}",
        limit=limit.nano,
        used=spent.nano,
        held=held.nano,
        needed=needed.nano,
        fix=fix,
    )
    return OverBudget(msg, reason=reason)


def _unpriced(task_id: str, candidate: Candidate) -> Unpriced:
    fix = f'add [prices."{candidate.name}"] to callgate.toml'
    msg = (
        f"task budget: what {candidate.name} costs is not known, so the budget of task {task_id} "
        f"could not hold it; {fix}"
    )
    reason = Reason(code="unpriced", rule="task budget", scope=f"task:{task_id}", fix=fix)
    return Unpriced(msg, reason=reason)


def _unreasonable(needed: Money) -> Malformed:
    fix = "ask for fewer output tokens"
    msg = f"this call may cost {needed}, and no call may hold more than {LARGEST_COST}; {fix}"
    reason = Reason(
        code="unreasonable_bill", limit=LARGEST_COST.nano, needed=str(needed.nano), fix=fix
    )
    return Malformed(msg, reason=reason)
