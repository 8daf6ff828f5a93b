"""Actions as rows: begun by the transaction that admits, ended by the one that settles.

That is why of any number of calls, of any number of gates, one alone does what is to be done once.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from callgate.call import new_id
from callgate.clock import rfc3339
from callgate.errors import (
    AlreadyDone,
    Malformed,
    Reason,
    StillRunning,
    StillUnknown,
    Unknown,
)
from callgate.store import Intent, alerts
from callgate.store.actions import Action, ActionEnd, Decision, LookUp, Planned
from callgate.store.rows import MICROS, Row, instant, micros
from callgate.store.sql import WITHOUT_END, Cursor
from callgate.store.watched import Alert

LOOK_AGAIN_SECONDS: Final = 0.5
"""How long who waits for an action that runs does so before the next look."""

KEPT_SECONDS: Final = 30 * 86_400.0
"""How long arguments and result of an action are kept after its end; that it is done, for ever."""

FIND: Final = """
    SELECT n, state, exact, call_id, task_id, agent, "user", since, ended_at, result, id, arguments
    FROM actions WHERE digest = ? AND n <= ? ORDER BY n DESC LIMIT 1
"""

FIND_OF_CALL: Final = "SELECT n FROM actions WHERE digest = ? AND call_id = ?"

# The key stays as long as it may have reached the tool with just these arguments.
BEGIN: Final = """
    INSERT INTO actions (digest, n, id, scope, tool, task_id, agent, "user", exact, arguments,
        lookup, idempotency_key, state, call_id, attempt_id, attempts, since, sent_at, alerted)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'running', ?, ?, 1, ?, ?, 0)
    ON CONFLICT (digest, n) DO UPDATE SET
        task_id = excluded.task_id, agent = excluded.agent, "user" = excluded."user",
        arguments = excluded.arguments, lookup = excluded.lookup, state = 'running',
        idempotency_key = CASE WHEN actions.exact = excluded.exact
            THEN actions.idempotency_key ELSE excluded.idempotency_key END,
        exact = excluded.exact, call_id = excluded.call_id, attempt_id = excluded.attempt_id,
        attempts = actions.attempts + 1, sent_at = excluded.sent_at, ended_at = NULL, decided_by = NULL, note = NULL,
        since = CASE WHEN actions.state = 'not_done' THEN excluded.since ELSE actions.since END
    RETURNING idempotency_key
"""

END: Final = """
    UPDATE actions SET state = ?, result = ?, ended_at = ?, decided_by = NULL, note = NULL,
        idempotency_key = coalesce(?, idempotency_key)
    WHERE attempt_id = ? RETURNING id, alerted
"""

GIVE_UP: Final = "UPDATE actions SET state = 'unknown' WHERE attempt_id = ?"

# One that its own gate will not tell of, as it has died.
UNTOLD: Final = """
    SELECT c.id FROM calls c JOIN actions a ON a.call_id = c.id
    WHERE a.state = 'unknown' AND c.state = 'running' AND c.owner NOT IN (SELECT id FROM gates)
"""

TELL: Final = """
    UPDATE actions SET alerted = 1
    WHERE call_id = ? AND state = 'unknown' AND alerted = 0
    RETURNING id, tool, task_id, agent, "user", since, n
"""

QUIETEN: Final = "UPDATE actions SET alerted = 0 WHERE id = ?"

DECIDE: Final = """
    UPDATE actions SET state = ?, ended_at = ?, decided_by = ?, note = ?, alerted = 0
    WHERE id = ? AND state <> 'running'
"""

DECIDE_ON: Final = f"{DECIDE} AND state = 'unknown' AND attempt_id = ?"

FORGET: Final = """
    UPDATE actions SET arguments = NULL, result = NULL, lookup = NULL
    WHERE arguments IS NOT NULL AND ended_at < ?
"""

COLUMNS: Final = """
    id, scope, n, tool, task_id, agent, "user", arguments, state, call_id, attempt_id, attempts, since,
    sent_at, ended_at, decided_by, note, lookup
