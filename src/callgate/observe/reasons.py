"""Why the ledger and an export may differ without anybody having to look, and by how much."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final

from callgate.money import NANO_PER_DOLLAR, from_femto
from callgate.observe.difference import FLOOR_NANO, Case, Reason, are, attempts, reason_of, usd
from callgate.observe.implied import what_to_write
from callgate.observe.sides import NAMES, NEAR_SECONDS, NOTHING, TOKENS, Amounts

HALF_CENT_NANO: Final = NANO_PER_DOLLAR // 200

Finder = Callable[[Case], Reason | None]


def reasons(case: Case) -> Iterator[Reason]:
    """Yield the reasons of a difference, taking what each accounts for off what is left."""
    for find in KNOWN:
        if not case.is_open:
            return
        reason = find(case)
        if reason is not None and reason.accounts_for != NOTHING:
            case.left -= reason.accounts_for
            yield reason


def _more(case: Case, *, most_nano: int, most_requests: int) -> Amounts:
    """Return how much more the export may have for attempts whose usage the ledger lacks."""
    left = case.left
    tokens = {name: max(getattr(left, name), 0) for name in TOKENS}
    worth = case.worth(Amounts(**tokens))
    if worth is not None and worth > most_nano + FLOOR_NANO:
        tokens = dict.fromkeys(TOKENS, 0)
    return Amounts(requests=min(max(left.requests, 0), most_requests), **tokens)


def _running(case: Case) -> Reason | None:
    running = case.ledger.of("running")
    if not running.requests:
        return None
    held = case.ledger.reserved_nano
    taken = _more(case, most_nano=held, most_requests=running.requests)
    taken += Amounts(cost_nano=min(max(case.left.cost_nano, 0), held))
    text = (
        f"{attempts(running.requests)} still run{'s' * (running.requests == 1)}, with {usd(held)} held:"
        " the ledger has no usage of them yet"
    )
    return reason_of("running", text, taken)


def _estimated(case: Case) -> Reason | None:
    estimated = case.ledger.of("estimated")
    if not estimated.requests:
        return None
    taken = _more(case, most_nano=estimated.cost_nano, most_requests=0)
    less = max(min(case.left.cost_nano, 0), -estimated.cost_nano)
    taken += Amounts(cost_nano=less)
    text = (
        f"{attempts(estimated.requests)} {are(estimated.requests)} booked at what was held,"
        f" {usd(estimated.cost_nano)}, as nobody told the usage"
    )
    if less:
        text += f"; {usd(-less)} less was charged"
    if taken.tokens:
        text += f"; the export has {taken.tokens:,} tokens for them"
    return reason_of("estimated", text, taken)


def _unknown_cost(case: Case) -> Reason | None:
    unknown = case.ledger.of("unknown")
    if not unknown.requests or case.left.cost_nano <= 0:
        return None
    text = (
        f"{attempts(unknown.requests)} {are(unknown.requests)} in the ledger without a cost, as"
        f" {case.priced_as} had no price; {usd(case.left.cost_nano)} was charged for them;"
        f" write what you pay: {what_to_write(case)}"
    )
    return reason_of("unknown_cost", text, Amounts(cost_nano=case.left.cost_nano))


def _rounded(case: Case) -> Reason | None:
    most = case.export.rounded * HALF_CENT_NANO
    left = case.left.cost_nano
    if not left or abs(left) > most:
        return None
    text = (
        f"the export rounds each of its {case.export.rounded:,} costs to a cent, which makes up to"
        f" {usd(most)}"
    )
    return reason_of("rounded", text, Amounts(cost_nano=left))


def _discount(case: Case) -> Reason | None:
    if not case.export.has_list or case.left.cost_nano >= 0:
        return None
    listed = from_femto(case.export.list_femto).nano
    cost = case.export.amounts.cost_nano
    most = case.export.rounded * HALF_CENT_NANO + FLOOR_NANO
    if not case.tolerance.passes(case.left.cost_nano + listed - cost, listed, floor=most):
        return None
    share = Decimal(listed - cost) / Decimal(listed) if listed else Decimal()
    text = (
        f"the export has a discount of {share:.1%}: {usd(listed)} at the list price, {usd(cost)}"
        f" charged; write what you pay: {what_to_write(case)}"
    )
    return reason_of("discount", text, Amounts(cost_nano=case.left.cost_nano))


def _service_tier(case: Case) -> Reason | None:
    """Find out whether the price of a service tier makes the difference, tokens being the same."""
    if case.price is None or case.has_tokens or not case.left.cost_nano:
        return None
    more = 0
    for tier, usage in case.export.by_tier.items():
        at = case.price.at(tier)
        if at is None:
            return None
        more += at.rates.femto(usage) - case.price.rates.femto(usage)
    off = case.left.cost_nano - from_femto(more).nano
    if not more or not case.tolerance.passes(off, case.export.amounts.cost_nano, floor=FLOOR_NANO):
        return None
    tiers = " and ".join(sorted(case.export.by_tier))
    text = (
        f"part of it was served at the tier {tiers}, whose price makes {usd(from_femto(more).nano)}"
    )
    return reason_of("service_tier", text, Amounts(cost_nano=case.left.cost_nano))


def _price_changed(case: Case) -> Reason | None:
    """Find out whether the price of today is the one that was charged."""
    if case.price is None or case.has_tokens or not case.export.usage.total_input_tokens:
        return None
    today = from_femto(case.price.rates.femto(case.export.usage)).nano
    charged = case.export.amounts.cost_nano
    if not case.tolerance.passes(charged - today, charged, floor=FLOOR_NANO):
        return None
    text = (
        f"the price is another now: these tokens cost {usd(today)} at today's, which is what was"
        f" charged; {usd(case.ledger.amounts.cost_nano)} was booked by the price before"
    )
    return reason_of("price_changed", text, Amounts(cost_nano=case.left.cost_nano))


def _not_served(case: Case) -> Reason | None:
    free = case.ledger.of("free").requests
    more = min(max(case.left.requests, 0), free)
    if not more:
        return None
    text = f"{attempts(free)} failed and cost nothing; the provider counts {more:,} as requests"
    return reason_of("not_served", text, Amounts(requests=more))


def _not_complete(case: Case) -> Reason | None:
    if case.may_grow is None:
        return None
    less = Amounts(**{name: min(getattr(case.left, name), 0) for name in NAMES})
    return reason_of(
        "not_complete", f"the export may not have all of it yet: {case.may_grow}", less
    )


KNOWN: Final[tuple[Finder, ...]] = (
    _running, _not_served, _estimated, _unknown_cost, _rounded, _discount, _service_tier,
    _price_changed, _not_complete,
)  # fmt: skip
"""In the order in which they are looked for; each accounts for a part of what is left."""


def move_over_midnight(
    earlier: Case | None, later: Case | None, *, leaves: Amounts, comes_back: Amounts
) -> None:
    """Move what may be counted on the other day from one case to the next.

    Args:
        earlier: A day; None for one that the export does not have, and that may take anything.
        later: The next one, or None.
        leaves: What the ledger has of the first day's last minutes.
        comes_back: What it has of the second day's first minutes.
    """
    if not all(case is None or case.is_open for case in (earlier, later)):
        return
    forward = _between(earlier, later, most=leaves)
    backward = _between(later, earlier, most=comes_back)
    if earlier is not None:
        earlier.left += forward - backward
    if later is not None:
        later.left += backward - forward


def _between(less: Case | None, more: Case | None, *, most: Amounts) -> Amounts:
    """Return how much of what one day's export lacks may be what the other's has too much of."""
    moved = {
        name: min(
            getattr(most, name) if less is None else max(-getattr(less.left, name), 0),
            getattr(most, name) if more is None else max(getattr(more.left, name), 0),
            getattr(most, name),
        )
        for name in NAMES
    }
    return Amounts(**moved)


def midnight_reason(case: Case, moved: Amounts) -> Reason:
    """Return what to say of a day of which something is counted on another.

    Args:
        case: The day.
        moved: What it accounts for.
    """
    near = (case.ledger.first + case.ledger.last).requests
    minutes = f"within {NEAR_SECONDS / 60:.0f} minutes of midnight in UTC"
    what = (
        f"{attempts(near)} left {minutes}"
        if near
        else f"attempts of the day beside it left {minutes}"
    )
    text = f"{what}, and the provider may count them on the other day"
    return reason_of("midnight", text, moved)
