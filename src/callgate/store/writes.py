"""What is written, as operations of the writer: each reads, decides, and only then writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from callgate.call import Usage
from callgate.errors import Refused
from callgate.money import Money
from callgate.store import (
    CallEnd,
    Key,
    Overrun,
    Refusal,
    Settlement,
    acted,
    corrections,
    lines,
    meters,
    overruns,
    tokens,
)
from callgate.store.jobs import LONGEST_JOB_SECONDS
from callgate.store.limits import scopes_of
from callgate.store.lines import find_line
from callgate.store.reservation import LARGEST_COST
from callgate.store.rows import Row, maybe_micros, micros
from callgate.store.sql import Cursor
from callgate.store.tasks import END_TASK, SEEN, insert_task
from callgate.task import Task

GATE_DIED: Final = "gate_died"
"""The code of a call whose process died under it."""


INSERT_REFUSED_CALL = """
    INSERT INTO calls (id, task_id, task_type, agent, "user", door, kind, target, stream, state,
        status, code, message, rule, started_at, ended_at, request_bytes, client_retry, input)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO NOTHING
"""


SETTLE = """
    UPDATE attempts SET state = ?, cost_nano = ?, estimated = ?,
        input_tokens = ?, cache_read_tokens = ?, cache_write_tokens = ?,
        cache_write_long_tokens = ?, output_tokens = ?, reasoning_tokens = ?,
        ended_at = ?, first_byte_at = ?, http_status = ?, error = ?, answered_by = ?,
        reply_id = ?, finish_reason = ?, changes = ?, service_tier = ?, unpriced = ?,
        price_version = coalesce(?, price_version)
    WHERE seq = ?
"""

# A call that was given up for dead may still tell its real end; any other outcome stays.
END_CALL = """
    UPDATE calls SET state = ?, status = ?, code = ?, message = ?, rule = ?, ended_at = ?
    WHERE id = ? AND (state = 'running' OR code = 'gate_died')
"""


# A job goes on without the gate that began it, and another one will settle it.
GOES_ON = """
    SELECT a.call_seq FROM attempts a JOIN jobs j ON j.attempt_seq = a.seq
    WHERE a.state = 'running' AND j.noted_at > ?
"""

# Who is not on the list of gates is dead: a gate writes its row again with every beat.
ABANDON_CALLS = f"""
    UPDATE calls SET state = 'failed', code = 'gate_died', ended_at = ?,
        message = 'the gate process that ran this call died; its cost is booked at what was held'
    WHERE state = 'running' AND owner NOT IN (SELECT id FROM gates) AND seq NOT IN ({GOES_ON})
"""

# What an attempt is, and everything that tells where it is booked.
ATTEMPT = """
    SELECT a.id, a.seq, a.state, a.reserved_nano, a.cost_nano, a.counted_tokens, a.raised_thousandths,
        c.id, k.times, EXISTS (SELECT 1 FROM windows), a.task_id, t.parent, a.sent_at, c.agent, c.task_type, c.user, a.provider, CASE WHEN c.kind = 'tool' THEN c.target END
    FROM attempts a JOIN calls c ON c.seq = a.call_seq JOIN tasks t ON t.id = a.task_id
    LEFT JOIN corrections k ON k.task_id = a.task_id AND k.target = c.target
"""

FIND = f"{ATTEMPT} WHERE a.id = ?"

FIND_ABANDONED = f"""
    {ATTEMPT} WHERE a.state = 'running' AND c.owner NOT IN (SELECT id FROM gates)
        AND c.seq NOT IN ({GOES_ON})
"""

ABANDON_ATTEMPT = """
    UPDATE attempts SET state = 'unknown', cost_nano = reserved_nano,
        estimated = CASE WHEN reserved_nano IS NULL THEN 0 ELSE 1 END, ended_at = ?, error = 'the gate process died'
    WHERE seq = ?
