"""What Anthropic refuses to go on with, because the model of somebody else has begun it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from callgate.wire.codec.anthropic_messages.resume import refuses

USER: dict[str, Any] = {"role": "user", "content": "hi"}
USE: dict[str, Any] = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
RESULT: dict[str, Any] = {"type": "tool_result", "tool_use_id": "a", "content": "ok"}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
SAID = {"type": "text", "text": "Let me see."}


def body(*said: Any, thinking: str = "enabled") -> bytes:
    """Return a request in which the model has said this before a result."""
    turns = [{"role": "assistant", "content": each} for each in said]
    messages = [USER, *turns, {"role": "user", "content": [RESULT]}]
    return json.dumps({"thinking": {"type": thinking}, "messages": messages}).encode()


@pytest.mark.parametrize("said", [([USE],), ([SAID, USE],), ([SAID], [USE]), ("Hm.", [USE])])
def test_calls_without_a_thought_before_them(said: tuple[Any, ...]) -> None:
    assert "without the thought" in (refuses(body(*said)) or "")


@pytest.mark.parametrize("said", [([THOUGHT, USE],), ([THOUGHT], [SAID, USE]), ([SAID],), ()])
def test_not_those_that_have_one_nor_words_alone(said: tuple[Any, ...]) -> None:
    assert refuses(body(*said)) is None


@pytest.mark.parametrize("thinking", ["adaptive", "disabled"])
def test_not_where_the_model_need_not_think(thinking: str) -> None:
    asked = body([USE, {"type": "text", "text": "enabled"}], thinking=thinking)
    assert refuses(asked) is None


def test_what_cannot_be_read_is_for_others_to_judge() -> None:
    assert refuses(b'{"thinking": "enabled", "messages": "tool_use"}') is None
    assert refuses(b'"enabled" "tool_use"') is None


def test_a_turn_before_the_last_does_not_matter() -> None:
    page = json.loads(body([USE]))
    page["messages"] += [{"role": "assistant", "content": [THOUGHT, SAID]}, USER]
    assert refuses(json.dumps(page).encode()) is None
