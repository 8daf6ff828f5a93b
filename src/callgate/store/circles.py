"""Going round in circles: too many calls of a task, the same call again and again, or too deep."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from callgate.errors import Looping, Reason
from callgate.store import Intent
from callgate.store.limits import Limit, Standing
from callgate.store.tasks import depth_below

CALLS: Final = "SELECT count(*) FROM calls WHERE task_id = ? AND state <> 'refused'"
ALIKE: Final = f"{CALLS} AND fingerprint = ?"


def refuse_circles(cursor: sqlite3.Cursor, intent: Intent, standing: Sequence[Standing]) -> None:
    """Refuse the first attempt of a call by which a task goes round in circles.

    Raises:
        Looping: Too many calls, the same call too often, or too many tasks above this one.
    """
    if intent.n > 1:
        return
    for each in standing:
        used, told = _used(cursor, intent, each.limit)
        if told is not None and used >= each.limit.value:
            raise _looping(intent, each.limit, used, told)


def _used(cursor: sqlite3.Cursor, intent: Intent, limit: Limit) -> tuple[int, str | None]:
    """Return how much of a limit is used, and how to say it; nothing where it is another kind."""
    task = intent.task
    if limit.name == "max_calls":
        (calls,) = cursor.execute(CALLS, (task.id,)).fetchone()
        return calls, f"has made {calls} calls"
    if limit.name == "max_repeats" and intent.fingerprint is not None:
        (alike,) = cursor.execute(ALIKE, (task.id, intent.fingerprint)).fetchone()
        return alike, f"has made this very call {alike} times"
    if limit.name == "max_depth":
        # A task of its own has a depth of 0, and one more than the limit is too deep.
        depth = depth_below(cursor, task.parent)
        return depth - 1, f"stands {depth} tasks below the first"
    return 0, None


def _looping(intent: Intent, limit: Limit, used: int, told: str) -> Looping:
    fix = f"look why it goes on, or raise {limit.setting} in callgate.toml"
    msg = f"task {intent.task.id} {told}, and {limit.setting} is {limit.value}; {fix}"
    reason = Reason(
        code=limit.name,
        rule=limit.setting,
        scope=f"task:{intent.task.id}",
        limit=limit.value,
        used=used,
        needed=1,
        fix=fix,
    )
    return Looping(msg, reason=reason)
