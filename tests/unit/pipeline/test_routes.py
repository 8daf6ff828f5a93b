"""The ways to an answer: more keys, service tiers that cost less, limits of providers, escalation."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import msgspec
import pytest

from callgate.call import Candidate
from callgate.config.policies import AgentPolicy, LimitPolicy, TaskPolicy
from callgate.errors import BadCredential, Exhausted, OverBudget, OverLimit, RateLimited, Transient
from callgate.pipeline.walk import Walk
from callgate.store import Block
from callgate.testing.fakes import Answer
from tests.unit.pipeline.road import KEYS, PRICE, Road, open_road
from tests.unit.pipeline.test_choosing import asked, routed

OUT = Transient("500", billed=False)
BUSY = RateLimited("429", billed=False, retry_after_seconds=2)
CUT = Answer(finish_reason="length")
SCHEMA = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}
MORE_KEYS = {**KEYS, "FIRST_B": "key-1b"}
ONE_TRY = TaskPolicy(type="default", retries=0)


def key_sent(road: Road) -> list[str]:
    sent = (outgoing.credential for outgoing in road.providers["first"].sent)
    return [credential.reveal() for credential in sent if credential is not None]


def with_keys(path: Path) -> dict[str, Any]:
    return {"environ": MORE_KEYS, **routed(path, provider={"more_keys": ("env:FIRST_B",)})}


async def test_a_key_with_too_many_calls_gives_way_to_the_next_at_once(tmp_path: Path) -> None:
    async with open_road(tmp_path, BUSY, Answer(), **with_keys(tmp_path)) as road:
        await road.ask()
        assert sorted(key_sent(road)) == ["key-1", "key-1b"]
        assert road.clock.waits == []


async def test_a_rejected_key_gives_way_to_the_next_and_is_not_used_again(tmp_path: Path) -> None:
    rejected = BadCredential("401", billed=False)
    async with open_road(tmp_path, rejected, Answer(), Answer(), **with_keys(tmp_path)) as road:
        await road.ask()
        await road.ask()
        bad, *good = key_sent(road)
        assert [bad != each for each in good] == [True, True]
        await road.settled()
        assert [alert.resolved_at for alert in road.store.alerts()] == [None]


async def test_tasks_are_spread_over_the_keys_and_stay_with_theirs(tmp_path: Path) -> None:
    answers = (Answer(),) * 16
    async with open_road(tmp_path, *answers, **with_keys(tmp_path)) as road:
        for n in range(16):
            await road.ask(task=f"t{n // 2}")
        sent = key_sent(road)
        assert sent[::2] == sent[1::2]
        assert set(sent) == {"key-1", "key-1b"}


async def test_what_is_no_matter_of_the_key_is_not_tried_with_another(tmp_path: Path) -> None:
    async with open_road(tmp_path, OUT, OUT, OUT, **with_keys(tmp_path)) as road:
        with pytest.raises(Transient):
            await road.ask()
        assert len(set(key_sent(road))) == 1


async def test_a_wait_of_a_lone_candidate_is_waited_for_whatever_keys_there_are(
    tmp_path: Path,
) -> None:
    slow = Transient("503", billed=False, retry_after_seconds=9)
    async with open_road(tmp_path, slow, Answer(), **with_keys(tmp_path)) as road:
        await road.ask()
        assert road.clock.waits == [9]


async def test_a_long_wait_with_another_candidate_is_not_waited_for_whatever_keys_there_are(
    tmp_path: Path,
) -> None:
    slow = Transient("503", billed=False, retry_after_seconds=9)
    changes = with_keys(tmp_path)
    async with open_road(tmp_path, slow, second=(Answer(),), **changes) as road:
        await road.ask("smart")
        assert (asked(road), road.clock.waits) == (["first", "second"], [])


async def test_a_limit_of_a_provider_is_no_matter_of_the_key(tmp_path: Path) -> None:
    limits = (LimitPolicy(scope="provider:first", name="per_minute", value=0, waits=True),)
    changes = with_keys(tmp_path)
    async with open_road(tmp_path, second=(Answer(),), limits=limits, **changes) as road:
        await road.ask("smart")
        assert (asked(road), road.clock.waits) == (["second"], [])


async def test_the_last_key_is_waited_for(tmp_path: Path) -> None:
    async with open_road(tmp_path, BUSY, BUSY, Answer(), **with_keys(tmp_path)) as road:
        await road.ask()
        assert road.clock.waits == [2]


async def test_a_budget_that_one_is_too_dear_for_lets_a_cheaper_one_serve(tmp_path: Path) -> None:
    cheap = msgspec.structs.replace(PRICE, input_femto=1, output_femto=1)
    changes = routed(tmp_path, prices={"first:a": PRICE, "second:b": cheap})
    async with open_road(tmp_path, second=(Answer(),), budget="0.0001", **changes) as road:
        await road.ask("smart")
        assert asked(road) == ["second"]


async def test_where_all_are_too_dear_the_first_choice_is_told(tmp_path: Path) -> None:
    async with open_road(tmp_path, budget="0.0001") as road:
        with pytest.raises(OverBudget, match="this call may cost"):
            await road.ask("smart")
        assert asked(road) == []


async def test_a_refusal_after_a_failure_is_what_is_told(tmp_path: Path) -> None:
    dear = msgspec.structs.replace(PRICE, input_femto=10**15)
    changes = routed(tmp_path, task=msgspec.structs.replace(ONE_TRY, budget=None))
    changes["prices"] = {"first:a": PRICE, "second:b": dear}
    limits = (LimitPolicy(scope="gate", name="budget_per_day", value=10**9),)
    async with open_road(tmp_path, OUT, limits=limits, **changes) as road:
        with pytest.raises(OverBudget):
            await road.ask("smart")
        assert asked(road) == ["first"]


@pytest.mark.parametrize("waits", [False, True])
async def test_a_limit_of_a_provider_lets_another_serve_at_once(
    tmp_path: Path, *, waits: bool
) -> None:
    limits = (LimitPolicy(scope="provider:first", name="per_minute", value=1, waits=waits),)
    async with open_road(tmp_path, Answer(), second=(Answer(),), limits=limits) as road:
        await road.ask("smart")
        await road.ask("smart")
        assert (asked(road), road.clock.waits) == (["first", "second"], [])


async def test_who_is_not_asked_for_a_while_is_not_waited_for_where_another_may_serve(
    tmp_path: Path,
) -> None:
    async with open_road(tmp_path, second=(Answer(),)) as road:
        now = road.clock.now()
        block = Block(subject="first:a", kind="breaker", reason="500", since=now, until=now + 3)
        await road.store.block(block)
        await road.ask("smart")
        assert (asked(road), road.clock.waits) == (["second"], [])


async def test_a_limit_of_the_agent_is_nobody_elses_to_serve(tmp_path: Path) -> None:
    limits = (LimitPolicy(scope="agent:worker", name="per_minute", value=0),)
    async with open_road(tmp_path, limits=limits) as road:
        with pytest.raises(OverLimit):
            await road.ask("smart")


def background(path: Path, **more: Any) -> dict[str, Any]:
    """Return settings whose first provider has OpenAI's prices, for tasks that nobody waits for."""
    task = TaskPolicy(type="default", retries=0, urgency="background", **more)
    made = routed(path, task=task, provider={"price_source": "openai"})
    agents = {"worker": AgentPolicy(name="worker", models=("first:*",))}
    return {**made, "agents": agents}


