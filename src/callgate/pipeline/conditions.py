"""Conditions: least privilege on arguments; what the settings say of a call must be true of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from callgate.config.conditions import Condition, Facts, NotDecided
from callgate.config.policies import Settings
from callgate.errors import Denied, Reason
from callgate.pipeline.stage import ToolPassage

WORD: Final = re.compile(r"\w+")


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """Refuse a call of which a condition of its agent, or of its task type, is not true."""

    settings: Settings

    def guard(self, passage: ToolPassage, /) -> None:
        """Look at every condition that is for the tool."""
        for condition in self._of(passage):
            _require(condition, _facts(passage))

    def _of(self, passage: ToolPassage) -> Iterator[Condition]:
        assert passage.policy is not None
        agent = self.settings.agents[passage.call.caller.agent]
        for condition in (*agent.conditions, *passage.policy.conditions):
            if fnmatchcase(passage.call.name, condition.pattern):
                yield condition


def _facts(passage: ToolPassage) -> Facts:
    task, arguments = passage.task, passage.arguments
    assert task is not None
    assert arguments is not None
    return Facts(
        args=arguments,
        tool=passage.call.name,
        agent=task.agent,
        user=task.user,
        task=task.id,
        task_type=task.type,
    )


def _require(condition: Condition, facts: Facts) -> None:
    """Refuse a call of which a condition is not true, also where nobody can say."""
    try:
        if condition.holds(facts):
            return
        why = "is false"
    except NotDecided as unclear:
        why = f"cannot be decided, so the call is refused ({unclear})"
    found = ", ".join(_found(condition, facts)) or "nothing that it speaks of"
    fix = f"call it with arguments that it allows, or change it under [{condition.table}.when]"
    msg = (
        f"{condition.place} refuses this call of {facts.tool}: {condition.text} {why}; found {found};"
        f" {fix}"
    )
    reason = Reason(
        code="condition_not_met",
        rule=condition.place,
        scope=condition.scope,
        limit=condition.text,
        used=found,
        fix=fix,
    )
    raise Denied(msg, reason=reason)


def _found(condition: Condition, facts: Facts) -> Iterator[str]:
    """Yield what a condition speaks of, as far as it may be told: no text of an argument."""
    words = set(WORD.findall(condition.text))
    for name, value in facts.args.items():
        if name in words:
            yield f"args.{name} = {_shown(value)}"
    if "user" in words:
        yield f"user = {facts.user!r}"


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f"a text of {len(value)} characters"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return msgspec.json.encode(value).decode()