"""

READ: Final = f"SELECT {COLUMNS} FROM actions WHERE id = ?"

LIST: Final = f"SELECT {COLUMNS} FROM actions WHERE"
OF_TASK: Final = "task_id = ? AND"
OPEN: Final = "state = 'unknown' ORDER BY since DESC LIMIT ?"
OTHERS: Final = "state <> 'unknown' ORDER BY since DESC LIMIT ?"


class Latest(msgspec.Struct, frozen=True):
    """The latest time of an action, up to the one that is meant."""

    n: int
    state: str
    exact: bytes
    call_id: str
    task_id: str
    agent: str
    user: str | None
    since: int
    ended_at: int | None
    result: bytes | None
    id: str
    arguments: str | None


def check(cursor: Cursor, *, planned: Planned, now: float) -> None:
    """Refuse what is done, or may be; who comes while it is being done is let on, to wait.

    Raises:
        AlreadyDone: It is done.
        StillUnknown: It may be.
        Malformed: It is a repetition of something that is not done.
    """
    try:
        _turn(_latest(cursor, planned, planned.repeat), planned, planned.repeat, now=now)
    except StillRunning:
        return


def find_turn(cursor: Cursor, intent: Intent, planned: Planned) -> int:
    """Return which time of an action an attempt is for.

    Args:
        cursor: Inside the transaction that admits.
        intent: What is to be admitted.
        planned: What it is about to do.

    Raises:
        Refused: As :meth:`callgate.store.Store.admit` does.
    """
    wanted = planned.repeat
    if intent.n > 1:
        # Where another call has begun it since, this one asks as any other does.
        own = cursor.execute(FIND_OF_CALL, (planned.digest, intent.call_id)).fetchone()
        wanted = wanted if own is None else own[0]
    latest = _latest(cursor, planned, wanted)
    try:
        return _turn(latest, planned, wanted, now=intent.sent_at)
    except StillRunning as running:
        running.waits = intent.sent_at < intent.started_at + planned.wait_seconds
        raise


def begin(cursor: Cursor, intent: Intent, planned: Planned, n: int) -> str:
    """Write that an action is being done; return the key by which its tool knows it."""
    task = intent.task
    (key,) = cursor.execute(
        BEGIN,
        (planned.digest, n, planned.id, planned.scope, planned.tool, task.id, task.agent, task.user,
         planned.exact, planned.arguments, _text_of(planned.check), planned.idempotency_key,
         intent.call_id, intent.attempt_id, micros(intent.sent_at), micros(intent.sent_at)),
    ).fetchone()  # fmt: skip
    return str(key)


def end(cursor: Cursor, attempt_id: str, ended: ActionEnd, *, ended_at: float) -> None:
    """Write what became of an action, unless another attempt has begun it since."""
    at = None if ended.state == "unknown" else micros(ended_at)
    given = (ended.state, ended.result, at, ended.next_key, attempt_id)
    for id, alerted in cursor.execute(END, given).fetchall():
        if alerted and ended.state != "unknown":
            cursor.execute(QUIETEN, (id,))
            alerts.resolve_all(cursor, ((fingerprint(id),), ended_at))


def give_up(cursor: Cursor, attempt_id: str) -> None:
    """Note that nobody knows what became of an action, as the gate that did it has died."""
    cursor.execute(GIVE_UP, (attempt_id,))


def tell_of_dead(cursor: Cursor, *, at: float) -> None:
    """Raise the alerts of what dead gates have left unknown, before their calls are given up."""
    for (call_id,) in cursor.execute(UNTOLD).fetchall():
        tell(cursor, call_id, at=at)


def tell(cursor: Cursor, call_id: str, *, at: float) -> None:
    """Raise the alert of an action that is unknown, once, at the end of a call."""
    found = cursor.execute(TELL, (call_id,)).fetchall()
    alerts.raise_all(cursor, [_alert(row, at) for row in found])


def decide(cursor: Cursor, decision: Decision) -> Action:
    """Write what somebody says of an action.

    Raises:
        Unknown: There is none of that id.
        StillRunning: It is being done just now.
    """
    id, attempt_id = decision.action_id, decision.attempt_id
    given = (decision.state, micros(decision.at), decision.by, decision.note, id)
    if attempt_id is None:
        cursor.execute(DECIDE, given)
    elif not cursor.execute(DECIDE_ON, (*given, attempt_id)).rowcount:
        raise _gone_on(id)
    action = find(cursor, action_id=id)
    if action is None:
        msg = f"there is no effect {id!r} in this store; callgate effects lists them"
        raise Unknown(msg, reason=Reason(code="unknown_effect", fix="callgate effects"))
    if action.state == "running":
        raise _running(action.tool, micros(action.since))
    alerts.resolve_all(cursor, ((fingerprint(id),), decision.at))
    return action


def forget(cursor: Cursor, before: float) -> None:
    """Forget arguments and results of what ended long ago; that it is done stays."""
    cursor.execute(FORGET, (micros(before),))


def find(cursor: Cursor, *, action_id: str) -> Action | None:
    """Return an action."""
    row = cursor.execute(READ, (action_id,)).fetchone()
    return None if row is None else _action_of(row)


def listed(
    cursor: Cursor, *, limit: int | None, only_open: bool, task_id: str | None
) -> list[Action]:
    """Return actions: those that are unknown first, the newest of each first."""
    most = WITHOUT_END if limit is None else limit
    whose, given = ("", ()) if task_id is None else (OF_TASK, (task_id,))
    rows = cursor.execute(f"{LIST} {whose} {OPEN}", (*given, most)).fetchall()
    if not only_open:
        rows += cursor.execute(f"{LIST} {whose} {OTHERS}", (*given, most - len(rows))).fetchall()
    return [_action_of(row) for row in rows]


def fingerprint(action_id: str) -> str:
    """Return what the alert of an action is about."""
    return f"effect {action_id}"


def _latest(cursor: Cursor, planned: Planned, wanted: int | None) -> Latest | None:
    most = WITHOUT_END if wanted is None else wanted
    row = cursor.execute(FIND, (planned.digest, most)).fetchone()
    return None if row is None else Latest(*row)


def _turn(latest: Latest | None, planned: Planned, wanted: int | None, *, now: float) -> int:
    """Return which time of an action it is to be; refuse where it may not be done now."""
    state = "done" if latest is None else latest.state
    before = 0 if latest is None else latest.n
    if wanted is None:
        # Of a tool that is called again on purpose, each call is meant.
        if state in {"done", "running"}:
            return before + 1
        wanted = before
    if latest is not None and wanted >= before:
        _refuse(latest, planned, is_same=wanted == before, now=now)
    right = before + 1 if state == "done" else before
    if wanted != right:
        raise _out_of_turn(planned, wanted, right)
    return wanted


def _refuse(latest: Latest, planned: Planned, *, is_same: bool, now: float) -> None:
    """Refuse what is being done, or done, or may be; the next time of it only what is not over."""
    if latest.state == "running":
        raise _running(planned.tool, latest.since)
    if latest.state == "done" and is_same:
        raise _done(latest, planned)
    if latest.state == "unknown" and not (is_same and _is_known_by_key(latest, planned, now)):
        raise _unknown(latest, planned)


def _is_known_by_key(latest: Latest, planned: Planned, now: float) -> bool:
    """Whether the tool would see that it is asked for the same again."""
    is_same = bytes(latest.exact) == planned.exact
    return is_same and now - latest.since / MICROS < planned.known_for_seconds


def _done(latest: Latest, planned: Planned) -> AlreadyDone:
    task = planned.task
    is_own = (latest.task_id == task.id) or (latest.agent, latest.user) == (task.agent, task.user)
    done_at = (latest.ended_at or latest.since) / MICROS
    by = f" by {latest.call_id}" if is_own else ""
    again = f"Callgate-Repeat: {latest.n + 1} does it once more"
    msg = f"{planned.tool} has done this at {rfc3339(done_at)}{by}; nothing was sent, and {again}"
    return AlreadyDone(
        msg,
        call_id=latest.call_id if is_own else None,
        done_at=done_at,
        result=None if latest.result is None or not is_own else bytes(latest.result),
        is_same=bytes(latest.exact) == planned.exact,
        reason=_reason("already_done", planned, fix=again),
    )


def _unknown(latest: Latest, planned: Planned) -> StillUnknown:
    since = rfc3339(latest.since / MICROS)
    fix = f"find out whether it has happened, then: {resolving(latest.id)}"
    msg = (
        f"nobody knows whether {planned.tool} has done this: it was sent at {since} and nothing came "
        f"back, so it is not sent again; {fix}"
    )
    return StillUnknown(msg, reason=_reason("still_unknown", planned, fix=fix))


def _out_of_turn(planned: Planned, wanted: int, right: int) -> Malformed:
    fix = f"send Callgate-Repeat: {right}"
    msg = f"time {wanted} of this call of {planned.tool} is asked for, and {right} would be next; {fix}"
    reason = _reason("not_next", planned, fix=fix)
    return Malformed(msg, reason=reason)


def _running(tool: str, since: int) -> StillRunning:
    fix = "wait for it, or ask again later"
    msg = f"{tool} is doing this since {rfc3339(since / MICROS)}, for another call; {fix}"
    return StillRunning(
        msg,
        retry_after_seconds=LOOK_AGAIN_SECONDS,
        reason=Reason(code=StillRunning.code, rule=f"tools.{tool}", fix=fix),
    )


def _gone_on(action_id: str) -> StillRunning:
    fix = "look again: callgate effects"
    msg = f"effect {action_id} has gone on, or was decided, since it was looked up; {fix}"
    return StillRunning(
        msg, retry_after_seconds=LOOK_AGAIN_SECONDS, reason=Reason(code="gone_on", fix=fix)
    )


def _reason(code: str, planned: Planned, *, fix: str) -> Reason:
    return Reason(code=code, rule=f"tools.{planned.tool}.once", scope=planned.scope, fix=fix)


def resolving(action_id: str) -> str:
    """Return the command by which somebody says what became of an action."""
    return f"callgate effects resolve {action_id} done|not-done"


def _alert(row: Any, at: float) -> Alert:
    id, tool, task_id, agent, user, since, n = row
    sent_at = rfc3339(since / MICROS)
    whose = f"task {task_id}" if user is None else f"task {task_id} of user {user}"
    return Alert(
        id=new_id("alert"),
        fingerprint=fingerprint(id),
        kind="effect_unknown",
        severity="critical",
        scope=f"task:{task_id}",
        rule=f"tools.{tool}",
        message=f"nobody knows whether {tool} has done what {whose} asked for at {sent_at}; find out, "
        f"then: {resolving(id)}",
        facts={
            "effect": id, "tool": tool, "task": task_id, "agent": agent, "user": user,
            "since": sent_at, "n": n,
        },
        raised_at=at,
    )  # fmt: skip


def _text_of(check: LookUp | None) -> str | None:
    return None if check is None else msgspec.json.encode(check).decode()


def _action_of(row: Row) -> Action:
    *known, attempt_id, attempts, since, sent_at, ended_at, decided_by, note, lookup = row
    id, scope, n, tool, task_id, agent, user, arguments, state, call_id = known
    return Action(
        id=id, scope=scope, n=n, tool=tool, task_id=task_id, agent=agent, user=user,
        arguments=arguments, state=state, call_id=call_id, attempt_id=attempt_id,
        attempts=attempts, since=since / MICROS, sent_at=sent_at / MICROS,
        ended_at=instant(ended_at), decided_by=decided_by, note=note,
        check=None if lookup is None else msgspec.json.decode(lookup, type=LookUp),
    )  # fmt: skip
