"""What may be wrong where no reason accounts for a difference: somebody must look."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from callgate.observe.difference import Case, Reason, counted, reason_of, usd
from callgate.observe.implied import by_bucket, times_as_much, what_to_write
from callgate.observe.sides import NOTHING, TOKENS

MOST_OWNERS: Final = 3
"""How many keys are named."""


def suspicions(case: Case) -> Iterator[Reason]:
    """Yield what may be the reason of what is left, each of which leaves it open."""
    found = [reason for find in OPEN if (reason := find(case)) is not None]
    yield from found or [reason_of("unexplained", "nothing in the export or the ledger tells why")]


def _batch(case: Case) -> Reason | None:
    batch = case.export.batch
    if batch == NOTHING or case.left.tokens <= 0:
        return None
    text = f"{batch.tokens:,} tokens were used in batches, which do not pass this gate: it never sends one"
    return reason_of("batch", text)


def _not_in_ledger(case: Case) -> Reason | None:
    """Tell of traffic that passed the gate by."""
    left = case.left.of(case.told)
    if left.tokens <= 0 and not (left.requests > 0 and case.has("requests")):
        return None if "input_tokens" in case.told else _charged_only(case)
    what = [f"{left.tokens:,} tokens"] if left.tokens > 0 else []
    what += [counted(left.requests, "request")] if left.requests > 0 else []
    worth = left.cost_nano if left.cost_nano > 0 else case.worth(left)
    about = f", about {usd(worth)}," if worth else ""
    text = f"{' and '.join(what)}{about} are in the export and not in the ledger: they did not pass this gate"
    return reason_of("not_in_ledger", text + _whose(case))


def _charged_only(case: Case) -> Reason | None:
    """Tell the same where the export has costs alone, and the ledger nothing."""
    if case.ledger.amounts.requests or case.left.cost_nano <= 0 or case.export.fees:
        return None
    text = f"{usd(case.left.cost_nano)} was charged, and the ledger has nothing: it did not pass this gate"
    return reason_of("not_in_ledger", text + _whose(case))


def _whose(case: Case) -> str:
    """Return whose key it may be, as far as the export tells."""
    names = TOKENS if "input_tokens" in case.told else ("cost_nano",)
    owners = sorted(
        case.export.by_owner.items(), key=lambda each: (-each[1].tokens, -each[1].cost_nano)
    )
    if not owners:
        return "; group the export by key to see whose it is"
    just = [
        owner
        for owner, told in owners
        if all(
            case.tolerance.passes(getattr(told - case.left, name), getattr(told, name))
            for name in names
        )
    ]
    if len(just) == 1:
        return f"; it is just what the export has for {just[0]}"
    shown = ", ".join(
        f"{owner} ({told.tokens:,} tokens)" if told.tokens else f"{owner} ({usd(told.cost_nano)})"
        for owner, told in owners[:MOST_OWNERS]
    )
    more = " and others" if len(owners) > MOST_OWNERS else ""
    return f"; that day the export has {shown}{more}"


def _not_in_export(case: Case) -> Reason | None:
    left = case.left
    if left.tokens >= 0 and not (left.cost_nano < 0 and case.export.amounts == NOTHING):
        return None
    names = ", ".join(sorted(case.ledger.names))
    if case.relatives:
        text = (
            f"the export has no {names} on this day, but {' and '.join(case.relatives)}: those that the"
            " ledger knows by no snapshot's name may be any of these"
        )
    elif case.export.amounts == NOTHING:
        text = (
            f"the export has no {names} on this day: is it of another organization, or filtered by key"
            " or project?"
        )
    else:
        text = (
            f"{-left.tokens:,} tokens are in the ledger and not in the export: is it filtered by key or"
            " project, or taken before the day was over?"
        )
    return reason_of("not_in_export", text)


def _other_price(case: Case) -> Reason | None:
    charged, times = case.export.amounts.cost_nano, times_as_much(case)
    if case.has_tokens or not case.has("cost_nano") or times is None:
        return None
    booked = charged - case.left.cost_nano
    same = (
        "the tokens agree and the cost does not"
        if "input_tokens" in case.told
        else "the cost differs"
    )
    tiers = " and ".join(sorted(case.export.by_tier))
    served = f", part of it at the service tier {tiers}" if tiers else ""
    text = (
        f"{same}: {usd(charged)} was charged and {usd(booked)} booked, {times:.3f} times as much"
        f"{by_bucket(case)}{served}; if that is a discount or a contract, write what you pay:"
        f" {what_to_write(case)}"
    )
    return reason_of("other_price", text)


def _fee(case: Case) -> Reason | None:
    if not case.export.fees:
        return None
    fees = ", ".join(sorted(case.export.fees))
    text = f"{usd(case.export.amounts.cost_nano)} was charged for {fees}, which is not counted in tokens"
    return reason_of("fee", text)


OPEN: Final[tuple[Callable[[Case], Reason | None], ...]] = (
    _batch,
    _not_in_ledger,
    _not_in_export,
    _other_price,
    _fee,
)
"""What may be the reason of all that is left, and needs somebody to look."""
