"""Identify: which task a call belongs to, and what holds for tasks of that type."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TypeVar

import msgspec

from callgate.call import Call, Caller, Claims, new_id
from callgate.config.policies import Settings, TaskPolicy
from callgate.config.values import full_name
from callgate.errors import Denied, Malformed, Reason, Unknown
from callgate.money import Money
from callgate.pipeline.rights import require_narrower, rights
from callgate.pipeline.stage import AnyPassage
from callgate.store import Resent, Store
from callgate.task import Task

Limit = TypeVar("Limit", Money, float)

LONGEST_ID = 128
"""Characters of a task id that a caller may choose."""


MOST_KNOWN = 4096
"""Tasks that are not looked up again; the one that was found first is forgotten first."""


LONGEST_RETRYING_SECONDS = 3600.0
"""How long after a call its client may still send it again, when it names no task.

Source: three tries of ten minutes each, which is what the official SDKs wait, and room.
"""


class Identify(msgspec.Struct, frozen=True, kw_only=True):
    """Find or make the task, and refuse claims that contradict the key or the task."""

    settings: Settings
    store: Store
    known: dict[str, Task] = msgspec.field(default_factory=dict)
    """Stored tasks. What identifies one never changes; what does is read at admission."""

    def guard(self, passage: AnyPassage, /) -> None:
        """Name the task of a call before anything else is decided."""
        call = passage.call
        task = self._resent(passage) if call.client_retry else self._stored(call)
        if task is None:
            task = new_task(self.settings, call.caller, call.claims, started_at=call.started_at)
            passage.own_task = call.claims.task_id is None
        passage.task = task
        passage.policy = task_policy(self.settings, task.type)
        passage.narrowing = self.narrowing(task)

    def narrowing(self, task: Task) -> tuple[Task, ...]:
        """Return a task and those above it, as far as they are narrowed to some models or tools."""
        found: list[Task] = []
        above: Task | None = task
        # A stored task has a stored one above it that was there before, so this ends.
        while above is not None:
            if above.models is not None or above.tools is not None:
                found.append(above)
            above = None if above.parent is None else self._known(above.parent)
        return tuple(found)

    def _resent(self, passage: AnyPassage) -> Task | None:
        """Return the task of a call that its client sends again: that of the earlier one.

        Whoever says so and was never admitted before, as it was to come back later, or is not known
        any more, makes a first try.
        """
        call = passage.call
        task = self._stored(call)
        if task is None and call.claims.task_id is not None:
            return None
        agent = self.settings.agents.get(call.caller.agent)
        resent = Resent(
            agent=call.caller.agent,
            user=call.claims.user,
            task_type=call.claims.task_type or (None if agent is None else agent.task_type),
            task_id=None if task is None else task.id,
            fingerprint=call.fingerprint,
            since=call.started_at - LONGEST_RETRYING_SECONDS,
        )
        earlier = self.store.find_earlier(resent)
        if earlier is None:
            return task
        passage.client_retry = call.client_retry
        if task is None:
            task, passage.own_task = self._found(earlier), True
        return task

    def _stored(self, call: Call) -> Task | None:
        bound, claims = call.caller.task_id, call.claims
        task_id = bound or claims.task_id
        if task_id is None:
            return None
        task = self._known(task_id)
        if task is None:
            return None
        _agree(task, call.caller, claims, by_key=bound is not None)
        return task

    def _known(self, task_id: str) -> Task | None:
        return self.known.get(task_id) or self._found(task_id)

    def _found(self, task_id: str) -> Task | None:
        task = self.store.find_task(task_id)
        if task is not None:
            if len(self.known) >= MOST_KNOWN:
                del self.known[next(iter(self.known))]
            self.known[task_id] = task
        return task


def new_task(
    settings: Settings,
    caller: Caller,
    claims: Claims,
    *,
    started_at: float,
    budget: Money | None = None,
    timeout_seconds: float | None = None,
    models: Sequence[str] | None = None,
    tools: Sequence[str] | None = None,
) -> Task:
    """Return the task that a caller asks for, under its type's rules; it is not stored yet.

    Args:
        settings: What holds for task types and agents.
        caller: Whose task it is.
        claims: What the caller says about it.
        started_at: Seconds since 1970.
        budget: May only lower the type's budget.
        timeout_seconds: May only lower the type's timeout.
        models: Names or globs; what its agent may ask for, and none of these covers, it may not.
        tools: The same of tools.

    Raises:
        Denied: The agent is not in the settings, or may not call a tool that is named.
        Unknown: There is no such task type.
        Malformed: A claim is missing that the settings require, or an id is too long.
    """
    agent = settings.agents.get(caller.agent)
    if agent is None:
        msg = f"the agent {caller.agent!r} is not in the settings; add [agents.{caller.agent}]"
        raise Denied(
            msg,
            reason=Reason(code="unknown_agent", rule="agents", fix=f"add [agents.{caller.agent}]"),
        )
    _require(settings, claims)
    policy = task_policy(settings, claims.task_type or agent.task_type)
    timeout = _lower(policy.timeout_seconds, timeout_seconds)
    task = Task(
        id=claims.task_id or new_id("task"),
        type=policy.type,
        agent=caller.agent,
        user=claims.user,
        parent=claims.parent,
        budget=_lower(policy.budget, budget),
        started_at=started_at,
        deadline_at=None if timeout is None else started_at + timeout,
        models=None if models is None else tuple(map(full_name, models)),
        tools=None if tools is None else tuple(tools),
    )
    require_narrower(task, rights(settings, "tools", agent=task.agent, task_type=task.type))
    return task


def task_policy(settings: Settings, task_type: str) -> TaskPolicy:
    """Return the rules of a task type.

    Raises:
        Unknown: The settings do not name it.
    """
    policy = settings.tasks.get(task_type)
    if policy is not None:
        return policy
    near = get_close_matches(task_type, settings.tasks, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    msg = f"there is no task type {task_type!r}{hint} The settings name: {', '.join(sorted(settings.tasks))}"
    fix = f"add [tasks.{task_type}] to the settings, or send one of those names"
    raise Unknown(msg, reason=Reason(code="unknown_task_type", rule="tasks", fix=fix))


def _require(settings: Settings, claims: Claims) -> None:
    if settings.gate.require_task and claims.task_id is None:
        msg = "this gate takes no call without a task: send the header Callgate-Task"
        raise Malformed(
            msg,
            reason=Reason(code="task_required", rule="gate.require_task", fix="send Callgate-Task"),
        )
    if settings.gate.require_user and claims.user is None:
        msg = "this gate takes no call without a user: send the header Callgate-User"
        raise Malformed(
            msg,
            reason=Reason(code="user_required", rule="gate.require_user", fix="send Callgate-User"),
        )
    for what, said in (
        ("task id", claims.task_id),
        ("user", claims.user),
        ("parent task's id", claims.parent),
    ):
        if said is not None and not 0 < len(said) <= LONGEST_ID:
            raise _length(what, len(said))


def _length(what: str, found: int) -> Malformed:
    fix = f"send one of 1 to {LONGEST_ID} characters"
    msg = f"a {what} has 1 to {LONGEST_ID} characters; this one has {found}"
    return Malformed(msg, reason=Reason(code="id_length", limit=LONGEST_ID, used=found, fix=fix))


def _agree(task: Task, caller: Caller, claims: Claims, *, by_key: bool) -> None:
    """Refuse a claim that says something else than the stored task; what is not said agrees."""
    claimed = (
        ("Callgate-Task", claims.task_id, task.id),
        ("agent", caller.agent, task.agent),
        ("Callgate-Task-Type", claims.task_type, task.type),
        ("Callgate-User", claims.user, task.user),
        ("Callgate-Parent-Task", claims.parent, task.parent),
    )
    for name, said, known in claimed:
        if said is not None and said != known:
            msg = f"{name} says {said!r}, but task {task.id!r} has {known!r}; send the same, or use another task id"
            kind = Denied if by_key else Malformed
            raise kind(
                msg,
                reason=Reason(
                    code="task_mismatch", scope=f"task:{task.id}", fix="use another task id"
                ),
            )


def _lower(rule: Limit | None, asked: Limit | None) -> Limit | None:
    """Return the stricter of two limits, where None is no limit."""
    if rule is None or asked is None:
        return asked if rule is None else rule
    return min(rule, asked)
