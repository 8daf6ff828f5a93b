"""Limits as the store keeps them: revisioned rows, read in the transaction that admits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal

import msgspec

from callgate.store.calendar import Span

LimitName = Literal[
    "per_minute", "per_hour", "per_day", "concurrency",
    "budget_per_hour", "budget_per_day", "budget_per_month",
    "max_calls", "max_repeats", "max_depth",
]  # fmt: skip

RATES: Final[Mapping[LimitName, float]] = {"per_minute": 60.0, "per_hour": 3600.0}
"""Limits of calls in any interval of so many seconds."""

BUDGETS: Final[Mapping[LimitName, Span]] = {
    "budget_per_hour": "hour", "budget_per_day": "day", "budget_per_month": "month",
}  # fmt: skip
"""Limits of money in a window of the calendar."""

GATE: Final = "gate"
EVERY_USER: Final = "user:*"

TABLES: Final[Mapping[str, str]] = {
    "agent": "agents", "type": "tasks", "user": "users", "provider": "providers", "tool": "tools",
}  # fmt: skip


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """One limit of one scope."""

    scope: str
    """``gate``, ``user:*`` for every user that has none of its own, or a kind and a name:
    ``agent:researcher``, ``type:research``, ``user:u1``, ``provider:openai``, ``tool:search``."""
    name: LimitName
    value: int
    """Calls, or nano-dollars."""
    waits: bool = False
    """Whether a call that does not fit waits for its turn, instead of being refused."""
    source: Literal["file", "override"] = "file"
    until: float | None = None
    """When an override ends, seconds since 1970; None: when it is taken back."""

    @property
    def setting(self) -> str:
        """Where the settings file has it, such as ``tasks.research.per_minute``."""
        kind, _, name = self.scope.partition(":")
        if self.scope == GATE:
            return f"limits.{self.name}"
        table = TABLES[kind]
        return f"{table}.{self.name}" if name == "*" else f"{table}.{name}.{self.name}"


class Standing(msgspec.Struct, frozen=True):
    """A limit, and whom it holds for now: for ``user:*`` that is the user of the call."""

    limit: Limit
    scope: str


class Limits:
    """All limits that hold, by scope.

    Args:
        rows: Every row of the store, those of the file and overrides.
    """

    def __init__(self, rows: Iterable[Limit]) -> None:
        self._by_scope: dict[str, dict[str, list[Limit]]] = {}
        for row in rows:
            self._by_scope.setdefault(row.scope, {}).setdefault(row.name, []).append(row)

    def __iter__(self) -> Iterator[str]:
        """Return every scope that has limits."""
        return iter(self._by_scope)

    def of(self, scopes: Sequence[str], *, now: float) -> list[Standing]:
        """Return what holds for a call in some scopes; an override wins over the file."""
        return [
            Standing(limit, scope)
            for scope in scopes
            for rows in self._named(scope).values()
            if (limit := _winner(rows, now)) is not None
        ]

    def _named(self, scope: str) -> Mapping[str, Sequence[Limit]]:
        """Return a scope's rows by name, its own first.

        A user whom the file names has its own limits only. An override of one limit of another
        user leaves the others of every user in force.
        """
        own = self._by_scope.get(scope, {})
        if not scope.startswith("user:") or _is_in_file(own):
            return own
        every = self._by_scope.get(EVERY_USER, {})
        if not own:
            return every
        return {name: (*own.get(name, ()), *every.get(name, ())) for name in (*every, *own)}


def _is_in_file(rows: Mapping[str, Sequence[Limit]]) -> bool:
    return any(row.source == "file" for named in rows.values() for row in named)


def _winner(rows: Sequence[Limit], now: float) -> Limit | None:
    holding = [row for row in rows if row.until is None or row.until > now]
    return min(holding, key=lambda row: row.source == "file", default=None)


def scopes_of(*, agent: str, task_type: str, user: str | None) -> tuple[str, ...]:
    """Return the scopes of who calls, the widest first."""
    scopes = (GATE, f"agent:{agent}", f"type:{task_type}")
    return scopes if user is None else (*scopes, f"user:{user}")
