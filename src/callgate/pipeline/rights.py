"""Rights: what is allowed in one place; a call needs a right in each, so that none widens another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import product
from typing import Final, Literal

import msgspec

from callgate.config.policies import Settings
from callgate.errors import Denied, Reason
from callgate.task import Task

Kind = Literal["models", "tools"]

GLOB: Final = frozenset("*?[")
"""What no plain name has."""

PLACES: Final[Mapping[str, tuple[str, str]]] = {
    "agent": ("the agent", 'add "{name}" to {kind} under [agents.{who}]'),
    "type": ("a task of the type", 'add "{name}" to {kind} under [tasks.{who}]'),
    "task": ("the task", "begin another task: what one is narrowed to never changes"),
}
"""By kind of scope: what it is called, and what widens it."""


class Right(msgspec.Struct, frozen=True, kw_only=True):
    """The names that one place allows: an agent's table, its task type's, or a task itself."""

    kind: Kind
    rule: str
    """What refuses, such as ``agents.support.tools``."""
    scope: str
    """Whom it holds for, such as ``agent:support``."""
    names: tuple[str, ...]
    """Names or globs."""

    def allows(self, name: str) -> bool:
        """Return whether it covers a name."""
        return any(fnmatchcase(name, pattern) for pattern in self.names)

    def denied(self, name: str, *, of: str = "") -> Denied:
        """Return the refusal of a name that it does not cover.

        Args:
            name: What was asked for.
            of: Who serves it, to be told beside the name.
        """
        kind, _, who = self.scope.partition(":")
        whose, fix = PLACES[kind]
        listing = ", ".join(self.names) or "none"
        can = f"may not use {name!r}{of}; it may use: {listing}"
        if self.kind == "tools":
            can = f"may not call {name!r}; its tools are: {listing}"
        reason = Reason(
            code=f"{self.kind.removesuffix('s')}_denied",
            rule=self.rule,
            scope=self.scope,
            fix=fix.format(name=name, kind=self.kind, who=who),
        )
        return Denied(f"{whose} {who!r} {can}", reason=reason)


def rights(
    settings: Settings, kind: Kind, *, agent: str, task_type: str | None, tasks: Sequence[Task] = ()
) -> tuple[Right, ...]:
    """Return what a call needs a name to be covered by.

    Args:
        settings: What agents and task types may do.
        kind: Of models or of tools.
        agent: Who asks; one of the settings.
        task_type: The type of its task; None where there is none yet.
        tasks: The task, and those above it.
    """
    found = [
        Right(
            kind=kind,
            rule=f"agents.{agent}.{kind}",
            scope=f"agent:{agent}",
            names=getattr(settings.agents[agent], kind),
        )
    ]
    policy = None if task_type is None else settings.tasks.get(task_type)
    names: tuple[str, ...] | None = None if policy is None else getattr(policy, kind)
    if names is not None:
        rule, scope = f"tasks.{task_type}.{kind}", f"type:{task_type}"
        found.append(Right(kind=kind, rule=rule, scope=scope, names=names))
    return (*found, *rights_of_tasks(kind, tasks))


def rights_of_tasks(kind: Kind, tasks: Sequence[Task]) -> tuple[Right, ...]:
    """Return what some tasks are narrowed to themselves."""
    named: list[tuple[Task, tuple[str, ...] | None]] = [
        (task, getattr(task, kind)) for task in tasks
    ]
    return tuple(
        Right(kind=kind, rule=f"{kind} of the task", scope=f"task:{task.id}", names=names)
        for task, names in named
        if names is not None
    )


def allow(rights: Sequence[Right], name: str) -> bool:
    """Return whether a name is covered in every place."""
    return all(right.allows(name) for right in rights)


def require_narrower(task: Task, given: Sequence[Right]) -> None:
    """Refuse a task that names a tool which it could not call all the same, such as one misspelt.

    Args:
        task: One that is not stored yet.
        given: What its agent and its type allow.

    Raises:
        Denied: They do not allow a tool that it names.
    """
    plain = (name for name in task.tools or () if not set(name) & GLOB)
    for name, right in product(plain, given):
        if not right.allows(name):
            raise right.denied(name)
