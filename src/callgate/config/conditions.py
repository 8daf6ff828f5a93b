"""Conditions: what must be true of a call and its arguments, as an expression in CEL.

The language ends by its nature: it has no loops but those over what it is given, and the library
bounds these too, and takes regular expressions that need linear time.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import msgspec
from cel_expr_python import cel

VARIABLES: Final = ("args", "tool", "agent", "user", "task", "task_type")
"""What an expression may speak of."""

LONGEST_TOLD: Final = 300
"""Characters of what the library says about a mistake."""

CODES: Final = (
    "INVALID_ARGUMENT: ",
    "NOT_FOUND: ",
    "UNKNOWN: ",
    "INTERNAL: ",
    "CANCELLED: ",
    "ERROR: ",
)
"""What the library puts before its sentences."""


class NotDecided(Exception):
    """An expression is neither true nor false of a call; the message says why."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a call when its conditions are looked at."""

    args: Mapping[str, Any]
    tool: str
    agent: str
    user: str | None
    task: str
    task_type: str


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One expression that must be true of each call to the tools that it is for."""

    table: str
    """Whose it is, such as ``agents.support``."""
    place: str
    """Where it stands, such as ``agents.support.when.create_refund``."""
    scope: str
    """Whom it holds for, such as ``agent:support``."""
    pattern: str
    """The tools that it is for: a name or a glob."""
    text: str
    """The expression."""

    def holds(self, facts: Facts) -> bool:
        """Return whether it is true of a call.

        Raises:
            NotDecided: It is neither true nor false: an argument is missing, or of another type.
        """
        data = {name: getattr(facts, name) for name in VARIABLES}
        try:
            value = compiled(self.text).eval(data=data)
        except RuntimeError as error:
            raise NotDecided(_told(error)) from error
        if value.type() == cel.Type.BOOL:
            return bool(value.value())
        if value.type() == cel.Type.ERROR:
            raise NotDecided(_told(value.value()))
        raise NotDecided(_neither(value.type()))


@cache
def compiled(text: str) -> cel.Expression:
    """Return an expression ready to be evaluated; each is compiled once.

    Raises:
        ValueError: It is no expression, speaks of something unknown, or cannot be true or false.
    """
    try:
        expression = _environment().compile(text)
    except RuntimeError as error:
        raise ValueError(_told(error)) from error
    given = expression.return_type()
    # What hangs on an argument is known only when there is one.
    if given not in (cel.Type.BOOL, cel.Type.DYN):
        raise ValueError(_neither(given))
    return expression


@cache
def _environment() -> cel.Env:
    text = cel.Type.STRING
    return cel.NewEnv(
        variables={
            "args": cel.Type.Map(text, cel.Type.DYN), "tool": text, "agent": text,
            "user": cel.Type.DYN, "task": text, "task_type": text,
        }
    )  # fmt: skip


def _neither(given: cel.Type) -> str:
    return f"it gives {given.name().lower()}, which is neither true nor false"


def _told(error: object) -> str:
    """Return the first line of what the library says, without its own codes."""
    first = str(error).partition("\n")[0].partition(" [")[0]
    for code in CODES:
        first = first.removeprefix(code)
    return first[:LONGEST_TOLD]
