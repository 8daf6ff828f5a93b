"""Whether an attempt fits into what is left of every budget: the arithmetic, the same in every store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Final

import msgspec

from callgate.call import Candidate
from callgate.clock import rfc3339
from callgate.errors import Malformed, OverBudget, Reason, Unpriced
from callgate.money import FEMTO_PER_NANO, Money, from_femto
from callgate.store import Bill, Grant

LARGEST_COST: Final = Money.dollars("1000000")
"""No single attempt holds or costs more: a larger number is a mistake, and thousands of this one
still fit into 64 bits."""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """Money that is allowed for a scope and a window, and how a sentence tells of it."""

    rule: str
    """The setting, such as ``tasks.research.budget``."""
    what: str
    """What it limits, as a sentence names it: ``task t1``, ``agent researcher in this day``."""
    scope: str
    cap: int
    """Nano-dollars."""
    resets_at: float | None = None
    """When its window ends, seconds since 1970; None where it never does."""
    fix: str
    """How to lift it."""

    def itself(self) -> Budget:
        """Return this budget, where a level asks for it."""
        return self


class Level(msgspec.Struct, frozen=True):
    """How a budget stands, in nano-dollars, as the transaction sees it."""

    cap: int
    spent: int
    held: int
    find_budget: Callable[[], Budget]
    """Tells which budget it is: only a refusal asks."""

    @property
    def left(self) -> int:
        """What is neither spent nor held; a bill above its reservation may have passed the cap."""
        return max(0, self.cap - self.spent - self.held)

    def resets_at(self, needed: int) -> float:
        """Return when so much fits again by itself, seconds since 1970; infinity for never."""
        budget = self.find_budget()
        return inf if budget.resets_at is None or needed > budget.cap else budget.resets_at


def reserve(bill: Bill | None, levels: Sequence[Level], /, *, candidate: Candidate) -> Grant:
    """Return what to hold for an attempt, with the highest output limit that every budget pays for.

    Args:
        bill: The most that the attempt can cost; None where that is unknown.
        levels: Every budget that it draws from; none where nothing limits the money.
        candidate: Who would serve, for the refusal's sentence.

    Raises:
        Unpriced: A budget holds, and there is no bill.
        OverBudget: The bill does not fit even at its lowest output limit; it names every level
            where it does not.
        Malformed: The request asks for more than any request can mean.
    """
    if bill is None:
        if not levels:
            return Grant(reserved=None, output_tokens=None)
        raise _unpriced(levels[0].find_budget(), candidate)
    tokens = bill.output_tokens
    needed = from_femto(bill.femto(tokens))
    left = min((level.left for level in levels), default=needed.nano)
    if needed.nano > left:
        tokens = _affordable_tokens(bill, left)
        if tokens < bill.least_output_tokens:
            raise _over_budget(bill, levels)
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


def _over_budget(bill: Bill, levels: Sequence[Level]) -> OverBudget:
    """Name every level that is too low, and let the one that stays so longest speak for them."""
    needed = from_femto(bill.femto(bill.least_output_tokens))
    low = [level for level in levels if level.left < needed.nano]
    low.sort(key=lambda level: (-level.resets_at(needed.nano), level.left))
    told = "; ".join(_told(level, needed) for level in low)
    fixes = " and ".join(dict.fromkeys(level.find_budget().fix for level in low))
    worst = low[0]
    budget, resets_at = worst.find_budget(), worst.resets_at(needed.nano)
    reason = Reason(
        code="over_budget",
        rule=budget.rule,
        scope=budget.scope,
        limit=budget.cap,
        used=worst.spent,
        held=worst.held,
        needed=needed.nano,
        resets_at=None if resets_at == inf else rfc3339(resets_at),
        fix=fixes,
    )
    msg = f"{budget.rule}: this call may cost {needed}, and {told}; {fixes}"
    return OverBudget(msg, reason=reason)


def _told(level: Level, needed: Money) -> str:
    """Tell how a level stands: money that is held may come free, money that is spent does not."""
    budget, spent, held = level.find_budget(), Money(level.spent), Money(level.held)
    told = f"of the {Money(budget.cap)} of {budget.what} {spent} is spent and {held} is held by running calls"
    if level.held and level.spent + needed.nano <= budget.cap:
        told += ", which may come free when they end"
    if budget.resets_at is not None:
        told += f" ({budget.rule}, until {rfc3339(budget.resets_at)})"
    return told


def _unpriced(budget: Budget, candidate: Candidate) -> Unpriced:
    fix = f'add [prices."{candidate.name}"] to callgate.toml'
    msg = (
        f"what {candidate.name} costs is not known, so the budget of {budget.what} could not hold "
        f"it; {fix}"
    )
    reason = Reason(code="unpriced", rule=budget.rule, scope=budget.scope, fix=fix)
    return Unpriced(msg, reason=reason)


def _unreasonable(needed: Money) -> Malformed:
    fix = "ask for fewer output tokens"
    msg = f"this call may cost {needed}, and no call may hold more than {LARGEST_COST}; {fix}"
    reason = Reason(
        code="unreasonable_bill", limit=LARGEST_COST.nano, needed=str(needed.nano), fix=fix
    )
    return Malformed(msg, reason=reason)
