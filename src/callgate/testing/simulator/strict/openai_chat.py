"""What Chat Completions refuses inside a conversation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from callgate.testing.simulator.request import Problem, is_array, is_object

ROLES: Final = ("system", "assistant", "user", "function", "tool", "developer")
LONGEST_CALL_ID: Final = 64
TOOL_NAME: Final = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")

Message = dict[str, object]


def refuse_broken_messages(messages: Sequence[Message]) -> None:
    """Refuse tool results without a call, calls without a result, and images of tools.

    Raises:
        Problem: There is one; the first is told.
    """
    waiting: dict[str, None] = {}
    for n, message in enumerate(messages):
        role = message.get("role")
        if role not in ROLES:
            shown = f"Invalid value: '{role}'. Supported values are: {_listed(ROLES)}."
            raise Problem(400, shown, param=f"messages[{n}].role", code="invalid_value")
        if role == "tool":
            _answer(message, n, waiting)
            continue
        _refuse_unanswered(waiting)
        if role == "assistant":
            waiting = dict.fromkeys(_call_ids(message, n))
    _refuse_unanswered(waiting)


def _answer(message: Message, n: int, waiting: dict[str, None]) -> None:
    place = f"messages[{n}]"
    content = message.get("content")
    for part in content if is_array(content) else ():
        if not is_object(part) or part.get("type") != "text":
            shown = (
                f"Invalid '{place}'. Only text parts are allowed for messages with role 'tool', "
                f"but this message contains {_kind(part)}."
            )
            raise Problem(400, shown, param=place, code="invalid_value")
    if message.get("tool_call_id") not in waiting:
        shown = (
            "Invalid parameter: messages with role 'tool' must be a response to a preceeding "
            "message with 'tool_calls'."
        )
        raise Problem(400, shown, param=f"{place}.role")
    del waiting[str(message["tool_call_id"])]


def _refuse_unanswered(waiting: dict[str, None]) -> None:
    if waiting:
        shown = (
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            "to each 'tool_call_id'. The following tool_call_ids did not have response messages: "
            + ", ".join(waiting)
        )
        raise Problem(400, shown, param="messages")


def _call_ids(message: Message, n: int) -> Iterator[str]:
    calls = message.get("tool_calls")
    for index, call in enumerate(calls if is_array(calls) else ()):
        place = f"messages[{n}].tool_calls[{index}]"
        function = call.get("function") if is_object(call) else None
        name = call.get("id") if is_object(call) else None
        if not isinstance(name, str):
            raise Problem(400, f"Missing required parameter: '{place}.id'.", param=f"{place}.id")
        if len(name) > LONGEST_CALL_ID:
            shown = (
                f"Invalid '{place}.id': string too long. Expected a string with maximum length "
                f"{LONGEST_CALL_ID}, but got a string with length {len(name)} instead."
            )
            raise Problem(400, shown, param=f"{place}.id", code="string_above_max_length")
        _refuse_function(function, f"{place}.function")
        yield name


def _refuse_function(function: object, place: str) -> None:
    name = function.get("name") if is_object(function) else None
    if not isinstance(name, str) or not TOOL_NAME.match(name):
        shown = (
            f"Invalid '{place}.name': string does not match pattern. Expected a string that "
            "matches the pattern '^[a-zA-Z0-9_-]+$'."
        )
        raise Problem(400, shown, param=f"{place}.name", code="invalid_value")
    if not is_object(function) or not isinstance(function.get("arguments"), str):
        shown = f"Invalid type for '{place}.arguments': expected a string."
        raise Problem(400, shown, param=f"{place}.arguments", code="invalid_type")


def _kind(part: object) -> str:
    return f"a part of type '{part.get('type')}'" if is_object(part) else "something else"


def _listed(words: Sequence[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)
