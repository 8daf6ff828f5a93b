"""A tool that reads is asked whether another has done what nobody knows it has."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from callgate.call import ToolResult, Witness
from callgate.errors import Misconfigured, OutcomeUnknown, StillRunning, TimedOut, Transient
from callgate.gate.look_ups import LookUps
from callgate.store import Action, ActionState, Decision
from callgate.testing.clocks import Turn
from callgate.testing.fakes import FakeToolset, ToolLine
from tests.unit.pipeline.road import Road, open_road
from tests.unit.pipeline.test_tool_road import made

CHECK = Witness(tool="far.find", arguments="{text: text}", done="items[0]")
WRITE = made(effect="write", check=CHECK)
FIND = made(name="far.find", remote_name="find")
YES = ToolResult(structured={"items": [{"id": 7}]})
NO = ToolResult(structured={"items": []})


@asynccontextmanager
async def lost(path: Path, *answers: ToolLine) -> AsyncGenerator[tuple[Road, FakeToolset, LookUps]]:
    """A road on which a write was lost, and what the tool that reads says of it."""
    script = [TimedOut("late", billed=True), *answers]
    toolset = FakeToolset(WRITE, FIND, script=script)
    async with open_road(path, toolsets=[toolset]) as road:
        with pytest.raises(OutcomeUnknown):
            await road.call(user="u1")
        yield road, toolset, road.gate.look_ups


def action_of(road: Road) -> Action:
    (action,) = road.store.actions()
    return action


async def test_a_yes_settles_it_at_once(tmp_path: Path) -> None:
    async with lost(tmp_path, YES) as (road, toolset, look_ups):
        await look_ups.look()
        action = action_of(road)
        assert (action.state, action.decided_by) == ("done", "far.find")
        assert toolset.called[-1].arguments == {"text": "hi"}
        assert road.store.alerts(only_open=True) == []
        assert (await road.call(user="u1")).already_done is not None


async def test_a_look_up_is_a_call_like_any_other_in_a_task_of_its_own(tmp_path: Path) -> None:
    async with lost(tmp_path, YES) as (road, _, look_ups):
        await look_ups.look()
        row = road.last
        assert (row.door, row.target, row.agent, row.user) == ("gate", "far.find", "worker", "u1")
        assert action_of(road).note == f"call {row.id}"
        task = road.store.find_task(str(row.task_id))
        await road.settled()
        assert task is not None
        assert task.id != "t1"


async def test_a_no_is_believed_once_the_far_side_cannot_be_at_it_any_more(tmp_path: Path) -> None:
    async with lost(tmp_path, NO, NO) as (road, _, look_ups):
        await look_ups.look()
        assert action_of(road).state == "unknown"
        road.clock.advance(300)
        await look_ups.look()
        assert action_of(road).state == "not_done"


async def test_it_is_asked_again_after_growing_waits(tmp_path: Path) -> None:
    async with lost(tmp_path, NO, NO, NO) as (road, toolset, look_ups):
        asked: list[int] = []
        for _ in range(5):
            await look_ups.look()
            asked.append(len(toolset.called) - 1)
            road.clock.advance(5)
        assert asked == [1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    "answer",
    [
        ToolResult(structured={"items": []}, is_error=True),
        ToolResult(content=({"type": "text", "text": "no JSON"},)),
        Transient("down", billed=False),
        KeyError("a mistake in a tool"),
    ],
)
async def test_what_tells_nothing_settles_nothing(tmp_path: Path, answer: ToolLine) -> None:
    more = [answer] * 3 if isinstance(answer, Transient) else [answer]
    async with lost(tmp_path, *more) as (road, _, look_ups):
        road.clock.advance(300)
        await look_ups.look()
        assert action_of(road).state == "unknown"


async def test_an_answer_in_text_is_read_as_json(tmp_path: Path) -> None:
    answer = ToolResult(content=({"type": "text", "text": '{"items":[0]}'},))
    async with lost(tmp_path, answer) as (road, _, look_ups):
        await look_ups.look()
        assert action_of(road).state == "done"


@pytest.mark.parametrize(("found", "state"), [("", "not_done"), (0, "done"), (False, "not_done")])
async def test_what_is_true_is_as_jmespath_has_it(
    tmp_path: Path, found: object, state: ActionState
) -> None:
    async with lost(tmp_path, ToolResult(structured={"items": [found]})) as (road, _, look_ups):
        road.clock.advance(300)
        await look_ups.look()
        assert action_of(road).state == state


@pytest.mark.parametrize("changes", [{"effect": "write"}, {"name": "far.other"}])
async def test_nobody_is_asked_who_might_do_something(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    async with lost(tmp_path) as (road, toolset, look_ups):
        toolset.lists(WRITE, made(**{"name": "far.find", **changes}))
        action = action_of(road)
        assert action.check is not None
        finding = await look_ups.find_out(action, action.check)
        assert finding.told.startswith("there is no tool far.find that only reads")
        assert (len(toolset.called), action_of(road).state) == (1, "unknown")


async def test_what_was_decided_meanwhile_is_not_overruled(tmp_path: Path) -> None:
    async with lost(tmp_path, YES) as (road, _, look_ups):
        action = action_of(road)
        assert action.check is not None
        said = Decision(action_id=action.id, state="not_done", by="ann", at=road.clock.now())
        await road.store.decide(said)
        with pytest.raises(StillRunning, match="has gone on, or was decided, since"):
            await look_ups.find_out(action, action.check)
        assert action_of(road).decided_by == "ann"


async def test_a_gate_looks_by_itself_while_it_watches(tmp_path: Path) -> None:
    async with lost(tmp_path, YES) as (road, _, _):
        async with road.gate.watching():
            while action_of(road).state == "unknown":
                await Turn()
        assert action_of(road).state == "done"


async def test_a_store_that_is_down_does_not_end_the_looking(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    async with lost(tmp_path, YES) as (road, _, _), road.gate.watching():
        with road.store_down(table="actions"):
            for _ in range(20):
                await Turn()
        while action_of(road).state == "unknown":
            await Turn()


async def test_arguments_that_cannot_be_told_let_no_call_through(tmp_path: Path) -> None:
    wrong: Any = Witness(tool="far.find", arguments="text", done="items")
    toolset = FakeToolset(made(effect="write", check=wrong), FIND)
    async with open_road(tmp_path, toolsets=[toolset]) as road:
        with pytest.raises(Misconfigured, match="gives no arguments by name"):
            await road.call()
        assert toolset.called == []
