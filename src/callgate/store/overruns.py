"""Bills above their reservation: they are paid in full, and raise that model's bound from then on.

By how much is a row, written with the settlement that tells it: every gate of the store holds more
by its next admission, and after any restart. Where a count was held, that may have been too low and
no price wrong, so it raises what is held for counts, and leaves proven bounds as they are.
"""

from __future__ import annotations

from shlex import quote
from typing import Final

import msgspec

from callgate.call import COUNTED, Candidate, new_id
from callgate.errors import Refused
from callgate.money import Money
from callgate.store import Bill, Grant, Intent, Settlement, alerts
from callgate.store.reservation import Level, reserve
from callgate.store.rulebook import change
from callgate.store.sql import Cursor
from callgate.store.watched import Alert, Overrun, Raised

ONE: Final = 1_000
"""Factors are whole thousandths, so that a raised bound is exact too."""

LARGEST: Final = 10**18
"""More thousandths than any budget could pay for; they fit into 64 bits."""

WHO: Final = "SELECT provider, model FROM attempts WHERE id = ?"

KNOWN: Final = "SELECT thousandths FROM overruns WHERE provider = ? AND model = ? AND counted = ?"

LEARN: Final = """
    INSERT INTO overruns VALUES (?, ?, ?, ?)
    ON CONFLICT (provider, model, counted) DO UPDATE SET thousandths = excluded.thousandths
"""

ALL: Final = """
    SELECT provider, model, thousandths, counted FROM overruns ORDER BY provider, model, counted
"""

FORGET: Final = "DELETE FROM overruns WHERE provider = ? AND model = ?"


