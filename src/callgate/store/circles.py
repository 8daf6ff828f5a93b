"""Going round in circles: too many calls of a task, the same call again and again, or too deep."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from callgate.errors import Looping, Reason
from callgate.store import Intent
from callgate.store.limits import Limit
from callgate.store.sql import Cursor

ALIKE: Final = "SELECT count(*) FROM calls WHERE task_id = ? AND fingerprint = ?"


def refuse_circles(
    cursor: Cursor,
    intent: Intent,
    limits: Iterable[Limit],
    *,
    calls: int,
    depth: int,
) -> None:
    """Refuse the first attempt of a call by which a task goes round in circles.

    Args:
        cursor: Inside the transaction that admits.
        intent: What is to be admitted.
        limits: Those of what one task does that hold for it.
        calls: How many calls of its task were admitted.
        depth: How many tasks stand above its own.

    Raises:
        Looping: Too many calls, the same call too often, or too many tasks above this one.
    """
    if intent.n > 1:
        return
    for limit in limits:
        if limit.name == "max_calls" and calls >= limit.value:
            raise _looping(intent, limit, calls, f"has made {calls} calls")
        if limit.name == "max_depth" and depth > limit.value:
            raise _looping(intent, limit, depth - 1, f"stands {depth} tasks below the first")
        if limit.name == "max_repeats" and intent.fingerprint is not None:
            given = (intent.task.id, intent.fingerprint)
            (alike,) = cursor.execute(ALIKE, given).fetchone()
            if alike >= limit.value:
                raise _looping(intent, limit, alike, f"has made this very call {alike} times")


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
