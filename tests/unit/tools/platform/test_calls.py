"""Calls of a platform's tools: what they give, what they cost, and what each failure means."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callgate.errors import (
    BadCredential,
    BadRequest,
    BrokenReply,
    Failed,
    Forbidden,
    NoSuchModel,
    OutOfCredit,
    RateLimited,
    TimedOut,
    Transient,
)
from callgate.money import Money
from callgate.testing.clocks import Turn
from tests.unit.tools.platform.stand import CREDIT, KEY, RESEARCH, SEARCH, Stand, open_stand

ROME = {"output": {"results": ["Rome"]}}


def credits(number: int) -> Money:
    return Money(number * CREDIT.nano)


async def failed(stand: Stand, *steps: dict[str, Any]) -> Failed:
    """Return how a call fails after which the tool does this."""
    stand.play(*steps)
    with pytest.raises(Failed) as failure:
        await stand.call()
    return failure.value


async def test_a_call_gives_the_output_and_costs_what_was_charged() -> None:
    async with open_stand({**SEARCH, "steps": [{**ROME, "credits_used": 40}]}) as stand:
        result = await stand.call(q="capital of Italy")
        assert (result.structured, result.cost) == ({"results": ["Rome"]}, credits(40))
        assert result.text == '{"results":["Rome"]}'
        assert stand.sim.bill().total_nano_usd == credits(40).nano


async def test_the_arguments_are_the_body_and_the_time_is_told() -> None:
    async with open_stand() as stand:
        await stand.call(q="Rome")
        sent = stand.sim.requests[-1]
        assert (sent.path, sent.json()) == ("/api/tools/agentpatch/google-search", {"q": "Rome"})
        # The platform is to end a tool a little before this gate gives it up.
        assert sent.query == "timeout_seconds=28"
        assert sent.header("authorization") == f"Bearer {KEY}"


async def test_every_reply_tells_what_is_left() -> None:
    async with open_stand() as stand:
        await stand.call()
        (balance,) = stand.balances
        assert (balance.account, balance.left) == ("platform:patch", credits(950))
        assert balance.source == "reply"


async def test_a_job_is_noted_before_it_is_asked_for_and_gives_its_output() -> None:
    async with open_stand({**RESEARCH, "steps": [{**ROME, "credits_used": 650}]}) as stand:
        result = await stand.call("patch.research")
        assert (result.structured, result.cost) == (ROME["output"], credits(650))
        assert [request.path for request in stand.sim.requests][-1] == f"/api/jobs/{stand.jobs[0]}"


async def test_a_job_is_not_asked_for_before_it_is_noted() -> None:
    async with open_stand(RESEARCH) as stand:
        seen: list[int] = []

        async def write_slowly(job_id: str) -> None:
            for _ in range(100 + len(job_id)):
                await Turn()
            seen.append(len(stand.sim.requests))

        stand.note_job = write_slowly
        await stand.call("patch.research")
        assert stand.sim.requests[seen[0] - 1].method == "POST"


async def test_a_look_that_goes_wrong_is_repeated() -> None:
    faults = [{"status": 503}, {"how": "malformed"}, {"how": "reset"}, {"status": 429}]
    async with open_stand({**RESEARCH, "steps": [{"poll_faults": faults}]}) as stand:
        result = await stand.call("patch.research")
        assert (result.is_error, stand.sim.credits().balances[KEY]) == (False, 200)
        assert stand.sim.bill().billed_requests == 1


async def test_a_job_that_is_gone_may_have_cost_all() -> None:
    faults = [{"status": 404}]
    async with open_stand({**RESEARCH, "steps": [{"poll_faults": faults}]}) as stand:
        with pytest.raises(BrokenReply, match="answers 404 for the job job_") as lost:
            await stand.call("patch.research")
        assert (lost.value.billed, lost.value.cost) == (True, None)


async def test_another_process_may_follow_a_job() -> None:
    async with open_stand(RESEARCH) as stand, open_stand(RESEARCH, base_url=stand.sim.url) as next:
        stand.play(ROME, tool=RESEARCH)
        stand.note_job = die
        with pytest.raises(asyncio.CancelledError):
            await stand.call("patch.research")
        result = await next.platform.follow(stand.jobs[0], "patch.research")
        assert (result.structured, result.cost) == (ROME["output"], credits(800))
        assert stand.sim.bill().total_nano_usd == credits(800).nano


async def die(_: str) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize("tool", [SEARCH, RESEARCH])
async def test_a_tool_that_failed_is_told_to_the_agent_and_costs_nothing(
    tool: dict[str, Any],
) -> None:
    step = {"fault": {"how": "failed", "message": "no such page"}}
    async with open_stand({**tool, "steps": [step]}) as stand:
        result = await stand.call(f"patch.{tool['slug']}")
        assert (result.is_error, result.text, result.cost) == (True, "no such page", Money())
        assert stand.balances[-1].left == credits(1000)


async def test_a_failure_that_keeps_a_part_costs_that_part() -> None:
    async with open_stand() as stand:
        stand.play({"fault": {"how": "failed", "keeps_credits": 20}})
        assert (await stand.call()).cost == credits(20)


async def test_a_tool_that_its_platform_has_ended_took_too_long() -> None:
    async with open_stand() as stand:
        late = await failed(stand, {"fault": {"how": "timeout"}})
        assert isinstance(late, TimedOut)
        assert (late.billed, late.cost) == (True, Money())


async def test_too_few_credits_are_told_with_what_is_left() -> None:
    async with open_stand(credits=10) as stand:
        with pytest.raises(OutOfCredit, match=r"has 10 credits, and .* takes 50; top up") as empty:
            await stand.call()
        assert (empty.value.billed, empty.value.reason.needed) == (False, "50")
        assert empty.value.some_left
        assert (stand.balances[-1].left, stand.balances[-1].source) == (credits(10), "refusal")


async def test_an_account_with_nothing_has_nothing_for_cheaper_tools_either() -> None:
    async with open_stand(credits=0) as stand:
        with pytest.raises(OutOfCredit) as empty:
            await stand.call()
        assert not empty.value.some_left


async def test_of_two_calls_on_the_last_credits_exactly_one_runs() -> None:
    async with open_stand(credits=60) as stand:
        ended = await asyncio.gather(stand.call(), stand.call(), return_exceptions=True)
        assert sorted(type(each).__name__ for each in ended) == ["OutOfCredit", "ToolResult"]
        assert stand.sim.bill().total_nano_usd == credits(50).nano


@pytest.mark.parametrize(
    ("fault", "kind", "billed", "cost"),
    [
        ({"status": 401}, BadCredential, False, None),
        ({"status": 403}, Forbidden, False, None),
        ({"status": 404}, NoSuchModel, False, None),
        ({"status": 500}, Transient, True, Money()),
        ({"status": 503, "keeps_credits": 20}, Transient, True, credits(20)),
        ({"status": 504}, TimedOut, True, Money()),
        ({"status": 422, "keeps_credits": 20}, BadRequest, True, credits(20)),
        ({"status": 422, "body": "<html>"}, BadRequest, True, None),
        ({"how": "malformed"}, BrokenReply, True, None),
        ({"how": "reset"}, Transient, True, None),
        ({"how": "close"}, Transient, True, None),
    ],
)
async def test_a_failure_tells_who_must_act_what_it_cost_and_what_may_have_happened(
    fault: dict[str, Any], kind: type[Failed], *, billed: bool, cost: Money | None
) -> None:
    async with open_stand() as stand:
        failure = await failed(stand, {"fault": fault})
        assert (type(failure), failure.billed, failure.cost) == (kind, billed, cost)


async def test_a_rate_limit_tells_how_long_to_wait() -> None:
    async with open_stand() as stand:
        limited = await failed(stand, {"fault": {"status": 429, "retry_after_seconds": 7}})
        assert isinstance(limited, RateLimited)
        assert (limited.billed, limited.retry_after_seconds) == (False, 7)


async def test_a_platform_that_is_down_has_done_nothing() -> None:
    async with open_stand() as stand:
        await stand.sim.stop()
        with pytest.raises(Transient, match="died before a reply"):
            await stand.call()
        with pytest.raises(Transient, match="no connection") as down:
            await stand.call()
        assert not down.value.billed


async def test_an_output_that_is_too_large_is_broken_and_paid() -> None:
    async with open_stand(max_result_bytes=2_000) as stand:
        broken = await failed(stand, {"output": {"text": "x" * 3_000}})
        assert isinstance(broken, BrokenReply)
        assert "raise max_result under [platforms.patch]" in broken.message
        assert broken.billed


async def test_an_answer_is_read_once_and_nothing_is_tried_again() -> None:
    async with open_stand() as stand:
        await failed(stand, {"fault": {"status": 503}})
        assert sum(request.method == "POST" for request in stand.sim.requests) == 1
        assert stand.sim.verdict().retries == 0


@pytest.mark.parametrize(
    "step",
    [
        {"output": {"echo": KEY, "in a text": f"the key is {KEY}!"}},
        {"fault": {"how": "failed", "message": f"no page for {KEY}"}},
    ],
)
async def test_a_key_that_a_tool_gives_back_reaches_nobody(step: dict[str, Any]) -> None:
    async with open_stand({**SEARCH, "steps": [step]}) as stand:
        result = await stand.call()
        assert KEY not in repr(result)
        assert "***" in result.text


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 429, 500, 504])
async def test_a_key_in_an_error_reaches_nobody(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_stand() as stand:
        failure = await failed(stand, {"fault": {"status": status, "message": f"key {KEY} is odd"}})
        shown = f"{failure!r} {failure.message} {failure.answer} {failure.reason} {caplog.text}"
        assert KEY not in shown
