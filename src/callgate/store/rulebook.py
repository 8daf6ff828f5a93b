"""What an attempt is held to: its limits, sorted by who judges them, and where it is booked.

All of it follows from rows that rarely change, so it is kept from one attempt to the next: as long
as the store's ``edition`` is the same, and no window and no override ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from secrets import randbelow
from typing import Final

import msgspec

from callgate.call import COUNTED
from callgate.store import Intent
from callgate.store.calendar import Window
from callgate.store.limits import (
    BUDGETS,
    BY_ATTEMPT,
    CIRCLES,
    RATES,
    SPANS_OF,
    TOKENS,
    Limit,
    Limits,
    Standing,
    kind_of,
    named,
    raising,
    scopes_of,
)
from callgate.store.reservation import Budget
from callgate.store.rows import LIMIT_COLUMNS, limit_of, maybe_micros, micros
from callgate.store.sql import Cursor

OVERRUNS: Final = "SELECT provider, model, counted, thousandths FROM overruns"
LIMITS: Final = f"SELECT {LIMIT_COLUMNS} FROM limits"
WINDOWS: Final = 'SELECT kind, "window", starts_at, ends_at FROM windows'

# Not a number that counts up: one that is rolled back would come again, for another change.
CHANGE: Final = "UPDATE limits_state SET edition = ?"

LARGEST_EDITION: Final = 2**62

MOST_KEPT: Final = 4096
"""Combinations of agent, task type, user and provider whose terms are kept."""


def change(cursor: Cursor) -> None:
    """Have every gate read the rulebook again."""
    cursor.execute(CHANGE, (randbelow(LARGEST_EDITION),))


class Begun(msgspec.Struct, frozen=True):
    """A window in which every scope of a kind has a meter."""

    kind: str
    key: str
    starts_at: int
    """Microseconds since 1970, as all times here."""
    ends_at: int


class Place(msgspec.Struct, frozen=True):
    """One meter, and so a row of the ledger, that an attempt is booked in."""

    scope: str
    window: Begun
    counts_attempts: bool


class Metered(msgspec.Struct, frozen=True):
    """A meter that limits are held against."""

    place: int
    """Which of the places it is."""
    scope: str
    window: Window
    budgets: tuple[Budget, ...]
    days: tuple[Limit, ...]
    """Limits of calls in it."""


class Rated(msgspec.Struct, frozen=True):
    """A scope whose calls tick, and the rates that hold for it, if any."""

    scope: str
    keep: int
    """How many ticks must be there."""
    limits: tuple[Limit, ...]
    backs: tuple[int, ...]
    """For each of them, how far before the newest tick the one stands that it looks back on."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that attempts of some scopes are held to, in some windows."""

    windows: tuple[Window, ...]
    """The hour, the day and the month."""
    since: float
    """The first instant that it holds for."""
    until: float
    """The first instant that it does not hold for any more."""
    circles: tuple[Limit, ...]
    slots: tuple[Standing, ...]
    tokens: tuple[Standing, ...]
    rated: tuple[Rated, ...]
    metered: tuple[Metered, ...]
    places: tuple[Place, ...]
    missing: Mapping[tuple[str, str], Window]
    """By kind and key: the windows that must be begun first, and nothing else is known until then."""


