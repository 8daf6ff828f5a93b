"""What a call to a tool is about to do, by which the same is known again."""

from __future__ import annotations

from hashlib import sha256
from math import inf
from typing import Any, Final
from uuid import uuid4

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError

from callgate.call import Tool, Within, Witness, new_id
from callgate.errors import Malformed, Misconfigured, Reason
from callgate.pipeline.stage import ToolPassage
from callgate.redact import redact
from callgate.store import LookUp, Planned
from callgate.store.actions import MOST_ARGUMENTS
from callgate.task import Task

MOST_REPEATS: Final = 10_000
"""The highest number that a repetition may have: a larger one is a mistake."""

KEY_GOOD_SECONDS: Final = 86_400.0
"""How long a tool is taken to know an idempotency key: no longer than it may be asked again.

Source: docs.stripe.com/api/idempotent_requests, which forgets keys after 24 hours at the earliest;
others keep them as long or longer.
"""

UNNAMED: Final = ""
"""The user of calls that name none: together they are one."""


def planned(passage: ToolPassage) -> Planned:
    """Return what a call is about to do.

    Raises:
        Malformed: It says that it is a repetition, by a number that makes no sense.
        Misconfigured: What of its arguments is to name the action cannot be told.
    """
    tool, task, arguments = passage.tool, passage.task, passage.arguments
    assert tool is not None
    assert task is not None
    scope = _scope(task, tool.once_in or "task")
    named = None if tool.once is None else picked(tool.once, arguments, tool, "once")
    exact = canonical(arguments)
    # Where nothing of what names it was sent, all that was sent does.
    name = canonical([scope, tool.name, named is None, arguments if named is None else named])
    return Planned(
        id=new_id("act"),
        digest=sha256(name).digest(),
        scope=scope,
        repeat=_repeat(tool, passage.call.repeat),
        tool=tool.name,
        task=task,
        exact=sha256(exact).digest(),
        arguments=redact(exact.decode())[:MOST_ARGUMENTS],
        idempotency_key=new_idempotency_key(),
        known_for_seconds=_known_for_seconds(tool),
        wait_seconds=tool.timeout_seconds,
        check=None if tool.check is None else _look_up(tool.check, tool, arguments),
    )


def new_idempotency_key() -> str:
    """Return a key for one action, in the form that is taken everywhere.

    Source: draft-ietf-httpapi-idempotency-key-header, which recommends a UUID.
    """
    return str(uuid4())


def canonical(value: Any) -> bytes:
    """Return JSON in the one form that all ways to write the same value have in common.

    Members are in the order of their names, and numbers that are whole are written as such. Unlike in
    RFC 8785, whole numbers keep all their digits: two orders whose numbers differ in the last one are
    not the same.
    """
    return msgspec.json.encode(NUMBERS.decode(msgspec.json.encode(value)), order="sorted")


def picked(query: str, value: Any, tool: Tool, setting: str) -> Any:
    """Return what a query of a tool's settings finds in a value.

    Raises:
        Misconfigured: It cannot be asked of such a value.
    """
    try:
        return jmespath.search(query, value)
    except JMESPathError as error:
        place = f'{setting} under [tools."{tool.name}"]'
        msg = f"{place} cannot be told of these arguments: {error}; correct it in callgate.toml"
        raise Misconfigured(msg) from error


def _number(text: str) -> object:
    value = float(text)
    return int(value) if value.is_integer() else value


NUMBERS: Final = msgspec.json.Decoder(float_hook=_number)


def _known_for_seconds(tool: Tool) -> float:
    """Return how long a tool may be asked for the same again while nobody knows."""
    if tool.is_repeatable:
        return inf
    return KEY_GOOD_SECONDS if tool.takes_key else 0.0


def _scope(task: Task, within: Within) -> str:
    if within == "gate":
        return "gate"
    names = {"task": task.id, "user": task.user or UNNAMED, "agent": task.agent}
    return f"{within}:{names[within]}"


def _repeat(tool: Tool, said: int | None) -> int | None:
    if said is None:
        return None if tool.repeats else 1
    if not 0 < said <= MOST_REPEATS:
        fix = f"send a number from 1 to {MOST_REPEATS}, which says for which time the call is meant"
        msg = f"Callgate-Repeat is {said}; {fix}"
        reason = Reason(code="repeat_range", limit=MOST_REPEATS, used=said, fix=fix)
        raise Malformed(msg, reason=reason)
    return said


def _look_up(check: Witness, tool: Tool, arguments: Any) -> LookUp:
    asked = picked(check.arguments, arguments, tool, "check.arguments")
    arguments_by_name = msgspec.json.encode(asked)
    if not arguments_by_name.startswith(b"{"):
        msg = (
            f'check.arguments under [tools."{tool.name}"] gives no arguments by name; write it as '
            "{name: query} in callgate.toml"
        )
        raise Misconfigured(msg)
    return LookUp(
        tool=check.tool, arguments=msgspec.json.decode(arguments_by_name), done=check.done
    )
