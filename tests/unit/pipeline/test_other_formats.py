"""A provider that is out is stood in for by one of another family, or openly not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.doors.gatehouse import Gatehouse, open_gatehouse

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
TO_CLAUDE = 'use = ["openai:gpt-5.5", "anthropic:claude-sonnet-5"]'
TO_GPT = 'use = ["anthropic:claude-sonnet-5", "openai:gpt-5.5"]'
ROUTES = {
    "to-claude": TO_CLAUDE,
    "to-gpt": TO_GPT,
    "lenient": f'{TO_CLAUDE}\nallow_loss = ["sampling"]',
    "claude": 'use = ["anthropic:claude-sonnet-5"]',
}
BREAK = {"how": "error_event", "after_events": 5}
OUT = {"fault": {"status": 500}}


def down(model: str, *after: Mapping[str, object]) -> Mapping[str, object]:
    """Return a script in which one model is out, and the other answers as told, or anyhow."""
    rules: list[dict[str, object]] = [{"match": {"model": model}, "steps": [OUT]}]
    if after:
        rules.append({"steps": list(after)})
    return {"rules": rules}


def asked(model: str, **more: object) -> bytes:
    page = {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
    return json.dumps({**page, **more}).encode()


def events(stream: bytes) -> list[Any]:
    return [
        json.loads(line[6:])
        for line in stream.split(b"\n")
        if line.startswith(b"data: ") and line != b"data: [DONE]"
    ]


def sent(house: Gatehouse) -> Any:
    """What the last provider was sent."""
    return json.loads(house.simulator.requests[-1].body)


async def test_a_chat_is_answered_by_claude_as_a_chat(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, down("gpt-5.5"), routes=ROUTES) as house:
        status, headers, body = await house.post(CHAT, asked("to-claude"))
        page = json.loads(body)
        assert (status, headers["content-type"]) == (200, "application/json")
        assert (page["object"], page["model"]) == ("chat.completion", "claude-sonnet-5")
        assert page["choices"][0]["message"]["content"]
        assert sent(house)["messages"] == [{"role": "user", "content": "hi"}]


async def test_a_message_is_answered_by_gpt_as_a_message(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, down("claude-sonnet-5"), routes=ROUTES) as house:
        status, _, body = await house.post(MESSAGES, asked("to-gpt"))
        page = json.loads(body)
        assert (status, page["type"], page["model"]) == (200, "message", "gpt-5.5")
        assert page["stop_reason"] == "end_turn"


@pytest.mark.parametrize(
    ("path", "model", "out", "kinds"),
    [
        (CHAT, "to-claude", "gpt-5.5", {"chat.completion.chunk"}),
        (MESSAGES, "to-gpt", "claude-sonnet-5", {"message_start", "message_stop"}),
    ],
)
async def test_a_stream_comes_in_the_family_that_was_asked_for(
    tmp_path: Path, path: str, model: str, out: str, kinds: set[str]
) -> None:
    async with open_gatehouse(tmp_path, down(out), routes=ROUTES) as house:
        status, headers, body = await house.post(path, asked(model, stream=True))
        assert (status, headers["content-type"][:17]) == (200, "text/event-stream")
        assert kinds <= {event.get("object", event.get("type")) for event in events(body)}


async def test_what_the_stand_in_charged_is_booked_by_its_own_usage(tmp_path: Path) -> None:
    usage = {"cache_read_tokens": 64, "cache_write_tokens": 32, "output_tokens": 7}
    script = down("gpt-5.5", {"answer": {"text": "yes", "usage": usage}})
    async with open_gatehouse(tmp_path, script, routes=ROUTES) as house:
        _, _, body = await house.post(CHAT, asked("to-claude"))
        await house.settled()
        told = json.loads(body)["usage"]
        assert told["prompt_tokens_details"]["cached_tokens"] == 64
        assert house.spent_nano_usd == house.simulator.bill().total_nano_usd > 0


async def test_the_audit_row_tells_of_the_other_format(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, down("gpt-5.5"), routes=ROUTES) as house:
        await house.post(CHAT, asked("lenient", seed=4))
        await house.settled()
        attempt = house.rows[-1].attempts[-1]
        assert {"format=anthropic_messages", "lost=sampling"} <= set(attempt.changes)


async def test_a_fallback_that_would_lose_meaning_is_refused_by_name(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, down("gpt-5.5"), routes=ROUTES) as house:
        status, _, body = await house.post(CHAT, asked("to-claude", seed=4))
        assert status == 502
        told = json.loads(body)["error"]["message"]
        assert "would lose seed=4 at $.params.seed" in told
        assert 'allow_loss = ["sampling"] under [models.to-claude]' in told
        assert len(house.simulator.requests) == 1


async def test_a_loss_of_a_model_that_no_route_names_says_how_to_name_one(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path) as house:
        status, _, body = await house.post(CHAT, asked("anthropic:claude-sonnet-5", seed=4))
        reason = json.loads(body)["callgate"]
        assert (status, reason["code"]) == (403, "meaning_lost")
        assert '[models.NAME] with use = ["anthropic:claude-sonnet-5"]' in reason["fix"]


async def test_many_losses_are_named_up_to_a_number_and_then_counted(tmp_path: Path) -> None:
    stops = [{"type": "custom", "custom": {"name": f"t{n}"}} for n in range(8)]
    async with open_gatehouse(tmp_path) as house:
        _, _, body = await house.post(CHAT, asked("anthropic:claude-sonnet-5", tools=stops))
        assert "; and 3 more;" in json.loads(body)["error"]["message"]


async def test_what_a_stand_in_refuses_is_told_in_the_words_of_who_asked(tmp_path: Path) -> None:
    script = {"rules": [{"steps": [{"fault": {"status": 400}}]}]}
    async with open_gatehouse(tmp_path, script, routes=ROUTES) as house:
        status, _, body = await house.post(CHAT, asked("claude"))
        page = json.loads(body)
        assert (status, set(page["error"])) == (400, {"message", "type", "param", "code"})


async def test_a_stand_in_that_breaks_off_is_told_by_the_event_of_who_asked(
    tmp_path: Path,
) -> None:
    script = {"rules": [{"steps": [{"answer": {"text": "a b c d e f"}, "fault": BREAK}]}]}
    async with open_gatehouse(tmp_path, script, routes=ROUTES) as house:
        _, _, body = await house.post(CHAT, asked("claude", stream=True))
        assert events(body)[-1]["error"]["message"]
        assert b"[DONE]" not in body


async def test_a_message_without_a_limit_goes_with_the_gates_too(tmp_path: Path) -> None:
    body = json.dumps({"model": "smart", "messages": [{"role": "user", "content": "hi"}]}).encode()
    lines = "retries = 0\nmax_output_tokens = 77"
    async with open_gatehouse(tmp_path, task_lines=lines) as house:
        status, _, _ = await house.post(MESSAGES, body)
        assert (status, sent(house)["max_completion_tokens"]) == (200, 77)


@pytest.mark.parametrize("urgency", ["interactive", "background"])
async def test_the_gates_limit_is_lowered_to_what_is_left_in_another_format_too(
    tmp_path: Path, urgency: str
) -> None:
    body = json.dumps({"model": "smart", "messages": [{"role": "user", "content": "hi"}]}).encode()
    lines = f'retries = 0\nmax_output_tokens = 1_000_000\nurgency = "{urgency}"'
    async with open_gatehouse(tmp_path, task_lines=lines) as house:
        status, headers, _ = await house.post(MESSAGES, body)
        assert status == 200
        assert 1_000 < sent(house)["max_completion_tokens"] < 1_000_000
        assert sent(house).get("service_tier") == (None if urgency == "interactive" else "flex")
        assert "callgate-limited" not in headers


async def test_headers_of_a_family_stay_in_it(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path) as house:
        await house.post(MESSAGES, asked("smart"), {"anthropic-beta": "some-2026"})
        assert house.simulator.requests[-1].header("anthropic-beta") is None


async def test_a_break_before_anything_that_the_client_could_read_lets_another_serve(
    tmp_path: Path,
) -> None:
    answer = {"thinking": "hm hm hm", "text": "yes"}
    fault = {"how": "end", "after_events": 4}
    script = {
        "rules": [{"match": {"api": "anthropic"}, "steps": [{"answer": answer, "fault": fault}]}]
    }
    async with open_gatehouse(tmp_path, script, routes=ROUTES) as house:
        status, _, body = await house.post(CHAT, asked("to-gpt", stream=True))
        assert (status, events(body)[0]["model"]) == (200, "gpt-5.5")


async def test_the_limit_that_the_gate_chose_goes_with_a_translation(tmp_path: Path) -> None:
    body = json.dumps({"model": "claude", "messages": [{"role": "user", "content": "hi"}]}).encode()
    lines = "retries = 0\nmax_output_tokens = 77"
    async with open_gatehouse(tmp_path, routes=ROUTES, task_lines=lines) as house:
        status, _, _ = await house.post(CHAT, body)
        assert (status, sent(house)["max_tokens"]) == (200, 77)


def looping(model: str, *thoughts: Mapping[str, str], **more: object) -> bytes:
    """Return a request that brings the result of a call, which began with ``thoughts``."""
    use: dict[str, Any] = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "a", "content": "ok"}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [*thoughts, use]},
        {"role": "user", "content": [result]},
    ]
    thinking = {"type": "enabled", "budget_tokens": 1_024}
    return asked(model, messages=messages, max_tokens=3_000, **{"thinking": thinking, **more})


BOTH = {
    "both": f'{TO_GPT}\nallow_loss = ["effort"]',
    "claude": ROUTES["claude"],
}


async def test_a_loop_that_gpt_began_goes_on_with_gpt_where_claude_would_refuse_it(
    tmp_path: Path,
) -> None:
    async with open_gatehouse(tmp_path, {"strict": True}, routes=BOTH) as house:
        status, _, _ = await house.post(MESSAGES, looping("both"))
        assert (status, sent(house)["model"]) == (200, "gpt-5.5")
        assert len(house.simulator.requests) == 1


async def test_one_that_nobody_else_can_have_begun_is_for_claude_to_judge(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, {"strict": True}, routes=BOTH) as house:
        status, _, body = await house.post(MESSAGES, looping("claude"))
        assert (status, b"Expected `thinking`" in body) == (400, True)


async def test_a_loop_that_nobody_can_go_on_with_says_why(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, down("gpt-5.5"), routes=BOTH) as house:
        status, _, body = await house.post(MESSAGES, looping("both"))
        assert (status, b"would refuse to go on with what another has begun" in body) == (502, True)


async def test_a_loop_with_its_thought_goes_on_with_claude(tmp_path: Path) -> None:
    thought = {"type": "redacted_thinking", "data": "x"}
    async with open_gatehouse(tmp_path, routes=BOTH) as house:
        status, _, _ = await house.post(MESSAGES, looping("both", thought))
        assert (status, sent(house)["model"]) == (200, "claude-sonnet-5")


async def test_what_is_lost_on_both_ways_is_told_once(tmp_path: Path) -> None:
    answer = {"answer": {"thinking": "hm", "text": "yes"}}
    thought = {"role": "assistant", "content": "b", "reasoning_content": "hm"}
    said = [{"role": "user", "content": "a"}, thought, {"role": "user", "content": "c"}]
    routes = {"lossy": f'{TO_CLAUDE}\nallow_loss = ["thinking"]'}
    async with open_gatehouse(tmp_path, down("gpt-5.5", answer), routes=routes) as house:
        await house.post(CHAT, asked("lossy", messages=said))
        await house.settled()
        assert house.rows[-1].attempts[-1].changes.count("lost=thinking") == 1