def tiers(road: Road) -> list[object]:
    return [outgoing.request.service_tier for outgoing in road.providers["first"].sent]


async def test_a_task_that_nobody_waits_for_asks_for_the_tier_that_costs_less(
    tmp_path: Path,
) -> None:
    flex = Answer(service_tier="flex")
    async with open_road(tmp_path, flex, **background(tmp_path)) as road:
        await road.ask("first:gpt-5.5")
        [attempt] = road.last.attempts
        assert tiers(road) == ["flex"]
        assert (attempt.service_tier, "service_tier=flex" in attempt.changes) == ("flex", True)


async def test_a_tier_without_room_gives_way_to_the_usual_one(tmp_path: Path) -> None:
    async with open_road(tmp_path, BUSY, Answer(), **background(tmp_path)) as road:
        await road.ask("first:gpt-5.5")
        assert tiers(road) == ["flex", None]


async def test_a_long_wait_at_the_slow_tier_is_not_waited_for(tmp_path: Path) -> None:
    slow = Transient("503", billed=False, retry_after_seconds=61)
    task = TaskPolicy(
        type="default", urgency="background", max_retry_wait_seconds=60, timeout_seconds=600
    )
    changes: dict[str, Any] = {**background(tmp_path), "tasks": {"default": task}}
    async with open_road(tmp_path, slow, Answer(), **changes) as road:
        await road.ask("first:gpt-5.5")
        assert (tiers(road), road.clock.waits) == (["flex", None], [])


