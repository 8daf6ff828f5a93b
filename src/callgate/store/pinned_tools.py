"""Pins as rows: of each tool one as it was accepted, and one as it was seen last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from callgate.store.pin_alerts import tell_first, tell_waiting
from callgate.store.pins import Definition, Pinned, Sight
from callgate.store.rows import MICROS, Row, maybe_money, micros
from callgate.store.sql import Cursor

COLUMNS: Final = "tool, name, digest, definition, effect, cost_nano"

READ: Final = f"SELECT toolset, kind, since, {COLUMNS} FROM pins ORDER BY toolset, tool, kind"
READ_ONE: Final = f"""
    SELECT toolset, kind, since, {COLUMNS} FROM pins WHERE toolset = ? ORDER BY tool, kind
"""

WRITE: Final = f"""
    INSERT INTO pins (toolset, kind, since, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (toolset, tool, kind) DO UPDATE SET name = excluded.name, definition = excluded.definition,
        digest = excluded.digest, effect = excluded.effect, cost_nano = excluded.cost_nano,
        since = CASE WHEN pins.digest = excluded.digest THEN pins.since ELSE excluded.since END
"""

NAMES: Final = "SELECT tool FROM pins WHERE toolset = ? AND kind = ?"

FORGET: Final = "DELETE FROM pins WHERE toolset = ? AND tool = ? AND kind = ?"

Kind = Literal["accepted", "seen"]
Acceptance = tuple[str, Mapping[str, str | None], float]


def see(cursor: Cursor, sight: Sight) -> None:
    """Note what a toolset lists, accept of it what is to be accepted at first, and tell of the rest."""
    toolset, now = sight.toolset, sight.seen_at
    if sight.locked is not None:
        _set(cursor, toolset, "accepted", sight.locked, since=now)
    _set(cursor, toolset, "seen", sight.definitions, since=now)
    first = _first(sight, read(cursor, toolset=toolset))
    for definition in first:
        _write(cursor, toolset, "accepted", definition, since=now)
    if first:
        tell_first(cursor, toolset, [each.tool for each in first], now=now)
    tell_waiting(cursor, read(cursor, toolset=toolset), now=now)


def accept(cursor: Cursor, acceptance: Acceptance) -> list[str]:
    """Accept tools that are still what they were when somebody looked; return those."""
    toolset, digests, accepted_at = acceptance
    taken: list[str] = []
    for each in read(cursor, toolset=toolset):
        seen = None if each.seen is None else each.seen.digest
        if each.tool not in digests or digests[each.tool] != seen:
            continue
        if each.seen is None:
            cursor.execute(FORGET, (toolset, each.tool, "accepted"))
        else:
            _write(cursor, toolset, "accepted", each.seen, since=accepted_at)
        taken.append(each.tool)
    tell_waiting(cursor, read(cursor, toolset=toolset), now=accepted_at)
    return taken


def read(cursor: Cursor, *, toolset: str | None) -> list[Pinned]:
    """Return every tool that was accepted or seen."""
    if toolset is None:
        rows = cursor.execute(READ, ()).fetchall()
    else:
        rows = cursor.execute(READ_ONE, (toolset,)).fetchall()
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for name, kind, since, *definition in rows:
        one = found.setdefault((name, definition[0]), {})
        one[kind], one[f"{kind}_at"] = _definition_of(definition), since / MICROS
    return [
        Pinned(
            toolset=name,
            tool=tool,
            accepted=one.get("accepted"),
            seen=one.get("seen"),
            accepted_at=one.get("accepted_at"),
            seen_at=one.get("seen_at"),
        )
        for (name, tool), one in found.items()
    ]


def _first(sight: Sight, pins: Sequence[Pinned]) -> list[Definition]:
    """Return what of a list is accepted because nothing of it was before."""
    new = [each.seen for each in pins if each.accepted is None and each.seen is not None]
    is_first_list = all(each.accepted is None for each in pins)
    if sight.accepting == "nothing" or (sight.accepting == "the first list" and not is_first_list):
        return []
    return new


def _set(
    cursor: Cursor, toolset: str, kind: Kind, definitions: Sequence[Definition], *, since: float
) -> None:
    """Write all rows of a kind; others go."""
    names = {each.tool for each in definitions}
    for (tool,) in cursor.execute(NAMES, (toolset, kind)).fetchall():
        if tool not in names:
            cursor.execute(FORGET, (toolset, tool, kind))
    for definition in definitions:
        _write(cursor, toolset, kind, definition, since=since)


def _write(
    cursor: Cursor, toolset: str, kind: Kind, definition: Definition, *, since: float
) -> None:
    cost = None if definition.cost is None else definition.cost.nano
    cursor.execute(
        WRITE,
        (toolset, kind, micros(since), definition.tool, definition.name, definition.digest, definition.text,
         definition.effect, cost),
    )  # fmt: skip


def _definition_of(row: Row | list[Any]) -> Definition:
    tool, name, digest, text, effect, cost = row
    return Definition(
        tool=tool, name=name, digest=digest, text=text, effect=effect, cost=maybe_money(cost)
    )
