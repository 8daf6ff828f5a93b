"""A strict simulator refuses the conversations that the providers refuse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest

from callgate.testing.simulator import Simulator
from tests.unit.testing.raw_client import KEY, ask

USER = {"role": "user", "content": "hi"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "ok"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}

USE: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
USES: dict[str, Any] = {"role": "assistant", "content": [USE]}
SAID = {"role": "assistant", "content": "ok"}
SYSTEM = {"role": "system", "content": "x"}
USED = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1"}]}
MARKED = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    answer = {"thinking": "Let me see.", "tool_calls": [{"name": "f"}]}
    async with Simulator({"strict": True, "rules": [{"steps": [{"answer": answer}]}]}) as made:
        yield made


def with_call(**fields: object) -> dict[str, object]:
    return {**CALLS, "tool_calls": [{**CALL, **fields}]}


CHAT: list[tuple[list[dict[str, Any]], str]] = [
    ([USER, RESULT], "must be a response to a preceeding message with 'tool_calls'"),
    ([USER, CALLS, USER], "did not have response messages: call_1"),
    ([USER, CALLS], "did not have response messages: call_1"),
    ([USER, CALLS, {**RESULT, "content": [IMAGE]}], "Only text parts are allowed"),
    ([USER, with_call(id="x" * 65), RESULT], "string too long"),
    ([USER, with_call(function={"name": "a.b", "arguments": "{}"}), RESULT], "does not match"),
    ([USER, with_call(function={"name": "f", "arguments": {}}), RESULT], "expected a string"),
    ([{"role": "wizard", "content": "x"}], "Invalid value: 'wizard'"),
]


@pytest.mark.parametrize(("messages", "shown"), CHAT)
async def test_chat_refuses_a_broken_conversation(
    sim: Simulator, messages: list[dict[str, Any]], shown: str
) -> None:
    answered = await ask(sim, "openai", messages=messages)
    assert answered.status == 400
    assert shown in answered.json()["error"]["message"]
    sim.play({})
    assert (await ask(sim, "openai", messages=messages)).status == 200


async def test_chat_takes_a_whole_conversation(sim: Simulator) -> None:
    text = [{"type": "text", "text": "ok"}]
    messages = [USER, CALLS, {**RESULT, "content": text}, USER]
    assert (await ask(sim, "openai", messages=messages)).status == 200


MESSAGES: list[tuple[dict[str, Any], str]] = [
    ({"messages": [USER, USES, USER]}, "without `tool_result` blocks immediately after: toolu_1"),
    ({"messages": [USER, USES]}, "without `tool_result` blocks immediately after: toolu_1"),
    ({"messages": [USED]}, "unexpected `tool_use_id` found in `tool_result` blocks: toolu_1"),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
        "text content blocks must be non-empty",
    ),
    ({"messages": [{"role": "user", "content": ""}]}, "must have non-empty content"),
    (
        {"messages": [USER, {**USES, "content": [{**USE, "id": "functions.f:0"}]}]},
        "String should match pattern '^[a-zA-Z0-9_-]+$'",
    ),
    (
        {"messages": [USER, {**USES, "content": [{**USE, "input": "{}"}]}]},
        "Input should be a valid dictionary",
    ),
    ({"system": [MARKED] * 5}, "A maximum of 4 blocks with cache_control may be provided. Found 5"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "Input should be 'user', 'assistant'"),
    (
        {"thinking": {"type": "enabled", "budget_tokens": 1000}},
        "`max_tokens` must be greater than `thinking.budget_tokens`",
    ),
    (
        {"messages": [USER, USES, USED], "thinking": {"type": "enabled", "budget_tokens": 999}},
        "Expected `thinking` or `redacted_thinking`, but found `tool_use`",
    ),
    ({"messages": [SYSTEM, USER]}, "messages.0: use the top-level 'system' parameter"),
    ({"messages": [USER, SAID, SYSTEM]}, "messages.2: role 'system' must follow a 'user' message"),
    (
        {"messages": [USER, SYSTEM, USER]},
        "messages.1: role 'system' must precede an 'assistant' message or end the array",
    ),
]


@pytest.mark.parametrize(("fields", "shown"), MESSAGES)
async def test_anthropic_refuses_a_broken_conversation(
    sim: Simulator, fields: dict[str, Any], shown: str
) -> None:
    answered = await ask(sim, "anthropic", **fields)
    assert answered.status == 400
    assert shown in answered.json()["error"]["message"]
    sim.play({})
    assert (await ask(sim, "anthropic", **fields)).status == 200


async def test_anthropic_takes_turns_of_several_messages(sim: Simulator) -> None:
    messages = [USER, USER, SYSTEM, SAID, USES, USED, USER, SYSTEM]
    assert (await ask(sim, "anthropic", messages=messages)).status == 200


# Signatures of thinking.


async def loop(sim: Simulator, key: str = KEY, **thinking: str) -> list[Any]:
    """Return a tool loop whose thinking was given to ``key``, changed by ``thinking``."""
    async with anthropic.AsyncAnthropic(base_url=sim.anthropic_url, api_key=key) as client:
        create: Any = client.messages.create
        reply = await create(model="claude-sonnet-5", max_tokens=1000, messages=[USER])
    blocks = [block.model_dump(exclude_none=True) for block in reply.content]
    blocks[0].update(thinking)
    result = {"type": "tool_result", "tool_use_id": blocks[1]["id"], "content": "ok"}
    said = {"role": "assistant", "content": blocks}
    return [USER, said, {"role": "user", "content": [result]}]


async def test_thinking_comes_back_with_its_signature(sim: Simulator) -> None:
    thinking = {"type": "enabled", "budget_tokens": 999}
    answered = await ask(sim, "anthropic", messages=await loop(sim), thinking=thinking)
    assert answered.status == 200


@pytest.mark.parametrize(
    ("key", "changed"),
    [
        ("sk-another-key-42", {}),
        (KEY, {"thinking": "Let me not see."}),
        (KEY, {"signature": ""}),
        (KEY, {"signature": "not base64!"}),
    ],
)
async def test_a_signature_of_another_key_or_thought_is_refused(
    sim: Simulator, key: str, changed: dict[str, str]
) -> None:
    answered = await ask(sim, "anthropic", messages=await loop(sim, key, **changed))
    assert answered.status == 400
    assert answered.json()["error"]["message"] == (
        "messages.1.content.0: Invalid `signature` in `thinking` block"
    )


async def test_a_signature_is_good_for_one_seed(sim: Simulator) -> None:
    messages = await loop(sim)
    async with Simulator({"strict": True}, seed=99) as other:
        assert (await ask(other, "anthropic", messages=messages)).status == 400
