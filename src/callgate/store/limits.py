"""Limits as the store keeps them: revisioned rows, read in the transaction that admits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from shlex import quote
from typing import Final, Literal

import msgspec

from callgate.store.calendar import Span

LimitName = Literal[
    "per_minute", "per_hour", "per_day", "tokens_per_minute", "concurrency",
    "budget_per_hour", "budget_per_day", "budget_per_month",
    "max_calls", "max_repeats", "max_depth",
]  # fmt: skip

RATES: Final[Mapping[LimitName, float]] = {"per_minute": 60.0, "per_hour": 3600.0}
"""Limits of calls in any interval of so many seconds."""

BUDGETS: Final[Mapping[LimitName, Span]] = {
    "budget_per_hour": "hour", "budget_per_day": "day", "budget_per_month": "month",
}  # fmt: skip
"""Limits of money in a window of the calendar."""

SPANS_OF: Final[Mapping[LimitName, Span]] = {**BUDGETS, "per_day": "day"}
"""Limits that are counted in a window of the calendar."""

CAPS: Final[Mapping[LimitName, str]] = {
    "budget_per_day": "caps.day", "budget_per_month": "caps.month",
}  # fmt: skip
"""Limits of the whole gate that have a name of their own in the settings file."""

CIRCLES: Final[frozenset[LimitName]] = frozenset({"max_calls", "max_repeats", "max_depth"})
"""Limits of what one task does."""

BY_ATTEMPT: Final = frozenset({"provider", "tool"})
"""Kinds of scope that count attempts; the others count calls, at their first attempt."""

TOKENS: Final[LimitName] = "tokens_per_minute"

GATE: Final = "gate"
EVERY_USER: Final = "user:*"

TABLES: Final[Mapping[str, str]] = {
    "agent": "agents", "type": "tasks", "user": "users", "provider": "providers", "tool": "tools",
}  # fmt: skip


NOUNS: Final[Mapping[str, str]] = {
    "agent": "agent", "type": "task type", "user": "user", "provider": "provider", "tool": "tool",
}  # fmt: skip


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """One limit of one scope."""

    scope: str
    """``gate``, ``user:*`` for every user that has none of its own, or a kind and a name:
    ``agent:researcher``, ``type:research``, ``user:u1``, ``provider:openai``, ``tool:search``."""
    name: LimitName
    value: int
    """Calls, tokens, or nano-dollars."""
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
            return CAPS.get(self.name, f"limits.{self.name}")
        table = TABLES[kind]
        return f"{table}.{self.name}" if name == "*" else f"{table}.{name}.{self.name}"


class Standing(msgspec.Struct, frozen=True):
    """A limit, and whom it holds for now: for ``user:*`` that is the user of the call."""

    limit: Limit
    scope: str


Named = Mapping[str, Sequence[Limit]]
"""The limits of one scope, by what they are called; of each, the one that wins comes first."""


class Limits:
    """All limits, and which of them hold.

    An override wins over the file. A user that the file names has only what it says there; any
    other has what is said of every user, and what overrides say of itself.

    Args:
        rows: Every row of the store, those of the file and overrides.
    """

    def __init__(self, rows: Iterable[Limit]) -> None:
        by_scope: dict[str, dict[str, list[Limit]]] = {}
        # Overrides before the file.
        for row in sorted(rows, key=lambda row: row.source == "file"):
            by_scope.setdefault(row.scope, {}).setdefault(row.name, []).append(row)
        self._every_user: Named = by_scope.get(EVERY_USER, {})
        self._by_scope: dict[str, Named] = {
            scope: self._with_every_users(own) if _is_unnamed_user(scope, own) else own
            for scope, own in by_scope.items()
        }
        self.ticks: Mapping[str, int] = _ticks(by_scope)
        """By kind of scope: how many calls of a scope its rates look back on at most."""

    def __iter__(self) -> Iterator[str]:
        """Return every scope that has limits."""
        return iter(self._by_scope)

    def of(self, scopes: Sequence[str], *, now: float) -> list[Standing]:
        """Return what holds for a call in some scopes."""
        return [
            Standing(limit, scope)
            for scope in scopes
            for rows in self._named(scope).values()
            if (limit := _first_holding(rows, now)) is not None
        ]

    def _named(self, scope: str) -> Named:
        own = self._by_scope.get(scope)
        if own is not None:
            return own
        return self._every_user if scope.startswith("user:") else NOTHING

    def _with_every_users(self, own: Named) -> Named:
        names = dict.fromkeys((*own, *self._every_user))
        return {name: [*own.get(name, ()), *self._every_user.get(name, ())] for name in names}


NOTHING: Final[Named] = {}


def kind_of(scope: str) -> str:
    """Return the kind of a scope, such as ``agent``."""
    return scope.partition(":")[0]


def raising(scope: str, window: str) -> str:
    """Return the command that raises a budget; names come from agents, and a shell must not run them.

    Args:
        scope: Whose budget.
        window: ``hour``, ``day``, ``month``, or ``task`` for the scope of a task.
    """
    return f"callgate budget set {quote(scope)} {window} AMOUNT"


def named(scope: str) -> str:
    """Return a scope in words."""
    kind, _, name = scope.partition(":")
    return "the whole gate" if not name else f"{NOUNS[kind]} {name}"


def scopes_of(
    *, agent: str, task_type: str, user: str | None, provider: str, tool: str | None
) -> tuple[str, ...]:
    """Return every scope that an attempt is in, by kind no more than one.

    Args:
        agent: Who asks.
        task_type: The type of its task.
        user: For whom, if for anybody.
        provider: Who is asked.
        tool: The tool that is called, if it is one.
    """
    scopes = [GATE, f"agent:{agent}", f"type:{task_type}", f"provider:{provider}"]
    if user is not None:
        scopes.append(f"user:{user}")
    if tool is not None:
        scopes.append(f"tool:{tool}")
    return tuple(scopes)


def _is_unnamed_user(scope: str, own: Named) -> bool:
    """Whether overrides are all that is said of one user."""
    if scope == EVERY_USER or not scope.startswith("user:"):
        return False
    return all(row.source == "override" for rows in own.values() for row in rows)


def _first_holding(rows: Sequence[Limit], now: float) -> Limit | None:
    return next((row for row in rows if row.until is None or row.until > now), None)


def _ticks(by_scope: Mapping[str, Named]) -> Mapping[str, int]:
    most: dict[str, int] = {}
    for scope, named in by_scope.items():
        for row in (row for name in RATES for row in named.get(name, ())):
            most[kind_of(scope)] = max(row.value, most.get(kind_of(scope), 0))
    return most