def raised(bill: Bill, thousandths: int) -> Bill:
    """Return a bill multiplied by thousandths, rounded up."""
    return msgspec.structs.replace(
        bill,
        input_femto=-(-bill.input_femto * thousandths // ONE),
        output_femto=-(-bill.output_femto * thousandths // ONE),
    )


def reserve_raised(intent: Intent, levels: tuple[Level, ...], /, *, thousandths: int) -> Grant:
    """Return what to hold for an attempt whose bound was too low before.

    Args:
        intent: The attempt.
        levels: Every budget that it draws from.
        thousandths: By how many its bill is multiplied.

    Raises:
        Refused: It does not fit; the refusal says that more is held than usual, and why.
    """
    bill = intent.bill
    if bill is None:
        return reserve(None, levels, candidate=intent.candidate)
    try:
        grant = reserve(raised(bill, thousandths), levels, candidate=intent.candidate)
    except Refused as refused:
        raise _explained(refused, intent, thousandths) from None
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
        settlement: How the attempt ended.
        told: What it surely cost, as far as that can be believed; an estimate tells nothing of the
            bound.
        reserved: What was held, in nano-dollars.
        thousandths: By how many the bound had been multiplied already, if it was. Of many calls that
            ran together each tells the same again: the factor does not grow with their number.
    """
    if reserved is None or told is None or told.nano <= reserved:
        return None
    provider, model = cursor.execute(WHO, (settlement.attempt_id,)).fetchone()
    candidate, counted = Candidate(provider=provider, model=model), COUNTED in settlement.changes
    needed = _needed(told.nano, reserved, thousandths or ONE)
    by = _learn(cursor, (provider, model, int(counted)), needed)
    overrun = Overrun(
        attempt_id=settlement.attempt_id,
        candidate=candidate,
        billed=told,
        reserved=Money(reserved),
        thousandths=by,
        told=f"{candidate.name} cost {told} where at most {Money(reserved)} was expected: "
        f"{_held(by, counted=counted)}; {_fix(candidate, counted=counted)}",
    )
    alerts.raise_all(cursor, [_alert(overrun, settlement.ended_at, counted=counted)])
    return overrun


def _needed(billed: int, reserved: int, thousandths: int) -> int | None:
    """Return what would have covered a bill; None where nothing was held."""
    return min(LARGEST, -(-billed * thousandths // reserved)) if reserved else None


def _learn(cursor: Cursor, who: tuple[str, str, int], needed: int | None) -> int | None:
    """Raise what is held for a model, if it is less; return by how many thousandths it is."""
    found = cursor.execute(KNOWN, who).fetchone()
    known: int | None = None if found is None else found[0]
    if needed is None or (known is not None and known >= needed):
        return known
    cursor.execute(LEARN, (*who, needed))
    change(cursor)
    return needed


def forget(cursor: Cursor, forgotten: tuple[Candidate, float]) -> bool:
    """Let a model's own bound hold again, and resolve its alerts; False if it did hold."""
    candidate, now = forgotten
    about = [_fingerprint(candidate, counted=counted) for counted in (False, True)]
    alerts.resolve_all(cursor, (about, now))
    if not cursor.execute(FORGET, (candidate.provider, candidate.model)).rowcount:
        return False
    change(cursor)
    return True


def read_all(cursor: Cursor) -> list[Raised]:
    """Return which bounds and counts are multiplied, by model."""
    return [
        Raised(
            candidate=Candidate(provider=provider, model=model),
            thousandths=thousandths,
            counted=bool(counted),
        )
        for provider, model, thousandths, counted in cursor.execute(ALL).fetchall()
    ]


def told_of(raised: Raised) -> str:
    """Return how much of a model is held besides its bound, in words."""
    what = "its count where its tokens are counted" if raised.counted else "its bound"
    return f"{raised.thousandths / ONE:.3f} times {what}"


def forgetting(candidate: Candidate) -> str:
    """Return the command that lets a model's own bound hold again."""
    return f"callgate ledger forget-overrun {quote(candidate.name)}"


def _fingerprint(candidate: Candidate, *, counted: bool) -> str:
    return f"overrun {candidate.name}{' counted' if counted else ''}"


def _held(thousandths: int | None, *, counted: bool) -> str:
    """Return what is held from now on."""
    if thousandths is None:
        return "nothing was held for it, so that nothing can be multiplied"
    what = "where its tokens are counted" if counted else "for it"
    return f"from now on {thousandths / ONE:.3f} times as much is held {what}"


def _fix(candidate: Candidate, *, counted: bool) -> str:
    """Return what somebody can do about it."""
    forget = forgetting(candidate)
    if counted:
        return (
            'bound = "proven" under [tasks.TYPE] in callgate.toml takes no counts; '
            f"{forget} holds no more than is counted again"
        )
    return f'correct what you pay under [prices."{candidate.name}"] in callgate.toml, then {forget}'


def _alert(overrun: Overrun, at: float, *, counted: bool) -> Alert:
    name, thousandths = overrun.candidate.name, overrun.thousandths
    return Alert(
        id=new_id("alert"),
        fingerprint=_fingerprint(overrun.candidate, counted=counted),
        kind="overrun",
        severity="warning",
        scope=f"model:{name}",
        rule=None if counted else f"prices.{name}",
        message=overrun.told,
        facts={
            "attempt_id": overrun.attempt_id,
            "billed_nano_usd": overrun.billed.nano,
            "reserved_nano_usd": overrun.reserved.nano,
            "factor_thousandths": thousandths,
            "bound": "counted" if counted else "proven",
        },
        raised_at=at,
    )


def _explained(refused: Refused, intent: Intent, thousandths: int) -> Refused:
    """Return a refusal that tells why so much would have been held."""
    candidate, counted = intent.candidate, COUNTED in intent.changes
    what, when = ("count", "") if counted else ("bound", ", once its price is right")
    why = f"{thousandths / ONE:.3f} times its {what} is held for {candidate.name}, as a bill was above it"
    fix = f"{forgetting(candidate)} holds its own {what} again{when}"
    reason = msgspec.structs.replace(refused.reason, fix=f"{refused.reason.fix}, or {fix}")
    return type(refused)(f"{refused.message}; {why}: {fix}", reason=reason)
