"""A job that outlives its gate: another one follows it, and who asks again gets what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from callgate.call import Tool, ToolResult
from callgate.config.policies import TaskPolicy
from callgate.errors import BrokenReply, Misconfigured, StillRunning, TimedOut
from callgate.gate.following import Following
from callgate.money import Money
from callgate.store import CallRow
from callgate.testing.clocks import Turn
from callgate.testing.fakes import FakeFollower, Silence
from tests.unit.pipeline.road import Road, open_road

CENT = Money.dollars("0.01")
FOUND = ToolResult(content=({"type": "text", "text": "found"},), cost=Money.dollars("0.004"))
RESEARCH = Tool(
    name="far.research", description="Looks for long.", input_schema={"type": "object"}, effect="read",
    toolset="far", remote_name="research", cost=CENT, timeout_seconds=1.0,
)  # fmt: skip

Line = ToolResult | Silence | BaseException


async def die_over_a_job(path: Path, tool: Tool, **more: Any) -> None:
    """Begin a call whose far side goes on by itself, and lose the gate over it."""
    toolset = FakeFollower(tool)
    async with open_road(path, toolsets=[toolset], **more) as road:
        calling = asyncio.create_task(road.call("far.research"))
        await toolset.reached.wait()
        # What a process that is killed leaves: nothing settles any more.
        await road.store.close()
        calling.cancel()
        await asyncio.wait([calling])


@asynccontextmanager
async def after_death(
    path: Path, *script: Line, tool: Tool = RESEARCH, **more: Any
) -> AsyncGenerator[tuple[Road, FakeFollower, Following]]:
    """A new gate after the death of one, whose far side then says what is in the script."""
    await die_over_a_job(path, tool, **more)
    toolset = FakeFollower(tool, script=script)
    async with open_road(path, toolsets=[toolset], **more) as road:
        following = Following(road.store, road.clock, lambda: {"far": toolset})
        yield road, toolset, following


def first(road: Road) -> CallRow:
    """The call that was lost."""
    return road.store.calls(limit=None)[-1]


async def test_a_job_is_followed_by_the_next_gate_and_paid_as_it_says(tmp_path: Path) -> None:
    async with after_death(tmp_path, FOUND) as (road, toolset, following):
        assert (first(road).state, road.spent()) == ("running", (Money(), CENT))
        await following.look()
        await following.settled()
        assert toolset.followed == [("job_1", "far.research")]
        assert (first(road).state, road.spent()) == ("ok", (FOUND.cost, Money()))
        (attempt,) = first(road).attempts
        assert (attempt.state, attempt.price_version) == ("ok", "reported by far")


async def test_who_asks_again_gets_the_result_once_and_pays_nothing(tmp_path: Path) -> None:
    async with after_death(tmp_path, FOUND) as (road, toolset, following):
        await following.look()
        await following.settled()
        again = await road.call("far.research")
        assert (again.text, again.cost, toolset.called) == ("found", Money(), [])
        assert (road.last.state, road.last.attempts, road.spent()[0]) == ("ok", (), FOUND.cost)
        assert road.store.find_outlived("t1", b"") is None


async def test_the_next_call_of_the_same_kind_is_a_new_one(tmp_path: Path) -> None:
    async with after_death(tmp_path, FOUND) as (road, toolset, following):
        await following.look()
        await following.settled()
        await road.call("far.research")
        calling = asyncio.create_task(road.call("far.research"))
        await toolset.reached.wait()
        assert len(toolset.called) == 1
        calling.cancel()
        await asyncio.wait([calling])


@pytest.mark.parametrize(("body", "task"), [(b'{"other":1}', "t1"), (None, "t2"), (None, None)])
async def test_another_call_does_not_get_it(
    tmp_path: Path, body: bytes | None, task: str | None
) -> None:
    async with after_death(tmp_path, FOUND) as (road, toolset, following):
        await following.look()
        await following.settled()
        passage = road.tool_passage("far.research", body=body or b'{"text":"hi"}', task=task)
        calling = asyncio.create_task(_open(road, passage))
        await toolset.reached.wait()
        assert len(toolset.called) == 1
        calling.cancel()
        await asyncio.wait([calling])


async def _open(road: Road, passage: Any) -> None:
    async with road.gate.road(passage):
        pass


async def test_who_asks_again_waits_while_the_job_runs(tmp_path: Path) -> None:
    async with after_death(tmp_path, Silence()) as (road, toolset, following):
        await following.look()
        with pytest.raises(TimedOut, match="still at work for the earlier call call_") as late:
            await road.call("far.research")
        assert (late.value.reason.code, toolset.called) == ("still_at_work", [])
        assert road.last.state == "failed"
        assert road.spent() == (Money(), CENT)


async def test_a_wait_ends_with_the_deadline_of_its_task(tmp_path: Path) -> None:
    hurried = {"default": TaskPolicy(type="default", timeout_seconds=20.0)}
    async with after_death(tmp_path, Silence(), tasks=hurried) as (road, toolset, following):
        toolset.lists(msgspec.structs.replace(RESEARCH, timeout_seconds=1e6))
        began = road.clock.now()
        await following.look()
        with pytest.raises(TimedOut, match="still at work"):
            await road.call("far.research")
        assert 20 <= road.clock.now() - began < 21


async def test_who_asks_before_somebody_follows_begins_nothing_anew(tmp_path: Path) -> None:
    async with after_death(tmp_path, FOUND) as (road, toolset, following):
        with pytest.raises(TimedOut, match="still at work"):
            await road.call("far.research")
        await following.look()
        await following.settled()
        assert (await road.call("far.research")).text == "found"
        assert toolset.called == []


async def test_of_two_who_ask_again_one_gets_it_and_the_other_begins_anew(tmp_path: Path) -> None:
    async with after_death(tmp_path, FOUND) as (road, toolset, following):
        await following.look()
        await following.settled()
        asking = [asyncio.create_task(road.call("far.research")) for _ in range(2)]
        await toolset.reached.wait()
        done, anew = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        assert [each.result().text for each in done] == ["found"]
        assert len(toolset.called) == len(anew) == 1
        for each in anew:
            each.cancel()
        await asyncio.wait(anew)


async def test_a_key_that_is_missing_is_waited_for(tmp_path: Path) -> None:
    missing = Misconfigured("PATCH_KEY is not set")
    async with after_death(tmp_path, missing, missing, FOUND) as (road, toolset, following):
        await following.look()
        await following.settled()
        assert (len(toolset.followed), road.spent()[0]) == (3, FOUND.cost)


async def test_a_store_that_is_down_gets_the_end_of_a_job_later(tmp_path: Path) -> None:
    async with after_death(tmp_path, FOUND) as (road, _, following):
        await following.look()
        with road.store_down():
            for _ in range(50):
                await Turn()
        await following.settled()
        assert road.spent()[0] == FOUND.cost


async def test_a_job_that_failed_is_asked_for_no_more_and_booked_as_held(tmp_path: Path) -> None:
    lost = BrokenReply("nobody knows the job", billed=True)
    async with after_death(tmp_path, lost) as (road, _, following):
        await following.look()
        await following.settled()
        (attempt,) = first(road).attempts
        assert (attempt.state, attempt.cost, attempt.estimated) == ("unknown", CENT, True)
        assert (first(road).state, first(road).code) == ("failed", "broken_reply")
        assert road.store.verify() == []


async def test_a_failure_that_was_refunded_costs_nothing(tmp_path: Path) -> None:
    ended = TimedOut("ended by the platform", billed=True)
    ended.cost = Money()
    async with after_death(tmp_path, ended) as (road, _, following):
        await following.look()
        await following.settled()
        assert road.spent() == (Money(), Money())


async def test_without_a_toolset_that_follows_nothing_is_taken_over(tmp_path: Path) -> None:
    async with after_death(tmp_path) as (road, _, _following):
        await Following(road.store, road.clock, dict).look()
        assert first(road).state == "running"


async def test_a_gate_follows_by_itself_while_it_watches(tmp_path: Path) -> None:
    async with after_death(tmp_path, FOUND) as (road, toolset, _):
        async with road.gate.watching():
            while first(road).state == "running":
                await Turn()
        assert (len(toolset.followed), road.spent()[0]) == (1, FOUND.cost)


async def test_a_call_goes_on_though_its_job_cannot_be_noted(tmp_path: Path) -> None:
    toolset = FakeFollower(RESEARCH)
    async with open_road(tmp_path, toolsets=[toolset]) as road:
        with road.store_down(table="jobs"):
            passage = road.tool_passage("far.research", task=None)
            calling = asyncio.create_task(_open(road, passage))
            await toolset.reached.wait()
            assert not calling.done()
        calling.cancel()
        await asyncio.wait([calling])


WRITE = msgspec.structs.replace(RESEARCH, effect="write")


async def test_of_what_is_done_once_everybody_who_asks_again_gets_the_result(
    tmp_path: Path,
) -> None:
    async with after_death(tmp_path, FOUND, tool=WRITE) as (road, toolset, following):
        await following.look()
        await following.settled()
        for _ in range(2):
            again = await road.call("far.research")
            assert (again.text, again.already_done is not None) == ("found", True)
        assert (toolset.called, road.spent()[0]) == ([], FOUND.cost)


@pytest.mark.parametrize(
    ("line", "state"),
    [
        (BrokenReply("nobody knows the job", billed=True), "unknown"),
        (BrokenReply("it was never begun", billed=False), "not_done"),
        (ToolResult(is_error=True), "unknown"),
    ],
)
async def test_an_action_ends_as_its_job_does(tmp_path: Path, line: Line, state: str) -> None:
    async with after_death(tmp_path, line, tool=WRITE) as (road, _, following):
        (action,) = road.store.actions()
        assert action.state == "running"
        await following.look()
        await following.settled()
        (action,) = road.store.actions()
        assert (action.state, len(road.store.alerts())) == (state, int(state == "unknown"))


async def test_who_asks_for_an_action_whose_job_runs_waits_for_as_long_as_it_may_take(
    tmp_path: Path,
) -> None:
    async with after_death(tmp_path, Silence(), tool=WRITE) as (road, toolset, following):
        await following.look()
        with pytest.raises(StillRunning, match=r"far.research is doing this since"):
            await road.call("far.research")
        assert (toolset.called, road.last.code) == ([], "still_running")