async def test_the_limit_is_the_gates_at_the_other_tier_too(tmp_path: Path) -> None:
    changes = background(tmp_path, max_output_tokens=77)
    body = b'{"model":"first:gpt-5.5","messages":[{"role":"user","content":"hi"}]}'
    async with open_road(tmp_path, Answer(), **changes) as road:
        await road.read(road.passage(body=body))
        [sent] = road.providers["first"].sent
        assert b'"max_completion_tokens":77' in sent.body


@pytest.mark.parametrize(
    ("model", "more"), [("first:unpriced", {}), ("first:gpt-5.5", {"service_tier": "priority"})]
)
async def test_no_other_tier_is_asked_for_where_there_is_none_or_one_is_named(
    tmp_path: Path, model: str, more: dict[str, str]
) -> None:
    page = {"model": model, "messages": [{"role": "user", "content": "hi"}], **more}
    async with open_road(tmp_path, Answer(), budget=None, **background(tmp_path)) as road:
        await road.read(road.passage(body=msgspec.json.encode(page)))
        assert tiers(road) == [more.get("service_tier")]


async def test_a_reply_that_was_cut_goes_once_to_the_next_candidate(tmp_path: Path) -> None:
    changes = routed(tmp_path, escalate=("length",))
    better = Answer(body=b'{"choices":[],"better":1}', finish_reason="length")
    async with open_road(tmp_path, CUT, second=(better,), **changes) as road:
        assert await road.ask("smart") == better.body
        cheap, capable = road.last.attempts
        assert [each.state for each in (cheap, capable)] == ["ok", "ok"]
        assert "escalated=length" in capable.changes
        assert (road.last.state, road.spent()[1].nano) == ("ok", 0)


async def test_a_cut_reply_is_better_than_none_where_nobody_more_capable_answers(
    tmp_path: Path,
) -> None:
    changes = routed(tmp_path, escalate=("length",), task=ONE_TRY)
    async with open_road(tmp_path, CUT, second=(OUT,), **changes) as road:
        assert await road.ask("smart") == CUT.body
        assert (road.last.state, road.last.status) == ("ok", 200)
        assert [each.state for each in road.last.attempts] == ["ok", "failed"]


async def test_the_call_ends_with_its_last_attempt_and_not_with_a_reply_that_was_cut(
    tmp_path: Path,
) -> None:
    changes = routed(tmp_path, escalate=("length",))
    async with open_road(tmp_path, CUT, second=(BUSY, Answer()), **changes) as road:
        await road.ask("smart")
        row = road.last
        assert row.ended_at is not None
        assert row.ended_at - row.started_at == 2


async def test_a_reply_is_given_up_for_its_flaw_once(tmp_path: Path) -> None:
    use = tuple(Candidate(provider=name, model="m") for name in ("first", "second", "first"))
    changes = routed(tmp_path, escalate=("length",), task=ONE_TRY, use=use)
    async with open_road(tmp_path, CUT, second=(CUT,), **changes) as road:
        await road.ask("smart")
        assert asked(road) == ["first", "second"]


async def test_the_last_candidates_reply_is_the_reply_whatever_its_flaw(tmp_path: Path) -> None:
    changes = routed(tmp_path, escalate=("length",), task=ONE_TRY)
    async with open_road(tmp_path, OUT, second=(CUT,), **changes) as road:
        assert await road.ask("smart") == CUT.body


