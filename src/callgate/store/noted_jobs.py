"""Jobs as rows: noted, taken over, ended and claimed, each exactly once."""

from __future__ import annotations

from typing import Final

from callgate.store import writes
from callgate.store.jobs import LONGEST_JOB_SECONDS, Job, Outlived
from callgate.store.rows import MICROS, maybe_money, micros
from callgate.store.settling import Settlement
from callgate.store.sql import Cursor

NOTE: Final = """
    INSERT INTO jobs (attempt_seq, id, noted_at) SELECT seq, ?, ? FROM attempts WHERE id = ?
    ON CONFLICT (attempt_seq) DO NOTHING
"""

FIND_ORPHANS: Final = """
    SELECT a.seq, c.seq, a.id, c.id, a.provider, c.target, j.id, a.reserved_nano, j.noted_at
    FROM attempts a JOIN jobs j ON j.attempt_seq = a.seq JOIN calls c ON c.seq = a.call_seq
    WHERE a.state = 'running' AND c.owner NOT IN (SELECT id FROM gates) AND j.noted_at > ?
    ORDER BY a.seq
"""

ADOPT_CALL: Final = "UPDATE calls SET owner = ? WHERE seq = ?"
ADOPT_JOB: Final = "UPDATE jobs SET adopted_at = ? WHERE attempt_seq = ?"

KEEP: Final = """
    UPDATE jobs SET result = ?
    WHERE attempt_seq = (SELECT seq FROM attempts WHERE id = ? AND state = 'running')
"""

FIND_OUTLIVED: Final = """
    SELECT a.id, c.id, j.result
    FROM calls c JOIN attempts a ON a.call_seq = c.seq JOIN jobs j ON j.attempt_seq = a.seq
    WHERE c.task_id = ? AND c.fingerprint = ? AND j.claimed_at IS NULL
        AND (a.state = 'running' OR j.result IS NOT NULL)
        AND (j.adopted_at IS NOT NULL OR c.owner NOT IN (SELECT id FROM gates))
    ORDER BY a.seq LIMIT 1
"""

CLAIM: Final = """
    UPDATE jobs SET claimed_at = ?
    WHERE attempt_seq = (SELECT seq FROM attempts WHERE id = ?)
        AND claimed_at IS NULL AND result IS NOT NULL
"""


def note(cursor: Cursor, job: tuple[str, str, float]) -> None:
    """Note the job of an attempt."""
    attempt_id, job_id, noted_at = job
    cursor.execute(NOTE, (job_id, micros(noted_at), attempt_id))


def adopt(cursor: Cursor, by: tuple[str, frozenset[str], float]) -> list[Job]:
    """Take over the jobs of dead gates; their attempts then belong to this one."""
    owner, toolsets, now = by
    given_up = micros(now - LONGEST_JOB_SECONDS)
    adopted: list[Job] = []
    for row in cursor.execute(FIND_ORPHANS, (given_up,)).fetchall():
        attempt_seq, call_seq, attempt_id, call_id, toolset, tool, id, reserved, noted_at = row
        if toolset not in toolsets:
            continue
        cursor.execute(ADOPT_CALL, (owner, call_seq))
        cursor.execute(ADOPT_JOB, (micros(now), attempt_seq))
        job = Job(
            attempt_id=attempt_id,
            call_id=call_id,
            toolset=toolset,
            tool=tool,
            id=id,
            reserved=maybe_money(reserved),
            noted_at=noted_at / MICROS,
        )
        adopted.append(job)
    return adopted


def end(cursor: Cursor, ended: tuple[Settlement, bytes | None]) -> None:
    """Settle an attempt, and keep what came of its job; a second time does nothing."""
    settlement, result = ended
    cursor.execute(KEEP, (result, settlement.attempt_id))
    writes.settle(cursor, settlement)


def find_outlived(cursor: Cursor, *, task_id: str, fingerprint: bytes) -> Outlived | None:
    """Return the oldest job of a call whose gate died, unless its result is claimed."""
    row = cursor.execute(FIND_OUTLIVED, (task_id, fingerprint)).fetchone()
    if row is None:
        return None
    attempt_id, call_id, result = row
    return Outlived(
        attempt_id=attempt_id,
        call_id=call_id,
        result=None if result is None else bytes(result),
    )


def claim(cursor: Cursor, by: tuple[str, float]) -> bool:
    """Be the one who hands out a result."""
    attempt_id, claimed_at = by
    return cursor.execute(CLAIM, (micros(claimed_at), attempt_id)).rowcount == 1
