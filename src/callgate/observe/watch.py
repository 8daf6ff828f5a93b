"""The watch: looks at every budget from time to time, and raises or resolves what somebody should know.

Each gate has one, and all of them see the same meters: what one has raised is open for the others
too. How fast a meter rises is the difference of two looks; what was before the first look of a
gate is asked of the attempts, once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from callgate.call import new_id
from callgate.clock import Clock, rfc3339
from callgate.errors import CallgateError
from callgate.money import Money
from callgate.observe.thresholds import (
    BURNS,
    LONG_SECONDS,
    SHORT_SECONDS,
    Crossing,
    burning,
    crossings,
)
from callgate.store import Alert, BudgetRow, Store
from callgate.store.calendar import Calendar, Window
from callgate.store.limits import named, raising
from callgate.store.watched import Facts, Severity

LOOK_SECONDS: Final = 10.0
"""A budget that lasts an hour at the rate of a runaway is told 350 looks before it is spent."""

CALM_SECONDS: Final = 600.0
"""How long a rate must be harmless again before what it raised is over: spending comes in bursts."""

CRITICAL_SHARE: Final = 0.95
ALL: Final = 1.0

WATCHED: Final = frozenset({"share", "run_out", "burn"})
"""The kinds of alerts that a look raises and resolves."""

FINE_SECONDS: Final = LONG_SECONDS + 60.0
"""Looks of so long are all kept, and older ones thinned to one in COARSE_SECONDS."""

COARSE_SECONDS: Final = 300.0
LONGEST_SECONDS: Final = max(long for _, long, _ in BURNS) + COARSE_SECONDS

INSTANTS: Final = sorted(
    {LONG_SECONDS, SHORT_SECONDS, *(each for _, *pair in BURNS for each in pair)}, reverse=True
)
"""How far back a first look asks what was spent, in seconds."""

log = logging.getLogger("callgate")


class Meter:
    """What one scope had spent in one window, at some instants.

    Args:
        looks: When, in seconds since 1970, and how much; the oldest first.
    """

    def __init__(self, looks: Iterable[tuple[float, int]] = ()) -> None:
        self._looks = list(looks)

    def __len__(self) -> int:
        """Return how many looks are kept."""
        return len(self._looks)

    def look(self, now: float, spent: Money) -> None:
        """Note what it says now, and thin what is old."""
        self._looks.append((now, spent.nano))
        kept: list[tuple[float, int]] = []
        for at, nano in self._looks:
            is_fine = at >= now - FINE_SECONDS
            if is_fine or not kept or at - kept[-1][0] >= COARSE_SECONDS:
                kept.append((at, nano))
        self._looks = [each for each in kept if each[0] >= now - LONGEST_SECONDS]

    def spent_in(self, seconds: float, *, now: float, starts_at: float) -> Money:
        """Return what was spent in the last so many seconds, or since the window began."""
        since = max(now - seconds, starts_at)
        before = [nano for at, nano in self._looks if at <= since]
        first = before[-1] if before else 0 if since == starts_at else self._looks[0][1]
        return Money(max(0, self._looks[-1][1] - first))


class Plan(msgspec.Struct, frozen=True):
    """What a look goes by."""

    calendar: Calendar
    """Where windows come from."""
    shares: Sequence[float]
    """Shares of a budget at which somebody is told; all of it is told in any case."""


class Watch:
    """Looks at budgets for one gate.

    Args:
        store: Where they are, and where alerts go.
        clock: What waits between two looks.
        plan: Returns what to look by; asked at every look, as settings change.
    """

    def __init__(self, store: Store, clock: Clock, plan: Callable[[], Plan]) -> None:
        self._store = store
        self._clock = clock
        self._plan = plan
        self._meters: dict[tuple[str, str], Meter] = {}
        self._last_crossed: dict[str, float] = {}

    async def go_on(self) -> None:
        """Look again and again; what goes wrong stops no call, and is tried again."""
        while True:
            try:
                await self.look()
            except CallgateError as error:
                log.warning("budgets could not be looked at: %s", error)
            await self._clock.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Raise what is crossed and was not, and resolve what was and is not any more."""
        now, plan = self._clock.now(), self._plan()
        shares = tuple(sorted({*plan.shares, ALL}))
        windows = tuple(plan.calendar.windows(now).values())
        rows = self._store.budgets(windows, least_share=shares[0])
        crossed = {
            alert.fingerprint: alert for row in rows for alert in self._alerts(row, shares, now)
        }
        opened = [a for a in self._store.alerts(limit=None, only_open=True) if a.kind in WATCHED]
        known = {alert.fingerprint for alert in opened}
        self._last_crossed.update(dict.fromkeys(crossed, now))
        fresh = [alert for name, alert in crossed.items() if name not in known]
        over = self._over([a for a in opened if a.fingerprint not in crossed], windows, now)
        self._forget(windows)
        if fresh:
            for alert in await self._store.raise_alerts(fresh):
                log.warning("alert: %s", alert.message)
        if over:
            for alert in await self._store.resolve_alerts(over, now):
                log.info("alert is over: %s", alert.message)

    def _alerts(self, row: BudgetRow, shares: Sequence[float], now: float) -> Iterable[Alert]:
        window = row.window
        if window is None:
            reached = [each for each in shares if row.spent.nano >= each * row.cap.nano]
            found = [Crossing(kind="share", share=each) for each in reached]
        else:
            found = self._crossed(row, window, shares, now)
        return (_alert(row, crossing, now) for crossing in found)

    def _crossed(
        self, row: BudgetRow, window: Window, shares: Sequence[float], now: float
    ) -> list[Crossing]:
        is_user = row.scope.startswith("user:")
        meter = Meter() if is_user else self._meter(row, window, now)
        meter.look(now, row.spent)

        def spent_in(seconds: float) -> Money:
            return meter.spent_in(seconds, now=now, starts_at=window.starts_at)

        # Users are many, and how fast one of them spends is nobody's alarm.
        nothing = Money()
        found = crossings(
            row.cap,
            row.spent,
            last_long=nothing if is_user else spent_in(LONG_SECONDS),
            last_short=nothing if is_user else spent_in(SHORT_SECONDS),
            now=now,
            resets_at=window.ends_at,
            shares=shares,
        )
        if is_user or window.span != "month":
            return list(found)
        burns = burning(
            row.cap,
            row.spent,
            spent_in=spent_in,
            lasts_seconds=window.ends_at - window.starts_at,
            now=now,
            resets_at=window.ends_at,
        )
        return [*found, burns] if burns is not None else list(found)

    def _meter(self, row: BudgetRow, window: Window, now: float) -> Meter:
        key = (row.scope, window.key)
        if key not in self._meters:
            since = [now - seconds for seconds in INSTANTS if now - seconds > window.starts_at]
            spent = self._store.spent_since(row.scope, since) if since else ()
            self._meters[key] = Meter(
                (at, max(0, row.spent.nano - later.nano))
                for at, later in zip(since, spent, strict=True)
            )
        return self._meters[key]

    def _over(self, opened: Sequence[Alert], windows: Sequence[Window], now: float) -> list[str]:
        """Return what is over: a share at once, a rate when it has been calm for a while."""
        keys = {window.key for window in windows}
        return [
            alert.fingerprint
            for alert in opened
            if alert.kind == "share"
            or alert.facts.get("window") not in keys
            or now - self._last_crossed.setdefault(alert.fingerprint, now) >= CALM_SECONDS
        ]

    def _forget(self, windows: Sequence[Window]) -> None:
        keys = {window.key for window in windows}
        self._meters = {key: meter for key, meter in self._meters.items() if key[1] in keys}