"""


def settle(cursor: Cursor, settlement: Settlement) -> Overrun | None:
    """Free the hold and book the cost, once; correct what the death of a gate had booked.

    Returns:
        What raises the bound of its model from now on, if it does.
    """
    found = cursor.execute(FIND, (settlement.attempt_id,)).fetchone()
    if found is None:
        msg = f"attempt {settlement.attempt_id} was never admitted to this store"
        raise LookupError(msg)
    _, seq, state, reserved, before, counted, raised, call_id, uncorrected, metered, *places = found
    if state == "running":
        before, held = 0, reserved or 0
    elif state == "unknown":
        before, held = before or 0, 0
    else:
        return None
    told, least = _believed(settlement.cost), _believed(settlement.least)
    cost = _estimate(reserved, least) if told is None else told.nano
    estimated = cost is not None and (settlement.estimated or told is None)
    cursor.execute(SETTLE, (*_outcome(settlement, cost, estimated=estimated), seq))
    ended_at = micros(settlement.ended_at)
    _book(cursor, places, metered=metered, spent=(cost or 0) - before, held=held, at=ended_at)
    if counted is not None:
        _count(cursor, places, settlement, counted)
    _correct(cursor, settlement, call_id, sent_at=places[2], uncorrected=uncorrected is not None)
    if settlement.action is not None:
        acted.end(cursor, settlement.attempt_id, settlement.action, ended_at=settlement.ended_at)
    if settlement.call is not None:
        _end_call(cursor, settlement.call)
        if settlement.action is not None and settlement.action.state == "unknown":
            acted.tell(cursor, call_id, at=settlement.ended_at)
    surely = least if told is None else None if settlement.estimated else told
    return overruns.note(cursor, settlement, told=surely, reserved=reserved, thousandths=raised)


def _believed(cost: Money | None) -> Money | None:
    """Return a cost; one beyond belief is a broken counter, and tells as much as none."""
    return None if cost is None or cost > LARGEST_COST else cost


def _estimate(reserved: int | None, least: Money | None) -> int | None:
    """Return what is booked where nobody tells the cost: what was held, or more if it surely was."""
    return reserved if reserved is None or least is None else max(reserved, least.nano)


def _book(
    cursor: Cursor, places: Sequence[Any], *, metered: bool, spent: int, held: int, at: int
) -> None:
    """Add to what is spent and take off what is held, wherever an attempt is booked.

    Where no window was ever begun, nobody has a meter.
    """
    task_id, parent, sent_at, agent, task_type, user, provider, tool = places
    lines.book(cursor, task_id, parent, spent=spent, held=held, at=at)
    if not metered:
        return
    scopes = scopes_of(agent=agent, task_type=task_type, user=user, provider=provider, tool=tool)
    meters.book(cursor, scopes, sent_at, spent=spent, held=held)


def _correct(
    cursor: Cursor, settlement: Settlement, call_id: str, *, sent_at: int, uncorrected: bool
) -> None:
    """Note a request that its model calls bad, and forget those before a good answer."""
    if settlement.is_bad:
        ended_at = settlement.ended_at
        corrections.note(cursor, call_id, settlement.error, sent_at=sent_at, ended_at=ended_at)
    elif uncorrected and settlement.state == "ok":
        corrections.clear(cursor, call_id)


def _count(cursor: Cursor, places: Sequence[Any], settlement: Settlement, counted: int) -> None:
    _, _, sent_at, *_, provider, _ = places
    scope = f"provider:{provider}"
    tokens.correct(cursor, scope, sent_at, counted=counted, usage=settlement.usage)


def _outcome(settlement: Settlement, cost: int | None, *, estimated: bool) -> Row:
    usage = settlement.usage
    return (
        settlement.state, cost, int(estimated),
        *((None,) * 6 if usage is None else _buckets(usage)),
        micros(settlement.ended_at), maybe_micros(settlement.first_byte_at),
        settlement.http_status, settlement.error, settlement.model, settlement.reply_id,
        settlement.finish_reason,
        text_of(settlement.changes),
        settlement.service_tier, settlement.unpriced, settlement.price_version,
    )  # fmt: skip


def text_of(changes: tuple[str, ...]) -> str | None:
    """Return changes as their column holds them."""
    return msgspec.json.encode(changes).decode() if changes else None


def _buckets(usage: Usage) -> Row:
    return (
        usage.input_tokens, usage.cache_read_tokens, usage.cache_write_tokens,
        usage.cache_write_long_tokens, usage.output_tokens, usage.reasoning_tokens,
    )  # fmt: skip


def end_call(cursor: Cursor, end: CallEnd) -> None:
    """Write a call's outcome, once, and tell of what it may have done."""
    _end_call(cursor, end)
    acted.tell(cursor, end.call_id, at=end.ended_at)


