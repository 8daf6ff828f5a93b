"""Rows of the database as records, and back."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, overload

import msgspec

from callgate.call import Usage
from callgate.money import Money
from callgate.store import AttemptRow, CallRow, GateRow, Key, TaskRow
from callgate.task import Task

MICROS = 1_000_000

CALL_COLUMNS = (
    "id, task_id, task_type, agent, user, door, kind, target, stream, state, status, code,"
    " message, rule, started_at, ended_at, request_bytes"
)
ATTEMPT_COLUMNS = (
    "call_id, id, n, provider, model, state, reserved_nano, output_tokens_limit, cost_nano,"
    " estimated, input_tokens, cache_read_tokens, cache_write_tokens, cache_write_long_tokens,"
    " output_tokens, reasoning_tokens, price_version, sent_at, first_byte_at, ended_at,"
    " http_status, error, answered_by, reply_id, finish_reason, changes"
)
KEY_COLUMNS = "id, digest, agent, task_id, label, created_at, expires_at, revoked_at"
GATE_COLUMNS = "id, host, pid, url, started_at, beat_at, reloaded_at, reload_error"

Row = Sequence[Any]


@overload
def micros(instant: float) -> int: ...
@overload
def micros(instant: float | None) -> int | None: ...
def micros(instant: float | None) -> int | None:
    """Return seconds as whole microseconds; nothing stays nothing."""
    return None if instant is None else round(instant * MICROS)


@overload
def seconds(instant: int) -> float: ...
@overload
def seconds(instant: int | None) -> float | None: ...
def seconds(instant: int | None) -> float | None:
    """Return whole microseconds as seconds; nothing stays nothing."""
    return None if instant is None else instant / MICROS


def task_of(row: Row) -> Task:
    """Return a task from the first nine columns of ``FIND_TASK``."""
    return Task(
        id=row[0],
        type=row[1],
        agent=row[2],
        user=row[3],
        parent=row[4],
        budget=money(row[5]),
        started_at=seconds(row[6]),
        deadline_at=seconds(row[7]),
        ended_at=seconds(row[8]),
    )


def task_row_of(row: Row) -> TaskRow:
    """Return a task with its ledger."""
    return TaskRow(
        task=task_of(row),
        spent=Money(row[9]),
        held=Money(row[10]),
        calls=row[11],
        refused=row[12],
        estimated=bool(row[13]),
        unknown_costs=row[14],
    )


def call_of(row: Row, attempts: Sequence[AttemptRow]) -> CallRow:
    """Return a call with its attempts."""
    return CallRow(
        id=row[0],
        task_id=row[1],
        task_type=row[2],
        agent=row[3],
        user=row[4],
        door=row[5],
        kind=row[6],
        target=row[7],
        stream=bool(row[8]),
        state=row[9],
        status=row[10],
        code=row[11],
        message=row[12],
        rule=row[13],
        started_at=seconds(row[14]),
        ended_at=seconds(row[15]),
        request_bytes=row[16],
        attempts=tuple(attempts),
    )


def attempt_of(row: Row) -> AttemptRow:
    """Return an attempt from ``ATTEMPT_COLUMNS``, whose first is its call."""
    return AttemptRow(
        id=row[1],
        n=row[2],
        provider=row[3],
        model=row[4],
        state=row[5],
        reserved=money(row[6]),
        output_tokens_limit=row[7],
        cost=money(row[8]),
        estimated=bool(row[9]),
        usage=_usage(row[10:16]),
        price_version=row[16],
        sent_at=seconds(row[17]),
        first_byte_at=seconds(row[18]),
        ended_at=seconds(row[19]),
        http_status=row[20],
        error=row[21],
        answered_by=row[22],
        reply_id=row[23],
        finish_reason=row[24],
        changes=() if row[25] is None else tuple(msgspec.json.decode(row[25])),
    )


def key_of(row: Row) -> Key:
    """Return a key from ``KEY_COLUMNS``."""
    return Key(
        id=row[0],
        digest=row[1],
        agent=row[2],
        task_id=row[3],
        label=row[4],
        created_at=seconds(row[5]),
        expires_at=seconds(row[6]),
        revoked_at=seconds(row[7]),
    )


def gate_of(row: Row) -> GateRow:
    """Return a gate from ``GATE_COLUMNS``."""
    return GateRow(
        id=row[0],
        host=row[1],
        pid=row[2],
        url=row[3],
        started_at=seconds(row[4]),
        beat_at=seconds(row[5]),
        reloaded_at=seconds(row[6]),
        reload_error=row[7],
    )


def money(nano: int | None) -> Money | None:
    """Return nano-dollars as money; unknown stays unknown."""
    return None if nano is None else Money(nano)


def _usage(buckets: Row) -> Usage | None:
    if buckets[0] is None:
        return None
    return Usage(
        input_tokens=buckets[0],
        cache_read_tokens=buckets[1],
        cache_write_tokens=buckets[2],
        cache_write_long_tokens=buckets[3],
        output_tokens=buckets[4],
        reasoning_tokens=buckets[5],
    )


def connect(path: object, *, writes: bool, busy_seconds: float) -> sqlite3.Connection:
    """Open a connection that leaves transactions to its user."""
    connection = sqlite3.connect(
        f"{path}", isolation_level=None, check_same_thread=False, timeout=busy_seconds,
        cached_statements=256,
    )  # fmt: skip
    connection.execute("PRAGMA foreign_keys = OFF")
    if not writes:
        connection.execute("PRAGMA query_only = ON")
    return connection