async def test_a_third_candidate_is_told_to_stand_in_for_the_flaw_too(tmp_path: Path) -> None:
    use = tuple(Candidate(provider=name, model="m") for name in ("first", "second", "second"))
    changes = routed(tmp_path, escalate=("length",), task=ONE_TRY, use=use)
    async with open_road(tmp_path, CUT, second=(OUT, Answer()), **changes) as road:
        await road.ask("smart")
        escalated = ["escalated=length" in each.changes for each in road.last.attempts]
        assert escalated == [False, True, True]


async def test_what_has_no_words_is_not_judged_by_a_schema(tmp_path: Path) -> None:
    made = routed(tmp_path, escalate=("schema",))["models"]
    models = {**made, "other": msgspec.structs.replace(made["other"], escalate=("schema",))}
    body = b'{"model":"other","messages":[]}'
    async with open_road(tmp_path, third=(Answer(),), models=models) as road:
        await road.read(road.passage(format="anthropic_count_tokens", body=body))
        assert road.last.state == "ok"


def said(text: str, **more: Any) -> Answer:
    message = {"role": "assistant", "content": text, **more}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if more else "stop"}
    return Answer(body=msgspec.json.encode({"id": "r", "model": "m", "choices": [choice]}))


def shaped(schema: object = SCHEMA) -> bytes:
    shape = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}
    messages = [{"role": "user", "content": "hi"}]
    return msgspec.json.encode({"model": "smart", "messages": messages, "response_format": shape})


@pytest.mark.parametrize("text", ["Rome", "{}", '{"city":4}', "[" * 5_000])
async def test_a_reply_that_is_not_as_the_schema_says_goes_to_the_next(
    tmp_path: Path, text: str
) -> None:
    changes = routed(tmp_path, escalate=("schema",))
    async with open_road(tmp_path, said(text), second=(Answer(),), **changes) as road:
        await road.read(road.passage(body=shaped()))
        assert asked(road) == ["first", "second"]


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("answer", "schema"),
    [
        pytest.param(said('{"city":"Rome"}'), SCHEMA, id="as the schema says"),
        pytest.param(said("", tool_calls=[CALL]), SCHEMA, id="a tool call"),
        pytest.param(said('"Rome"'), {"type": "city"}, id="a schema that is none"),
        pytest.param(said('"x"'), {"$ref": "http://127.0.0.1:9/s.json"}, id="a schema elsewhere"),
        pytest.param(Answer(body=b"{"), SCHEMA, id="a reply that nobody can read"),
    ],
)
async def test_what_is_as_asked_or_cannot_be_judged_is_the_reply(
    tmp_path: Path, answer: Answer, schema: object
) -> None:
    changes = routed(tmp_path, escalate=("schema",))
    async with open_road(tmp_path, answer, **changes) as road:
        assert await road.read(road.passage(body=shaped(schema))) == answer.body


async def test_a_request_without_a_schema_and_a_stream_are_not_judged(tmp_path: Path) -> None:
    changes = routed(tmp_path, escalate=("length", "schema"))
    stream = Answer(chunks=[b"data: [DONE]\n\n"], finish_reason="length")
    async with open_road(tmp_path, said("Rome"), stream, **changes) as road:
        await road.ask("smart")
        await road.ask("smart")
        assert asked(road) == ["first", "first"]


async def test_every_cause_is_told_where_nobody_answers(tmp_path: Path) -> None:
    changes = routed(tmp_path, task=ONE_TRY)
    async with open_road(tmp_path, OUT, second=(OUT,), **changes) as road:
        with pytest.raises(Exhausted, match="all 2 candidates failed: 500; 500"):
            await road.ask("smart")


def walks() -> int:
    """How many there are; the failures of other tests hold some."""
    return sum(isinstance(each, Walk) for each in gc.get_objects())


async def test_what_a_call_has_held_waits_for_no_collector(tmp_path: Path) -> None:
    async with open_road(tmp_path, Answer(), Answer()) as road:
        gc.collect()
        gc.disable()
        try:
            before = walks()
            await road.ask("smart")
            assert walks() == before
        finally:
            gc.enable()