def _end_call(cursor: Cursor, end: CallEnd) -> None:
    ended_at = micros(end.ended_at)
    cursor.execute(
        END_CALL,
        (end.state, end.status, end.code, end.message, end.rule, ended_at, end.call_id),
    )
    if end.ends_task is not None:
        cursor.execute(END_TASK, (ended_at, end.ends_task))


def refuse(cursor: Cursor, refusal: Refusal) -> None:
    """Write the row of a call that had no attempt, and its task where it is new."""
    end, task = refusal.end, refusal.task
    task_id, task_type, user = _named_task(refusal)
    owner = cursor.execute("SELECT agent FROM tasks WHERE id = ?", (task_id,)).fetchone()
    if owner is None:
        if task is not None and _may_stand(cursor, task):
            insert_task(cursor, task, has_slot=False)
    elif owner != (refusal.caller.agent,):
        task_id = None
    cursor.execute(SEEN, (micros(end.ended_at), f"task:{task_id}"))
    cursor.execute(
        INSERT_REFUSED_CALL,
        (end.call_id, task_id, task_type, refusal.caller.agent, user, refusal.door, refusal.kind,
         refusal.target, int(refusal.stream), end.state, end.status, end.code, end.message, end.rule,
         micros(refusal.started_at), micros(end.ended_at), refusal.request_bytes,
         refusal.client_retry, refusal.input),
    )  # fmt: skip
    # A caller may hang up while its admission is being written; then its row is there already.
    _end_call(cursor, end)


def _may_stand(cursor: Cursor, task: Task) -> bool:
    """Whether a task that is not stored may be where it says."""
    try:
        find_line(cursor, task, task.parent)
    except Refused:
        return False
    return True


def _named_task(refusal: Refusal) -> tuple[str | None, str | None, str | None]:
    """Return id, type and user of the task, or what was said of it where there is none."""
    task, caller, claims = refusal.task, refusal.caller, refusal.claims
    if task is not None:
        return task.id, task.type, task.user
    return caller.task_id or claims.task_id, claims.task_type, claims.user


def create_key(cursor: Cursor, key: Key) -> None:
    """Write a key."""
    cursor.execute(
        "INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (key.digest, key.id, key.agent, key.task_id, key.label, micros(key.created_at),
         maybe_micros(key.expires_at), maybe_micros(key.revoked_at)),
    )  # fmt: skip


def revoke_key(cursor: Cursor, revocation: tuple[str, float]) -> bool:
    """Revoke a key, once; return False if there is none of that id."""
    key_id, revoked_at = revocation
    cursor.execute(
        "UPDATE keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?",
        (micros(revoked_at), key_id),
    )
    return cursor.rowcount == 1


def abandon(cursor: Cursor, now: float) -> None:
    """Book what the attempts of dead gates held as spent, and fail their calls.

    Jobs go on at their far side: what is held for them stays held, until a gate that can ask for them
    comes, or none has for so long that none will.
    """
    ended_at, given_up = micros(now), micros(now - LONGEST_JOB_SECONDS)
    found = cursor.execute(FIND_ABANDONED, (given_up,)).fetchall()
    for id, seq, _, reserved, _, _, _, _, _, metered, *places in found:
        cursor.execute(ABANDON_ATTEMPT, (ended_at, seq))
        acted.give_up(cursor, id)
        held = reserved or 0
        _book(cursor, places, metered=metered, spent=held, held=held, at=ended_at)
    acted.tell_of_dead(cursor, at=now)
    cursor.execute(ABANDON_CALLS, (ended_at, given_up))
