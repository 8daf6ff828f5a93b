"""The road of calls to tools: what one costs, leaves behind, and is refused for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from callgate.call import Tool, ToolResult
from callgate.config.policies import LimitPolicy, TaskPolicy
from callgate.config.tool_policies import ToolPolicy
from callgate.errors import (
    BadRequest,
    BrokenReply,
    Denied,
    InvalidArguments,
    Malformed,
    Misconfigured,
    OutcomeUnknown,
    OutOfCredit,
    OverBudget,
    OverLimit,
    StoreDown,
    TimedOut,
    TooLarge,
    Transient,
    Unknown,
    Unpriced,
)
from callgate.money import Money
from callgate.testing.clocks import Turn
from callgate.testing.fakes import Asks, FakeToolset, Silence, ToolLine
from tests.unit.pipeline.road import Road, open_road

SAID = ToolResult(content=({"type": "text", "text": "noted"},))
CENT = Money.dollars("0.01")
SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string"}, "times": {"type": "integer", "minimum": 1}},
    "required": ["text"],
    "additionalProperties": False,
}
NOTE = Tool(
    name="note", description="Note something.", input_schema=SCHEMA, effect="read", toolset="python",
    remote_name="note", cost=CENT,
)  # fmt: skip


def made(**changes: Any) -> Tool:
    """A tool like the usual one, but for what is named."""
    return msgspec.structs.replace(NOTE, **changes)


@asynccontextmanager
async def road_of(
    path: Path, *script: ToolLine, tool: Tool = NOTE, **more: Any
) -> AsyncGenerator[tuple[Road, FakeToolset]]:
    """A road with one tool, which plays a script."""
    toolset = FakeToolset(tool, script=script)
    async with open_road(path, toolsets=[toolset], **more) as road:
        yield road, toolset


async def test_a_good_call_returns_what_the_tool_said_and_books_its_cost(tmp_path: Path) -> None:
    async with road_of(tmp_path, SAID) as (road, _):
        assert (await road.call()).text == "noted"
        row = road.last
        assert (row.kind, row.target, row.state, row.cost) == ("tool", "note", "ok", CENT)
        assert road.spent() == (CENT, Money())


async def test_a_tool_gets_its_arguments_and_what_names_the_call(tmp_path: Path) -> None:
    async with road_of(tmp_path, SAID) as (road, toolset):
        await road.call(body=b'{"text": "hi", "times": 2}')
        (invocation,) = toolset.called
        assert (invocation.arguments, invocation.task_id) == ({"text": "hi", "times": 2}, "t1")
        assert invocation.call_id == road.last.id


async def test_what_was_asked_is_kept_without_its_secrets(tmp_path: Path) -> None:
    async with road_of(tmp_path, SAID) as (road, _):
        await road.call(body=b'{"text": "use sk-canary-0123456789abcdef"}')
        assert road.last.input == '{"text":"use ***"}'


async def test_what_cannot_be_read_is_kept_as_it_came(tmp_path: Path) -> None:
    async with road_of(tmp_path) as (road, _):
        with pytest.raises(InvalidArguments):
            await road.call(body=b'{"key": "sk-canary-0123456789abcdef"')
        assert road.last.input == '{"key": "***"'


async def test_a_refused_call_keeps_what_it_asked_too(tmp_path: Path) -> None:
    async with road_of(tmp_path) as (road, _):
        with pytest.raises(InvalidArguments):
            await road.call(body=b'{"txt": "hi"}')
        assert road.last.input == '{"txt":"hi"}'


async def test_what_a_tool_says_that_it_cost_is_booked_instead(tmp_path: Path) -> None:
    cheap = ToolResult(content=SAID.content, cost=Money.dollars("0.002"))
    async with road_of(tmp_path, cheap) as (road, _):
        await road.call()
        assert road.spent() == (Money.dollars("0.002"), Money())
        assert road.last.attempts[0].price_version == "reported by python"


async def test_what_a_failure_says_that_it_cost_is_booked(tmp_path: Path) -> None:
    failure = Transient("job failed", billed=True)
    failure.cost = Money.dollars("0.003")
    async with road_of(tmp_path, failure, tool=made(effect="write")) as (road, _):
        with pytest.raises(OutcomeUnknown):
            await road.call()
        (attempt,) = road.last.attempts
        assert (attempt.cost, attempt.estimated) == (Money.dollars("0.003"), False)


async def test_the_settings_have_the_last_word_about_a_tool(tmp_path: Path) -> None:
    said = ToolPolicy(name="note", cost=Money.dollars("0.5"), effect="write", description="Mine.")
    async with road_of(tmp_path, SAID, tools={"note": said}) as (road, toolset):
        await road.call()
        assert road.spent()[0] == Money.dollars("0.5")
        tool = toolset.called[0].tool
        assert (tool.effect, tool.description, tool.timeout_seconds) == ("write", "Mine.", 60.0)


@pytest.mark.parametrize("said", ["half \ud83d", "deep"])
async def test_a_result_that_no_json_can_hold_is_a_broken_reply(tmp_path: Path, said: str) -> None:
    deep: Any = []
    for _ in range(5_000):
        deep = [deep]
    strange = ToolResult(structured=deep if said == "deep" else said)
    async with road_of(tmp_path, strange) as (road, _):
        with pytest.raises(BrokenReply, match="cannot be written as JSON"):
            await road.call()
        assert (road.last.state, road.last.cost) == ("failed", CENT)


async def test_a_tool_that_says_it_failed_has_answered(tmp_path: Path) -> None:
    failed = ToolResult(content=({"type": "text", "text": "no such note"},), is_error=True)
    async with road_of(tmp_path, failed) as (road, _):
        assert (await road.call()).is_error
        assert (road.last.state, road.last.cost) == ("ok", CENT)


async def test_a_tool_that_is_not_named_for_the_agent_is_denied(tmp_path: Path) -> None:
    async with road_of(tmp_path, tool=made(name="other")) as (road, toolset):
        with pytest.raises(Denied, match="may not call 'other'; its tools are: note") as refused:
            await road.call("other")
        assert refused.value.reason.fix == 'add "other" to tools under [agents.worker]'
        assert (road.last.code, road.last.target, toolset.called) == ("tool_denied", "other", [])


async def test_a_tool_that_is_not_there_is_told_with_the_nearest(tmp_path: Path) -> None:
    async with road_of(tmp_path, tool=made(name="far.notes")) as (road, _):
        with pytest.raises(Unknown, match=r"did you mean 'far\.notes'") as refused:
            await road.call("far.note")
        assert refused.value.reason.code == "unknown_tool"


async def test_a_tool_that_cannot_be_had_now_is_told_so_and_not_why(tmp_path: Path) -> None:
    toolset = FakeToolset(NOTE)
    toolset.unavailable = {"far.notes": "the secret file /somewhere/key can be read by others"}
    async with open_road(tmp_path, toolsets=[toolset]) as road:
        with pytest.raises(
            Unknown, match="cannot be called now, as nobody could be asked"
        ) as refused:
            await road.call("far.notes")
        assert refused.value.reason.code == "tool_unavailable"
        assert "/home/me" not in f"{refused.value.message} {refused.value.reason}"


async def test_only_some_of_many_tools_are_listed_in_a_refusal(tmp_path: Path) -> None:
    toolset = FakeToolset(*(made(name=f"far.{n:03}") for n in range(2_000)))
    async with open_road(tmp_path, toolsets=[toolset]) as road:
        with pytest.raises(Unknown, match=r"and 1980 more$"):
            await road.call("far.none")


async def test_a_toolset_may_have_other_tools_later(tmp_path: Path) -> None:
    async with road_of(tmp_path, SAID, tool=made(name="far.a")) as (road, toolset):
        toolset.lists(NOTE)
        assert await road.call() == SAID
        with pytest.raises(Unknown):
            await road.call("far.a")


async def test_arguments_that_the_schema_does_not_allow_are_refused(tmp_path: Path) -> None:
    async with road_of(tmp_path) as (road, toolset):
        with pytest.raises(
            InvalidArguments, match=r"\$\.times: 0 is less than the minimum of 1"
        ) as wrong:
            await road.call(body=b'{"text": "hi", "times": 0}')
        assert (wrong.value.reason.needed, toolset.called) == ("$.times", [])
        assert (road.last.state, road.last.code) == ("refused", "invalid_arguments")


async def test_an_argument_that_the_tool_does_not_know_is_an_error(tmp_path: Path) -> None:
    async with road_of(tmp_path) as (road, _):
        with pytest.raises(InvalidArguments, match=r"'txt' was unexpected.*\"text\" is a required"):
            await road.call(body=b'{"txt": "hi"}')


@pytest.mark.parametrize(
    ("body", "why"), [(b"[1]", "object but list"), (b"{", "no JSON"), (b"[" * 9_000, "too deeply")]
)
async def test_arguments_that_are_no_object_are_refused(
    tmp_path: Path, body: bytes, why: str
) -> None:
    async with road_of(tmp_path) as (road, _):
        with pytest.raises(InvalidArguments, match=why):
            await road.call(body=body)


async def test_a_call_that_the_door_could_not_take_leaves_a_row(tmp_path: Path) -> None:
    async with road_of(tmp_path) as (road, _):
        passage = road.tool_passage("note")
        passage.call = msgspec.structs.replace(passage.call, flaw=TooLarge("too large"))
        with pytest.raises(TooLarge):
            async with road.gate.road(passage):
                pass
        assert (road.last.target, road.last.status) == ("note", 413)


async def test_a_schema_that_is_none_lets_no_call_through(tmp_path: Path) -> None:
    broken = made(input_schema={"type": "nonsense"})
    async with road_of(tmp_path, tool=broken) as (road, toolset):
        with pytest.raises(Misconfigured, match="schema of note cannot be read"):
            await road.call()
        assert toolset.called == []


async def test_a_schema_that_refers_elsewhere_is_not_fetched(tmp_path: Path) -> None:
    reaching = made(input_schema={"$ref": "http://127.0.0.1:9/schema.json"})
    async with road_of(tmp_path, tool=reaching) as (road, _):
        with pytest.raises(Misconfigured, match="opens no connection"):
            await road.call()


async def test_a_call_that_does_not_fit_the_budget_is_refused(tmp_path: Path) -> None:
    async with road_of(tmp_path, budget="0.005") as (road, toolset):
        with pytest.raises(OverBudget, match=r"may cost \$0\.01"):
            await road.call()
        assert toolset.called == []


async def test_a_tool_of_unknown_cost_is_refused_under_a_budget(tmp_path: Path) -> None:
    async with road_of(tmp_path, tool=made(cost=None)) as (road, _):
        with pytest.raises(Unpriced) as refused:
            await road.call()
        assert refused.value.reason.fix == 'set cost under [tools."note"] in callgate.toml'


async def test_a_tool_of_unknown_cost_runs_where_no_budget_holds(tmp_path: Path) -> None:
    async with road_of(tmp_path, SAID, tool=made(cost=None), budget=None) as (road, _):
        await road.call()
        assert road.last.attempts[0].cost is None


async def test_a_read_that_failed_in_passing_is_tried_again(tmp_path: Path) -> None:
    async with road_of(tmp_path, Transient("reset", billed=True), SAID) as (road, _):
        assert await road.call() == SAID
        assert [attempt.state for attempt in road.last.attempts] == ["failed", "ok"]
        # What may have been done may have been charged.
        assert road.spent()[0] == Money(2 * CENT.nano)


@pytest.mark.parametrize("effect", ["write", "destructive"])
@pytest.mark.parametrize(
    "failure", [Transient("reset", billed=True), BrokenReply("half", billed=True)]
)
async def test_a_write_that_may_have_happened_is_never_repeated(
    tmp_path: Path, effect: str, failure: Exception
) -> None:
    async with road_of(tmp_path, failure, tool=made(effect=effect)) as (road, toolset):
        with pytest.raises(OutcomeUnknown, match="nobody knows whether note has done its work"):
            await road.call()
        assert len(toolset.called) == 1
        (attempt,) = road.last.attempts
        assert (attempt.state, attempt.cost, attempt.estimated) == ("unknown", CENT, True)
        assert road.last.code == "outcome_unknown"


async def test_a_write_that_surely_did_not_happen_is_tried_again(tmp_path: Path) -> None:
    refused = Transient("connection refused", billed=False)
    async with road_of(tmp_path, refused, SAID, tool=made(effect="write")) as (road, toolset):
        await road.call()
        assert (len(toolset.called), road.spent()[0]) == (2, CENT)


async def test_an_idempotent_write_is_tried_again(tmp_path: Path) -> None:
    tool = made(effect="write", is_idempotent=True)
    async with road_of(tmp_path, TimedOut("late", billed=True), SAID, tool=tool) as (road, toolset):
        await road.call()
        first, second = toolset.called
        assert first.idempotency_key == second.idempotency_key


async def test_a_tool_that_does_not_answer_in_time_is_given_up(tmp_path: Path) -> None:
    slow = made(effect="write", timeout_seconds=0.01)
    async with road_of(tmp_path, Silence(), tool=slow) as (road, _):
        with pytest.raises(OutcomeUnknown, match=r"had not answered after 0.01 s"):
            await road.call()


async def test_the_time_that_somebody_thinks_is_not_the_time_of_the_tool(tmp_path: Path) -> None:
    asks = Asks(params={"message": "Where?"})

    async def think(params: Mapping[str, Any]) -> Mapping[str, Any]:
        for _ in range(5):
            await Turn()
        return {"action": "accept", "content": params}

    async with road_of(tmp_path, asks, tool=made(timeout_seconds=0.0)) as (road, _):
        passage = road.tool_passage("note", body=b'{"text": "hi"}')
        passage.call = msgspec.structs.replace(passage.call, on_question=think)
        async with road.gate.tool_road(passage) as reply:
            told = reply.result.structured
        assert told == {"asked": {"action": "accept", "content": asks.params}}


async def test_bad_arguments_for_the_far_side_may_be_put_right_once(tmp_path: Path) -> None:
    bad = BadRequest("no such account", billed=False)
    async with road_of(tmp_path, bad, bad) as (road, toolset):
        for body in (b'{"text":"a"}', b'{"text":"b"}'):
            with pytest.raises(BadRequest):
                await road.call(body=body)
        with pytest.raises(Malformed, match="2 bad requests"):
            await road.call(body=b'{"text":"c"}')
        assert len(toolset.called) == 2


async def test_a_toolset_that_fails_again_and_again_is_not_asked_any_more(tmp_path: Path) -> None:
    down = [Transient("down", billed=False) for _ in range(15)]
    async with road_of(tmp_path, *down, budget=None) as (road, toolset):
        for _ in range(4):
            with pytest.raises(Transient):
                await road.call()
        assert [block.subject for block in road.store.blocks()] == ["python:note#"]
        # Of twelve tries the tenth was one too many, and the eleventh was to see if it is well again.
        assert len(toolset.called) == 11


@pytest.mark.parametrize(("some_left", "subject"), [(True, "python:note#"), (False, "python#")])
async def test_what_is_too_dear_for_an_account_leaves_cheaper_tools_alone(
    tmp_path: Path, *, some_left: bool, subject: str
) -> None:
    empty = OutOfCredit("10 credits, and it takes 50", billed=False)
    empty.some_left = some_left
    async with road_of(tmp_path, empty) as (road, _):
        with pytest.raises(OutOfCredit):
            await road.call()
        (block,) = road.store.blocks()
        assert (block.subject.partition("#")[0] + "#", block.kind) == (subject, "credit")


async def test_a_tool_has_limits_of_its_own(tmp_path: Path) -> None:
    limit = LimitPolicy(scope="tool:note", name="per_minute", value=1)
    async with road_of(tmp_path, SAID, SAID, limits=(limit,)) as (road, toolset):
        await road.call()
        with pytest.raises(OverLimit, match=r"tools\.note"):
            await road.call(body=b'{"text":"again"}')
        assert len(toolset.called) == 1


async def test_a_call_that_may_wait_for_its_turn_runs_when_it_comes(tmp_path: Path) -> None:
    limit = LimitPolicy(scope="tool:note", name="per_minute", value=1, waits=True)
    async with road_of(tmp_path, SAID, SAID, limits=(limit,)) as (road, toolset):
        before = road.clock.now()
        await road.call()
        await road.call(body=b'{"text":"again"}')
        assert len(toolset.called) == 2
        assert road.clock.now() - before == pytest.approx(60.0, abs=0.1)


async def test_a_call_has_no_longer_than_its_task(tmp_path: Path) -> None:
    short = TaskPolicy(type="default", timeout_seconds=20.0)
    async with road_of(tmp_path, SAID, tasks={"default": short}) as (road, toolset):
        await road.call()
        assert toolset.called[0].timeout_seconds == pytest.approx(20.0, abs=0.1)


async def test_the_key_reaches_the_tool_and_nothing_else(tmp_path: Path) -> None:
    async with road_of(tmp_path, SAID, tool=made(key="env:FIRST")) as (road, toolset):
        await road.call()
        credential = toolset.called[0].credential
        assert credential is not None
        assert credential.reveal() == "key-1"
        assert "key-1" not in repr(road.last)


async def test_who_hangs_up_leaves_a_call_that_is_settled(tmp_path: Path) -> None:
    async with road_of(tmp_path, Silence()) as (road, toolset):
        passage = road.tool_passage("note", body=b'{"text":"hi"}')
        calling = asyncio.create_task(_open(road, passage))
        await toolset.reached.wait()
        passage.leave(0.0)
        await asyncio.wait([calling])
        await road.settled()
        assert (road.last.state, road.spent()) == ("left", (CENT, Money()))


async def test_a_toolset_that_goes_is_closed_once_its_last_call_has_ended(tmp_path: Path) -> None:
    async with road_of(tmp_path, Silence()) as (road, toolset):
        calling = asyncio.create_task(road.call())
        await toolset.reached.wait()
        await road.gate.reload(road.gate.settings, toolsets=())
        await road.settled()
        assert toolset.closed == 0
        toolset.answer(SAID)
        assert await calling == SAID
        await asyncio.sleep(0)
        assert toolset.closed == 1


async def test_a_toolset_that_goes_waits_for_all_of_its_calls(tmp_path: Path) -> None:
    async with road_of(tmp_path, Silence(), SAID) as (road, toolset):
        calling = asyncio.create_task(road.call())
        await toolset.reached.wait()
        await road.call(body=b'{"text":"quick"}')
        await road.gate.reload(road.gate.settings, toolsets=())
        await road.settled()
        assert toolset.closed == 0
        toolset.answer(SAID)
        await calling


async def test_a_toolset_that_does_not_close_well_loses_nobody_s_records(tmp_path: Path) -> None:
    opening = open_road(tmp_path, toolsets=[Stubborn(NOTE, script=[SAID])])
    road = await opening.__aenter__()
    await road.call()
    with pytest.raises(OSError, match="stuck"):
        await opening.__aexit__(None, None, None)
    with pytest.raises(StoreDown, match="closed"):
        await road.store.end_task("t1", 0.0)


async def test_a_reload_that_the_store_does_not_note_still_ends_what_is_gone(
    tmp_path: Path,
) -> None:
    async with road_of(tmp_path) as (road, toolset):
        with road.store_down(table="limits_state"), pytest.raises(StoreDown):
            await road.gate.reload(road.gate.settings, toolsets=())
        await asyncio.sleep(0)
        assert toolset.closed == 1


class Stubborn(FakeToolset):
    """One that does not close."""

    async def close(self) -> None:
        """Fail."""
        msg = "stuck"
        raise OSError(msg)


async def test_a_toolset_that_nobody_calls_goes_at_once(tmp_path: Path) -> None:
    async with road_of(tmp_path) as (road, toolset):
        await road.gate.reload(road.gate.settings, toolsets=())
        await asyncio.sleep(0)
        assert toolset.closed == 1


async def test_a_gate_that_closes_waits_for_no_call_of_a_toolset_that_goes(tmp_path: Path) -> None:
    async with road_of(tmp_path, Silence()) as (road, toolset):
        calling = asyncio.create_task(road.call())
        await toolset.reached.wait()
        await road.gate.reload(road.gate.settings, toolsets=())
        calling.cancel()
    assert toolset.closed == 1


async def _open(road: Road, passage: Any) -> None:
    async with road.gate.road(passage):
        pass


async def test_tools_begin_and_end_with_their_gate(tmp_path: Path) -> None:
    async with road_of(tmp_path) as (road, toolset):
        assert (toolset.started, toolset.closed) == (1, 0)
        await road.gate.reload(road.gate.settings)
        assert (toolset.started, toolset.closed) == (1, 0)
    assert (toolset.started, toolset.closed) == (1, 1)