def _alert(row: BudgetRow, crossing: Crossing, now: float) -> Alert:
    window = row.window
    facts: Facts = {
        "cap_nano_usd": row.cap.nano,
        "spent_nano_usd": row.spent.nano,
        "held_nano_usd": row.held.nano,
        "share_percent": round(crossing.share * 100),
        "factor_percent": None if crossing.factor is None else round(crossing.factor * 100),
        "window": None if window is None else window.key,
        "runs_out_at": None if crossing.runs_out_at is None else rfc3339(crossing.runs_out_at),
        "resets_at": None if window is None else rfc3339(window.ends_at),
    }
    return Alert(
        id=new_id("alert"),
        fingerprint=_fingerprint(row, crossing),
        kind=crossing.kind,
        severity=_severity(crossing),
        scope=row.scope,
        rule=row.rule,
        message=_message(row, crossing),
        facts=facts,
        raised_at=now,
    )


def _fingerprint(row: BudgetRow, crossing: Crossing) -> str:
    key = "task" if row.window is None else row.window.key
    which = f" {crossing.share:g}" if crossing.kind == "share" else ""
    return f"{crossing.kind}{which} {row.scope} {key}"


def _severity(crossing: Crossing) -> Severity:
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
        told += f", {crossing.factor:g} times as fast as it lasts"
    if crossing.runs_out_at is not None:
        told += f"; at this rate nothing is left at {rfc3339(crossing.runs_out_at)}"
    if window is not None:
        told += f"; it begins anew at {rfc3339(window.ends_at)}"
    return f"{told}; {raising(row.scope, 'task' if window is None else window.span)} raises it"
