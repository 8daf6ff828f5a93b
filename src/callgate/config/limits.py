"""Limits: the rows that a settings file makes of them, and what can be wrong with several at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final, get_args

from callgate.config.lines import Lines
from callgate.config.page import Page, as_table
from callgate.config.policies import LimitName, LimitPolicy
from callgate.config.problems import Problem, dotted, shown
from callgate.config.schema import CapsTable, File
from callgate.config.tables import LimitsTable
from callgate.money import Money

NAMES: Final[tuple[LimitName, ...]] = get_args(LimitName)
TURNS: Final = frozenset({
    "per_minute", "per_hour", "per_day", "tokens_per_minute", "concurrency",
})  # fmt: skip
"""Limits at which a call's turn comes by itself, so that it can wait for it."""

GATE: Final = "gate"
EVERY_USER: Final = "user:*"

CAPS: Final[Mapping[str, LimitName]] = {"day": "budget_per_day", "month": "budget_per_month"}
"""Settings of ``[caps]``, and what they are called in ``[limits]``."""

SHARED: Final = tuple(LimitsTable.model_fields)


def limits_of(file: File) -> tuple[LimitPolicy, ...]:
    """Return every limit of a file."""
    own = (limit for scope, table in _scopes(file) for limit in _limits(scope, table))
    return (*own, *_caps(file.caps))


def _scopes(file: File) -> Iterator[tuple[str, LimitsTable]]:
    """Yield each table of limits with its scope."""
    yield GATE, file.limits
    yield EVERY_USER, file.users
    named: Mapping[str, Mapping[str, LimitsTable]] = {
        "agent": file.agents, "type": file.tasks, "provider": file.providers, "user": file.users.named,
        "tool": file.tools,
    }  # fmt: skip
    for kind, tables in named.items():
        for name, table in tables.items():
            yield f"{kind}:{name}", table


def _limits(scope: str, table: LimitsTable) -> Iterator[LimitPolicy]:
    for name in NAMES:
        found: int | Money | None = getattr(table, name, None)
        if found is not None:
            value = found.nano if isinstance(found, Money) else found
            # The turn of what is not allowed at all never comes.
            waits = table.on_limit == "wait" and name in TURNS and value > 0
            yield LimitPolicy(scope=scope, name=name, value=value, waits=waits)


def _caps(table: CapsTable) -> Iterator[LimitPolicy]:
    for cap, name in CAPS.items():
        amount: Money | None = getattr(table, cap)
        if amount is not None:
            yield LimitPolicy(scope=GATE, name=name, value=amount.nano)


def limit_problems(page: Page, lines: Lines) -> Iterator[Problem]:
    """Report caps that are set twice, and what stands under ``[users]`` and is no user."""
    yield from _set_twice(page, lines)
    for name, value in as_table(page.get("users")).items():
        yield from _of_user(name, value, lines)


def _set_twice(page: Page, lines: Lines) -> Iterator[Problem]:
    caps, limits = as_table(page.get("caps")), as_table(page.get("limits"))
    for cap, limit in CAPS.items():
        if cap in caps and limit in limits:
            places = ("caps", cap), ("limits", limit)
            found = (
                f"{shown(value)} in line {lines.of(place)}"
                for place, value in zip(places, (caps[cap], limits[limit]), strict=True)
            )
            yield Problem(
                line=lines.of(places[0]),
                key=" and ".join(map(dotted, places)),
                found=" and ".join(found),
                allowed="one of the two, as they are the same",
                remedy="remove the one that does not hold",
            )


def _of_user(name: str, value: object, lines: Lines) -> Iterator[Problem]:
    flaw = _flaw(name, value)
    if flaw is not None:
        found, allowed = flaw
        place = ("users", name)
        near = [] if isinstance(value, dict) else get_close_matches(name, SHARED, n=1)
        yield Problem(
            line=lines.of(place),
            key=dotted(place),
            found=found,
            allowed=allowed,
            nearest=near[0] if near else None,
        )


def _flaw(name: str, value: object) -> tuple[str, str] | None:
    """Return what stands under ``[users]`` and must not, and what may; None if it is right."""
    table = as_table(value)
    if not table and value != {}:
        names = f"{', '.join(SHARED)}, or a user's table [users.NAME]"
        return None if name in SHARED else ("an unknown setting", names)
    if name in SHARED:
        return "a table", f"a value: {name} is a limit, and no user of that name can have a table"
    if name in {"", "*"}:
        return f"the name {name!r}", "the id of one user; what holds for each stands in [users]"
    if not table.keys() - {"on_limit"}:
        return "no limit", "at least one: a user with a table has only the limits that it names"
    return None
