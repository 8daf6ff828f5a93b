"""Corrections: a request that a model calls bad may be put right once, and not sent as it was.

A task that was told what is wrong with its request may send one that is changed. If that is bad
too, nothing more of the kind is sent until something is answered well or a person lets it go on.
"""

from __future__ import annotations

from shlex import quote
from typing import Final

from callgate.errors import Malformed, Reason
from callgate.store import Intent
from callgate.store.rows import micros
from callgate.store.sql import Cursor

READ: Final = """
    SELECT times, fingerprint, message FROM corrections WHERE task_id = ? AND target = ?
"""

MOST: Final = 2
"""Bad requests in a row, of which the second was to put the first right."""

# One that was sent before the first was known to be bad has not put anything right.
NOTE: Final = """
    INSERT INTO corrections (task_id, target, times, fingerprint, message, since)
    SELECT c.task_id, c.target, 1, c.fingerprint, ?, ? FROM calls c WHERE c.id = ?
    ON CONFLICT (task_id, target) DO UPDATE SET
        times = corrections.times + CASE WHEN ? >= corrections.since THEN 1 ELSE 0 END,
        fingerprint = excluded.fingerprint, message = excluded.message, since = excluded.since
"""

CLEAR: Final = """
    DELETE FROM corrections
    WHERE (task_id, target) IN (SELECT task_id, target FROM calls WHERE id = ?)
"""

FORGET: Final = "DELETE FROM corrections WHERE task_id = ?"


def refuse_uncorrected(cursor: Cursor, intent: Intent) -> None:
    """Refuse a call of a task that has something to put right, unless it does.

    Args:
        cursor: Inside the transaction that admits.
        intent: What is to be admitted.

    Raises:
        Malformed: It is the same request again, or there were too many bad ones in a row.
    """
    if intent.n > 1:
        return
    times, fingerprint, message = cursor.execute(READ, (intent.task.id, intent.target)).fetchone()
    if times >= MOST:
        raise _not_corrected(intent, times, message)
    if fingerprint is not None and bytes(fingerprint) == intent.fingerprint:
        raise _the_same(intent, message)


def note(
    cursor: Cursor, call_id: str, message: str | None, *, sent_at: int, ended_at: float
) -> None:
    """Note that a model called a request bad.

    Args:
        cursor: Inside the transaction that settles.
        call_id: The call.
        message: What the model said.
        sent_at: When it was sent, as its row has it.
        ended_at: When it was known, seconds since 1970.
    """
    cursor.execute(NOTE, (message, micros(ended_at), call_id, sent_at))


def clear(cursor: Cursor, call_id: str) -> None:
    """Note that a model answered a call well."""
    cursor.execute(CLEAR, (call_id,))


def forget(cursor: Cursor, task_id: str) -> bool:
    """Let a task go on; False if nothing kept it."""
    return bool(cursor.execute(FORGET, (task_id,)).rowcount)


def _the_same(intent: Intent, message: str | None) -> Malformed:
    fix = "correct what it complains of; the same request would only be refused again"
    msg = (
        f"{intent.target} has refused this very request of task {intent.task.id} before "
        f"({message}); {fix}"
    )
    return Malformed(msg, reason=_reason("same_request", intent, used=1, fix=fix))


def _not_corrected(intent: Intent, times: int, message: str | None) -> Malformed:
    fix = f"look at what task {intent.task.id} sends, then: {unblocking(intent.task.id)}"
    msg = (
        f"task {intent.task.id} has sent {times} bad requests to {intent.target} in a row, the last "
        f"to put the first right ({message}); {fix}"
    )
    return Malformed(msg, reason=_reason("not_corrected", intent, used=times, fix=fix))


def unblocking(task_id: str) -> str:
    """Return the command that lets a task go on; ids come from agents, and a shell must not run them."""
    return f"callgate tasks unblock {quote(task_id)}"


def _reason(code: str, intent: Intent, *, used: int, fix: str) -> Reason:
    return Reason(
        code=code, rule="correct once", scope=f"task:{intent.task.id}", limit=1, used=used, fix=fix
    )
