"""Bills above their reservation: they are paid in full, and raise that model's bound from then on.

By how much is a row, written with the settlement that tells it: every gate of the store holds more
by its next admission, and after any restart.
"""

from __future__ import annotations

from shlex import quote
from typing import Final

import msgspec

from callgate.call import Candidate, new_id
from callgate.errors import Refused
from callgate.money import Money
from callgate.store import Bill, Grant, Settlement, alerts
from callgate.store.reservation import Level, reserve
from callgate.store.rulebook import change
from callgate.store.sql import Cursor
from callgate.store.watched import Alert, Overrun

ONE: Final = 1_000
"""Factors are whole thousandths, so that a raised bound is exact too."""

LARGEST: Final = 10**18
"""More thousandths than any budget could pay for; they fit into 64 bits."""

WHO: Final = "SELECT provider, model FROM attempts WHERE id = ?"

KNOWN: Final = "SELECT thousandths FROM overruns WHERE provider = ? AND model = ?"

LEARN: Final = """
    INSERT INTO overruns VALUES (?, ?, ?)
    ON CONFLICT (provider, model) DO UPDATE SET thousandths = excluded.thousandths
"""

ALL: Final = "SELECT provider, model, thousandths FROM overruns ORDER BY provider, model"

FORGET: Final = "DELETE FROM overruns WHERE provider = ? AND model = ?"


def raised(bill: Bill, thousandths: int) -> Bill:
    """Return a bill multiplied by thousandths, rounded up."""
    return msgspec.structs.replace(
        bill,
        input_femto=-(-bill.input_femto * thousandths // ONE),
        output_femto=-(-bill.output_femto * thousandths // ONE),
    )


def reserve_raised(
    bill: Bill | None, levels: tuple[Level, ...], /, *, candidate: Candidate, thousandths: int
) -> Grant:
    """Return what to hold for an attempt whose bound was too low before.

    Args:
        bill: The most that it can cost by its own bound; None where that is unknown.
        levels: Every budget that it draws from.
        candidate: Who would serve.
        thousandths: By how many the bill is multiplied.

    Raises:
        Refused: It does not fit; the refusal says that more is held than usual, and why.
    """
    if bill is None:
        return reserve(None, levels, candidate=candidate)
    try:
        grant = reserve(raised(bill, thousandths), levels, candidate=candidate)
    except Refused as refused:
        raise _explained(refused, candidate, thousandths) from None
    return msgspec.structs.replace(grant, raised_thousandths=thousandths)


def note(
    cursor: Cursor,
    settlement: Settlement,
    *,
    told: Money | None,
    reserved: int | None,
    thousandths: int | None,
) -> Overrun | None:
    """Look whether a bill is above its reservation; if so raise its model's bound, and an alert.

    Args:
        cursor: Inside the transaction that settles it.
        settlement: How the attempt ended; an estimate tells nothing of the bound.
        told: What it did cost, as far as that can be believed.
        reserved: What was held, in nano-dollars.
        thousandths: By how many the bound had been multiplied already, if it was. Of many calls that
            ran together each tells the same again: the factor does not grow with their number.
    """
    if reserved is None or told is None or told.nano <= reserved or settlement.estimated:
        return None
    provider, model = cursor.execute(WHO, (settlement.attempt_id,)).fetchone()
    candidate = Candidate(provider=provider, model=model)
    by = _learn(
        cursor, candidate, billed=told.nano, reserved=reserved, thousandths=thousandths or ONE
    )
    overrun = Overrun(
        attempt_id=settlement.attempt_id,
        candidate=candidate,
        billed=told,
        reserved=Money(reserved),
        thousandths=by,
        told=_told(candidate, told, Money(reserved), by),
    )
    alerts.raise_all(cursor, [_alert(overrun, settlement.ended_at)])
    return overrun


def _learn(
    cursor: Cursor, candidate: Candidate, *, billed: int, reserved: int, thousandths: int
) -> int | None:
    """Raise a model's bound so that it would have covered a bill; return by how much it is."""
    who = (candidate.provider, candidate.model)
    found = cursor.execute(KNOWN, who).fetchone()
    known: int | None = None if found is None else found[0]
    if reserved == 0:
        return known
    needed = min(LARGEST, -(-billed * thousandths // reserved))
    if known is not None and known >= needed:
        return known
    cursor.execute(LEARN, (*who, needed))
    change(cursor)
    return needed


def forget(cursor: Cursor, forgotten: tuple[Candidate, float]) -> bool:
    """Let a model's own bound hold again, and resolve its alert; False if it did hold."""
    candidate, now = forgotten
    alerts.resolve_all(cursor, ([_fingerprint(candidate)], now))
    if not cursor.execute(FORGET, (candidate.provider, candidate.model)).rowcount:
        return False
    change(cursor)
    return True


def read_all(cursor: Cursor) -> dict[Candidate, int]:
    """Return by how many thousandths bounds are multiplied."""
    return {
        Candidate(provider=provider, model=model): thousandths
        for provider, model, thousandths in cursor.execute(ALL).fetchall()
    }


def forgetting(candidate: Candidate) -> str:
    """Return the command that lets a model's own bound hold again."""
    return f"callgate ledger forget-overrun {quote(candidate.name)}"


def _fingerprint(candidate: Candidate) -> str:
    return f"overrun {candidate.name}"


def _told(candidate: Candidate, billed: Money, reserved: Money, thousandths: int | None) -> str:
    held = (
        "nothing was held for it, so that nothing can be multiplied"
        if thousandths is None
        else f"from now on {thousandths / ONE:.3f} times as much is held for it"
    )
    return (
        f"{candidate.name} cost {billed} where at most {reserved} was expected: {held}; correct what "
        f'you pay under [prices."{candidate.name}"] in callgate.toml, then {forgetting(candidate)}'
    )


def _alert(overrun: Overrun, at: float) -> Alert:
    name, thousandths = overrun.candidate.name, overrun.thousandths
    return Alert(
        id=new_id("alert"),
        fingerprint=_fingerprint(overrun.candidate),
        kind="overrun",
        severity="warning",
        scope=f"model:{name}",
        rule=f"prices.{name}",
        message=overrun.told,
        facts={
            "attempt_id": overrun.attempt_id,
            "billed_nano_usd": overrun.billed.nano,
            "reserved_nano_usd": overrun.reserved.nano,
            "factor_thousandths": thousandths,
        },
        raised_at=at,
    )


def _explained(refused: Refused, candidate: Candidate, thousandths: int) -> Refused:
    """Return a refusal that tells why so much would have been held."""
    why = f"{thousandths / ONE:.3f} times its bound is held for {candidate.name}, as a bill was above it"
    fix = f"{forgetting(candidate)} holds its own bound again, once its price is right"
    reason = msgspec.structs.replace(refused.reason, fix=f"{refused.reason.fix}, or {fix}")
    return type(refused)(f"{refused.message}; {why}: {fix}", reason=reason)
