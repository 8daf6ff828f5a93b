"""The watch: looks at every budget from time to time, and raises or resolves what somebody should know.

Each gate has one, and all of them see the same meters: what one has raised is open for the others
too, and judged by its own line. How fast a meter rises is the difference of two looks; what was
before the first look of a gate is asked of the attempts, once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from callgate.clock import Clock
from callgate.errors import CallgateError
from callgate.money import Money
from callgate.observe.budget_alerts import (
    KINDS,
    alert_of,
    fingerprint,
    is_news,
    may_be_over,
    threshold_of,
)
from callgate.observe.rise import Rise
from callgate.observe.thresholds import (
    BURNS,
    LONG_SECONDS,
    SHARE_BACK,
    SHORT_SECONDS,
    Crossing,
    burning,
    running_out,
    shares_crossed,
)
from callgate.store import Alert, BudgetRow, Store
from callgate.store.calendar import Calendar, Span, Window
from callgate.store.limits import kind_of

LOOK_SECONDS: Final = 10.0
"""The fastest runaway that is simulated spends its day in ten minutes, and a budget is looked at sixty
times meanwhile; a look costs a few milliseconds."""

WRITTEN_AT_ONCE: Final = 50
"""Alerts of one write: calls wait for it."""

MOST_LOGGED: Final = 10
"""Lines that a look writes: at the end of a day many users may have spent theirs."""

ALL: Final = 1.0

OF_BURNS: Final = tuple(seconds for _, *pair in BURNS for seconds in pair)

INSTANTS: Final[Mapping[Span, Sequence[float]]] = {
    "hour": (LONG_SECONDS, SHORT_SECONDS),
    "day": (LONG_SECONDS, SHORT_SECONDS),
    "month": sorted({LONG_SECONDS, SHORT_SECONDS, *OF_BURNS}, reverse=True),
}
"""How far back a first look asks what was spent, in seconds."""

Item = TypeVar("Item")

log = logging.getLogger("callgate")


class Plan(msgspec.Struct, frozen=True):
    """What a look goes by."""

    calendar: Calendar
    """Where windows come from."""
    shares: Sequence[float]
    """Shares of a budget at which somebody is told; all of it is told in any case."""


class Found(msgspec.Struct):
    """What a look has found."""

    now: float
    opened: Mapping[str, Alert]
    """What is open already, by its fingerprint."""
    raised: list[tuple[BudgetRow, Crossing]] = msgspec.field(
        default_factory=list[tuple[BudgetRow, Crossing]]
    )
    """What is new, or told anew."""
    lasting: set[str] = msgspec.field(default_factory=set[str])
    """The fingerprints of what is not over."""

    def note(self, row: BudgetRow, begun: Sequence[Crossing], lasting: Iterable[Crossing]) -> None:
        """Note what is crossed of a budget.

        Args:
            row: The budget.
            begun: What has somebody told, the most urgent last.
            lasting: What is not over, if it is open.
        """
        for crossing in lasting:
            name = fingerprint(row, crossing)
            known = self.opened.get(name)
            if known is not None:
                self.lasting.add(name)
                if is_news(known, row):
                    self.raised.append((row, crossing))
        # Of several that are new at once, one says enough.
        if begun and fingerprint(row, begun[-1]) not in self.opened:
            self.raised.append((row, begun[-1]))


class Rated(msgspec.Struct, frozen=True):
    """A budget, and how fast it is spent."""

    row: BudgetRow
    window: Window
    rise: Rise
    now: float

    def running_out(self, *, lasting: bool) -> list[Crossing]:
        """Return whether it is spent soon."""
        found = running_out(
            self.row.cap,
            self.row.spent,
            last_long=self.rise.spent_in(LONG_SECONDS),
            last_short=self.rise.spent_in(SHORT_SECONDS),
            now=self.now,
            resets_at=self.window.ends_at,
            lasting=lasting,
        )
        return [] if found is None else [found]

    def burning(self, *, lasting: bool) -> list[Crossing]:
        """Return how much too fast it is spent, the fastest first."""
        return burning(
            self.row.cap,
            self.row.spent,
            spent_in=self.rise.spent_in,
            lasts_seconds=self.window.ends_at - self.window.starts_at,
            now=self.now,
            resets_at=self.window.ends_at,
            lasting=lasting,
        )


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
        self._rises: dict[tuple[str, Span], Rise] = {}
        self._looks = False
        """Whether it has not come to the end of a look."""

    async def go_on(self) -> None:
        """Look again and again; what goes wrong stops no call, and is tried again."""
        while True:
            await self.look_safely()
            await self._clock.sleep(LOOK_SECONDS)

    async def look_safely(self) -> None:
        """Look once, and log what goes wrong."""
        self._looks = True
        try:
            await self.look()
        except CallgateError as error:
            log.warning("budgets could not be looked at: %s", error)
        except Exception:
            log.exception("budgets could not be looked at; they are looked at again")
        self._looks = False

    async def end(self) -> None:
        """Look a last time, at what a short run has spent; nobody waits for a look that takes long."""
        if not self._looks:
            await self.look_safely()

    async def look(self) -> None:
        """Raise what is crossed and was not, and resolve what was and is not any more."""
        now, plan = self._clock.now(), self._plan()
        windows = tuple(plan.calendar.windows(now).values())
        alerts = await self._store.open_alerts()
        opened = {alert.fingerprint: alert for alert in alerts if alert.kind in KINDS}
        # Another gate may have other lines: what it has raised is judged by those.
        shares = {*plan.shares, ALL}
        theirs = {line for each in opened.values() if (line := threshold_of(each)) is not None}
        rows = await self._store.budgets(windows, least_share=min(shares | theirs) - SHARE_BACK)
        await self._measure(rows, now)
        found = Found(now, opened)
        for row in rows:
            lasting = shares_crossed(row.cap, row.spent, (*shares, *theirs), lasting=True)
            found.note(row, shares_crossed(row.cap, row.spent, tuple(shares)), lasting)
            if row.window is not None:
                self._note_rates(row, row.window, found)
        await self._write(found, windows)

    def _note_rates(self, row: BudgetRow, window: Window, found: Found) -> None:
        rise = self._rises.get((row.scope, window.span))
        if rise is None:
            return
        rated = Rated(row, window, rise, found.now)
        found.note(row, rated.running_out(lasting=False), rated.running_out(lasting=True))
        if window.span == "month":
            found.note(row, rated.burning(lasting=False)[::-1], rated.burning(lasting=True))

    async def _measure(self, rows: Sequence[BudgetRow], now: float) -> None:
        """Look at the meters of budgets whose rate is told; ask once what was before."""
        measured: dict[tuple[str, Span], tuple[Window, Money]] = {
            (row.scope, row.window.span): (row.window, row.spent)
            for row in rows
            # Users are many, and how fast one of them spends is no alarm.
            if row.window is not None and not row.is_everyones
        }
        # What nobody has a budget for any more is forgotten.
        rises = {key: rise for key, rise in self._rises.items() if key in measured}
        before = await self._before(measured.keys() - rises.keys(), now)
        for key, (window, spent) in measured.items():
            if key in rises:
                rises[key].look(window.key, spent, now=now)
            else:
                rises[key] = Rise(window.key, spent, before.get(key, ()), now=now)
        self._rises = rises

    async def _before(
        self, unknown: Iterable[tuple[str, Span]], now: float
    ) -> Mapping[tuple[str, Span], Iterable[tuple[float, Money]]]:
        """Return what scopes have spent since some instants: one question for each kind of scope."""
        by_kind: dict[tuple[str, Span], list[str]] = {}
        for scope, span in unknown:
            by_kind.setdefault((kind_of(scope), span), []).append(scope)
        before: dict[tuple[str, Span], Iterable[tuple[float, Money]]] = {}
        for (kind, span), scopes in by_kind.items():
            instants = [now - seconds for seconds in INSTANTS[span]]
            spent = await self._store.spent_by_scope(kind, instants)
            for scope in scopes:
                if scope in spent:
                    before[scope, span] = tuple(zip(instants, spent[scope], strict=True))
        return before

    async def _write(self, found: Found, windows: Sequence[Window]) -> None:
        new: list[Alert] = []
        for pairs in _pieces(found.raised):
            alerts = [alert_of(row, crossing, now=found.now) for row, crossing in pairs]
            new += await self._store.raise_alerts(alerts)
        over = [
            name
            for name, alert in found.opened.items()
            if name not in found.lasting and may_be_over(alert, windows, now=found.now)
        ]
        ended = [
            alert
            for names in _pieces(over)
            for alert in await self._store.resolve_alerts(names, found.now)
        ]
        _log(logging.WARNING, "alert", new)
        _log(logging.INFO, "alert is over", ended)


def _pieces(items: Sequence[Item]) -> Iterable[Sequence[Item]]:
    return (items[n : n + WRITTEN_AT_ONCE] for n in range(0, len(items), WRITTEN_AT_ONCE))


def _log(level: int, what: str, alerts: Sequence[Alert]) -> None:
    for alert in alerts[:MOST_LOGGED]:
        log.log(level, "%s (%s): %s", what, alert.severity, alert.message)
    if len(alerts) > MOST_LOGGED:
        more = len(alerts) - MOST_LOGGED
        log.log(level, "%s: %d more; callgate alerts --all lists them", what, more)