class Rulebook:
    """The limits of all scopes and the windows that are begun, as one transaction found them.

    Args:
        limits: Every row of limits.
        begun: Every window.
        overruns: Providers and models whose bound is multiplied, or whose counts if that is not 0,
            and by how many thousandths.
    """

    def __init__(
        self,
        limits: Iterable[Limit],
        begun: Iterable[Begun],
        overruns: Iterable[tuple[str, str, int, int]] = (),
    ) -> None:
        rows = list(limits)
        self._limits = Limits(rows)
        self._begun = list(begun)
        self._turns = [
            *(at for row in rows if (at := maybe_micros(row.until)) is not None),
            *(at for each in self._begun for at in (each.starts_at, each.ends_at)),
        ]
        """When something ends or begins."""
        self._terms: dict[tuple[str, ...], Terms] = {}
        self._raised = {(*who, bool(counted)): by for *who, counted, by in overruns}

    def raised_thousandths(self, intent: Intent) -> int | None:
        """Return by how many thousandths an attempt's bill is multiplied, if it is.

        A wrong price raises whatever stands on it; a count that was too low raises counts only.
        """
        if not self._raised:
            return None
        provider, model = intent.candidate.provider, intent.candidate.model
        proven = self._raised.get((provider, model, False))
        if COUNTED not in intent.changes:
            return proven
        return max(proven or 0, self._raised.get((provider, model, True), 0)) or None

    def terms(self, intent: Intent) -> Terms:
        """Return what an attempt is held to."""
        task = intent.task
        scopes = scopes_of(
            agent=task.agent,
            task_type=task.type,
            user=task.user,
            provider=intent.candidate.provider,
            tool=intent.target if intent.kind == "tool" else None,
        )
        at = micros(intent.sent_at)
        known = self._terms.get(scopes)
        if known is None or not known.since <= at < known.until or known.windows != intent.windows:
            if len(self._terms) >= MOST_KEPT:
                self._terms.clear()
            known = self._terms[scopes] = self._find_terms(scopes, intent)
        return known

    def _find_terms(self, scopes: Sequence[str], intent: Intent) -> Terms:
        at = micros(intent.sent_at)
        standing = self._limits.of(scopes, now=intent.sent_at)
        begun = [each for each in self._begun if each.starts_at <= at < each.ends_at]
        by_kind = {kind_of(scope): scope for scope in scopes}
        places = [
            Place(by_kind[each.kind], each, each.kind in BY_ATTEMPT)
            for each in begun
            if each.kind in by_kind
        ]
        needed = _needed(standing, intent.windows)
        known = {(each.kind, each.key) for each in begun}
        missing = {
            (kind_of(scope), window.key): window
            for scope, window in needed
            if (kind_of(scope), window.key) not in known
        }
        turns = [*self._turns, *_turns_of(intent.windows)]
        return Terms(
            windows=intent.windows,
            since=max((turn for turn in turns if turn <= at), default=at),
            until=min((turn for turn in turns if turn > at), default=at + 1),
            circles=tuple(each.limit for each in standing if each.limit.name in CIRCLES),
            slots=tuple(each for each in standing if each.limit.name == "concurrency"),
            tokens=tuple(each for each in standing if each.limit.name == TOKENS),
            rated=tuple(self._rated(scopes, standing)),
            metered=() if missing else tuple(_metered(needed, places)),
            places=tuple(places),
            missing=missing,
        )

    def _rated(self, scopes: Sequence[str], standing: Sequence[Standing]) -> Iterable[Rated]:
        for scope in scopes:
            keep = self._limits.ticks.get(kind_of(scope))
            if keep is not None:
                rates = (each for each in standing if each.limit.name in RATES)
                limits = tuple(each.limit for each in rates if each.scope == scope)
                yield Rated(scope, keep, limits, tuple(each.value - 1 for each in limits))


Needed = Mapping[tuple[str, Window], Sequence[Limit]]
"""By scope and window: the limits that are counted in it."""


def read(cursor: Cursor) -> Rulebook:
    """Return the limits, the windows and the raised bounds of this transaction."""
    limits = cursor.execute(LIMITS).fetchall()
    windows = cursor.execute(WINDOWS).fetchall()
    overruns = cursor.execute(OVERRUNS).fetchall()
    return Rulebook(map(limit_of, limits), (Begun(*row) for row in windows), overruns)


def _needed(standing: Iterable[Standing], windows: Iterable[Window]) -> Needed:
    by_span = {window.span: window for window in windows}
    needed: dict[tuple[str, Window], list[Limit]] = {}
    for each in standing:
        span = SPANS_OF.get(each.limit.name)
        if span is not None:
            needed.setdefault((each.scope, by_span[span]), []).append(each.limit)
    return needed


def _metered(needed: Needed, places: Sequence[Place]) -> Iterable[Metered]:
    index = {(place.scope, place.window.key): n for n, place in enumerate(places)}
    for (scope, window), limits in needed.items():
        yield Metered(
            place=index[scope, window.key],
            scope=scope,
            window=window,
            budgets=tuple(_budget(scope, window, each) for each in limits if each.name in BUDGETS),
            days=tuple(each for each in limits if each.name not in BUDGETS),
        )


def _budget(scope: str, window: Window, limit: Limit) -> Budget:
    return Budget(
        rule=limit.setting,
        what=f"{named(scope)} in this {window.span}",
        scope=scope,
        cap=limit.value,
        resets_at=window.ends_at,
        fix=f"{raising(scope, window.span)} raises it",
    )


def _turns_of(windows: Iterable[Window]) -> Iterable[int]:
    return (micros(at) for window in windows for at in (window.starts_at, window.ends_at))
