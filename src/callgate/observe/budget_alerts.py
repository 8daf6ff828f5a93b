"""What an alert of a budget says, and by what it is known again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from callgate.call import new_id
from callgate.clock import rfc3339
from callgate.observe.thresholds import BURNS, Crossing
from callgate.store import Alert, BudgetRow
from callgate.store.calendar import Window
from callgate.store.limits import named, raising
from callgate.store.watched import Severity

KINDS: Final = frozenset({"share", "run_out", "burn"})
"""The kinds of alerts that a look at the budgets raises and resolves."""

CRITICAL_SHARE: Final = 0.95


def fingerprint(row: BudgetRow, crossing: Crossing) -> str:
    """Return what an alert is about: one threshold of one budget in one window."""
    key = "task" if row.window is None else row.window.key
    line = {"share": crossing.share, "run_out": "soon", "burn": crossing.factor}[crossing.kind]
    return f"{crossing.kind} {line} {row.scope} {key}"


def threshold_of(alert: Alert) -> float | None:
    """Return the share of a budget that an alert is about; None for one about a rate."""
    return float(alert.fingerprint.split(" ", 2)[1]) if alert.kind == "share" else None


def alert_of(row: BudgetRow, crossing: Crossing, *, now: float) -> Alert:
    """Return the alert of a threshold that is crossed."""
    window = row.window
    return Alert(
        id=new_id("alert"),
        fingerprint=fingerprint(row, crossing),
        kind=crossing.kind,
        severity=_severity(crossing),
        scope=row.scope,
        rule=row.rule,
        message=_message(row, crossing),
        facts={
            "cap_nano_usd": row.cap.nano,
            "spent_nano_usd": row.spent.nano,
            "held_nano_usd": row.held.nano,
            "spent_percent": _percent(row),
            "threshold_percent": round(crossing.share * 100) if crossing.kind == "share" else None,
            "factor_percent": None if crossing.factor is None else round(crossing.factor * 100),
            "window": None if window is None else window.key,
            "runs_out_at": None if crossing.runs_out_at is None else rfc3339(crossing.runs_out_at),
            "resets_at": None if window is None else rfc3339(window.ends_at),
        },
        raised_at=now,
    )


def is_news(alert: Alert, row: BudgetRow) -> bool:
    """Return whether an open alert is to be told anew: its budget is another, or a percent is spent."""
    facts = alert.facts
    return (facts["cap_nano_usd"], facts["spent_percent"]) != (row.cap.nano, _percent(row))


def may_be_over(alert: Alert, windows: Sequence[Window], *, now: float) -> bool:
    """Return whether a gate can tell that an alert is over, which its budgets do not show any more.

    Args:
        alert: It is open.
        windows: Those that the gate looks at; a gate of another time zone has others.
        now: Seconds since 1970.
    """
    key, resets_at = alert.facts["window"], alert.facts["resets_at"]
    is_seen = key is None or key in {window.key for window in windows}
    return is_seen or str(resets_at) <= rfc3339(now)


def _percent(row: BudgetRow) -> int:
    return row.spent.nano * 100 // row.cap.nano


def _severity(crossing: Crossing) -> Severity:
    """Return how urgent it is: the slowest burn leaves days, as the lower shares leave room."""
    if crossing.kind == "share":
        return "critical" if crossing.share >= CRITICAL_SHARE else "warning"
    return "warning" if crossing.factor == BURNS[-1][0] else "critical"


def _message(row: BudgetRow, crossing: Crossing) -> str:
    window = row.window
    who = row.scope.replace(":", " ", 1) if window is None else named(row.scope)
    span = "" if window is None else f" of this {window.span}"
    told = f"{who} has spent {row.spent} of the {row.cap}{span} ({row.rule})"
    if crossing.kind == "share":
        told += f", which is {crossing.share:.0%} or more"
    if crossing.factor is not None:
        told += f", lately {crossing.factor:g} times as fast as it lasts or faster"
    if crossing.runs_out_at is not None:
        told += f"; at this rate nothing is left at {rfc3339(crossing.runs_out_at)}"
    if window is not None:
        told += f"; it begins anew at {rfc3339(window.ends_at)}"
    return f"{told}; {raising(row.scope, 'task' if window is None else window.span)} raises it"
