"""Rows as records: the order of columns, and the units that the tables hold."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from callgate.call import Candidate, Usage
from callgate.money import Money
from callgate.store import AttemptRow, CallRow, FirstPrice, GateRow, Key, MadeReply, TaskRow
from callgate.store.limits import Limit
from callgate.task import Task

MICROS: Final = 1_000_000

TASK_COLUMNS = (
    "t.id, t.type, t.agent, t.user, t.parent, l.cap_nano, t.started_at, t.deadline_at, t.ended_at, "
    "t.models, t.tools"
)

CALL_COLUMNS = (
    'seq, id, task_id, task_type, agent, "user", door, kind, target, stream, state, status, code, '
    "message, rule, started_at, ended_at, request_bytes, client_retry, input"
)

ATTEMPT_COLUMNS = (
    "call_seq, id, n, provider, model, state, reserved_nano, output_tokens_limit, cost_nano, "
    "estimated, input_tokens, cache_read_tokens, cache_write_tokens, cache_write_long_tokens, "
    "output_tokens, reasoning_tokens, price_version, sent_at, first_byte_at, ended_at, "
    "http_status, error, answered_by, reply_id, finish_reason, changes, service_tier, unpriced, "
    "repriced_at, first_cost_nano, first_price_version"
)

KEY_COLUMNS = "id, digest, agent, task_id, label, created_at, expires_at, revoked_at"

GATE_COLUMNS = (
    "id, host, place, pid, pid_started, url, started_at, beat_at, reloaded_at, reload_error"
)

LIMIT_COLUMNS = "scope, name, source, value, waits, until"

Row = tuple[Any, ...]


def micros(instant: float) -> int:
    """Return an instant in seconds since 1970 as the integer that the tables hold."""
    return round(instant * 1_000_000)


def maybe_micros(instant: float | None) -> int | None:
    """Return an instant as the integer that the tables hold, if there is one."""
    return None if instant is None else round(instant * 1_000_000)


def instant(micros: int | None) -> float | None:
    """Return an instant as the integer of a column says it, if there is one."""
    return None if micros is None else micros / MICROS


def maybe_money(nano: int | None) -> Money | None:
    """Return an amount of nano-dollars as money, if there is one."""
    return None if nano is None else Money(nano)


def made_reply_of(row: Row) -> MadeReply:
    """Return who made a reply, for whom, and how many tokens it had."""
    candidate = Candidate(provider=row[0], model=row[1])
    return MadeReply(candidate=candidate, agent=row[2], user=row[3], tokens=row[4])


def key_of(row: Row) -> Key:
    """Return a row of KEY_COLUMNS as a record."""
    return Key(
        id=row[0], digest=row[1], agent=row[2], task_id=row[3], label=row[4],
        created_at=row[5] / MICROS, expires_at=instant(row[6]), revoked_at=instant(row[7]),
    )  # fmt: skip


def task_of(row: Row) -> Task:
    """Return a row of TASK_COLUMNS as a record."""
    return Task(
        id=row[0], type=row[1], agent=row[2], user=row[3], parent=row[4], budget=maybe_money(row[5]),
        started_at=row[6] / MICROS, deadline_at=instant(row[7]), ended_at=instant(row[8]),
        models=_maybe_names(row[9]), tools=_maybe_names(row[10]),
    )  # fmt: skip


def task_row_of(row: Row) -> TaskRow:
    """Return a row of TASK_COLUMNS and its sums as a record."""
    return TaskRow(
        task=task_of(row), spent=Money(row[11]), held=Money(row[12]), calls=row[13],
        refused=row[14], estimated=bool(row[15]), unknown_costs=row[16],
    )  # fmt: skip


def call_of(row: Row, attempts: tuple[AttemptRow, ...]) -> CallRow:
    """Return a row of CALL_COLUMNS as a record."""
    return CallRow(
        id=row[1], task_id=row[2], task_type=row[3], agent=row[4], user=row[5], door=row[6],
        kind=row[7], target=row[8], stream=bool(row[9]), state=row[10], status=row[11],
        code=row[12], message=row[13], rule=row[14], started_at=row[15] / MICROS,
        ended_at=instant(row[16]), request_bytes=row[17], client_retry=row[18], input=row[19],
        attempts=attempts,
    )  # fmt: skip


def attempt_of(row: Row) -> AttemptRow:
    """Return a row of ATTEMPT_COLUMNS as a record."""
    return AttemptRow(
        id=row[1], n=row[2], provider=row[3], model=row[4], state=row[5], reserved=maybe_money(row[6]),
        output_tokens_limit=row[7], cost=maybe_money(row[8]), estimated=bool(row[9]),
        usage=_usage(row[10:16]), price_version=row[16], sent_at=row[17] / MICROS,
        first_byte_at=instant(row[18]), ended_at=instant(row[19]), http_status=row[20],
        error=row[21], answered_by=row[22], reply_id=row[23], finish_reason=row[24],
        changes=_changes(row[25]), service_tier=row[26], unpriced=row[27],
        first=None if row[28] is None else FirstPrice(cost=maybe_money(row[29]), version=row[30]),
    )  # fmt: skip


def _usage(buckets: Row) -> Usage | None:
    if buckets[0] is None:
        return None
    names = Usage.__struct_fields__
    return Usage(**dict(zip(names, buckets, strict=True)))


def _changes(text: str | None) -> tuple[str, ...]:
    return _maybe_names(text) or ()


def _maybe_names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else msgspec.json.decode(text, type=tuple[str, ...])


def maybe_text(names: tuple[str, ...] | None) -> str | None:
    """Return names as the text that the tables hold, if there are any to hold."""
    return None if names is None else msgspec.json.encode(names).decode()


def gate_of(row: Row) -> GateRow:
    """Return a row of GATE_COLUMNS as a record."""
    return GateRow(
        id=row[0], host=row[1], place=row[2], pid=row[3], pid_started=row[4], url=row[5],
        started_at=row[6] / MICROS, beat_at=row[7] / MICROS, reloaded_at=instant(row[8]),
        reload_error=row[9],
    )  # fmt: skip


def limit_of(row: Row) -> Limit:
    """Return a row of LIMIT_COLUMNS as a record."""
    scope, name, source, value, waits, until = row
    return Limit(
        scope=scope,
        name=name,
        source=source,
        value=value,
        waits=bool(waits),
        until=instant(until),
    )
