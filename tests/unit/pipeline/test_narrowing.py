"""Tasks that are narrowed: by their type, by themselves, and by those above them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from callgate.call import Caller, Claims
from callgate.config.policies import TaskPolicy
from callgate.errors import Denied, Malformed
from callgate.money import Money
from callgate.testing.fakes import Answer, FakeToolset
from tests.unit.pipeline.road import Road, open_road
from tests.unit.pipeline.test_tool_road import SAID, made

WORKER = Caller(agent="worker")


@asynccontextmanager
async def narrow(path: Path, *answers: Answer, **policy: Any) -> AsyncGenerator[Road]:
    """A road with tools whose tasks are narrowed by their type."""
    toolset = FakeToolset(made(name="note"), made(name="far.a"), script=[SAID] * 3)
    made_policy = TaskPolicy(type="default", budget=Money.dollars("1"), **policy)
    async with open_road(
        path, *answers, toolsets=[toolset], tasks={"default": made_policy}
    ) as road:
        yield road


def shown(road: Road, task: str | None = None) -> list[str]:
    """The tools that a caller is told of."""
    return [tool.name for tool in road.gate.tools(Caller(agent="worker", task_id=task))]


async def test_a_task_type_takes_away_and_gives_nothing(tmp_path: Path) -> None:
    async with narrow(tmp_path, tools=("far.*", "secret")) as road:
        assert await road.call("far.a") == SAID
        with pytest.raises(Denied, match="a task of the type 'default' may not call 'note'") as why:
            await road.call("note")
        assert why.value.reason.rule == "tasks.default.tools"
        with pytest.raises(Denied, match="the agent 'worker' may not call 'secret'"):
            await road.call("secret")


async def test_a_task_type_may_leave_no_model(tmp_path: Path) -> None:
    async with narrow(tmp_path, models=()) as road:
        with pytest.raises(Denied, match=r"may not use 'plain' .first:a.; it may use: none"):
            await road.ask("plain")


async def test_a_task_is_narrowed_when_it_begins(tmp_path: Path) -> None:
    async with narrow(tmp_path, Answer()) as road:
        claims = Claims(task_id="t1")
        await road.gate.create_task(WORKER, claims, tools=["note"], models=["first/a"])
        await road.ask("smart")
        with pytest.raises(
            Denied, match=r"the task 't1' may not call 'far.a'; its tools are: note"
        ):
            await road.call("far.a")
        with pytest.raises(Denied, match="the task 't1' may not use 'other'"):
            await road.ask("other")


async def test_what_it_is_narrowed_to_holds_in_another_process(tmp_path: Path) -> None:
    async with narrow(tmp_path) as road:
        await road.gate.create_task(WORKER, Claims(task_id="t1"), tools=[])
        async with narrow(tmp_path) as other:
            with pytest.raises(Denied, match="the task 't1' may not call 'note'"):
                await other.call("note")


async def test_a_task_below_is_as_narrow_as_those_above(tmp_path: Path) -> None:
    async with narrow(tmp_path) as road:
        await road.gate.create_task(WORKER, Claims(task_id="t1"), tools=["note"])
        await road.gate.create_task(WORKER, Claims(task_id="t2", parent="t1"))
        await road.call("note", task="t3", parent="t2")
        with pytest.raises(Denied, match=r"the task 't1' may not call 'far.a'"):
            await road.call("far.a", task="t3", parent="t2")
        assert shown(road, "t3") == ["note"]


async def test_tasks_in_a_circle_are_refused_and_not_followed_for_ever(tmp_path: Path) -> None:
    async with narrow(tmp_path) as road:
        with pytest.raises(Malformed, match="names the parent 't9'"):
            await road.call("note", task="t9", parent="t9")


async def test_a_tool_that_the_agent_may_not_call_cannot_be_named_for_a_task(
    tmp_path: Path,
) -> None:
    async with narrow(tmp_path) as road:
        with pytest.raises(Denied, match="may not call 'nite'; its tools are: note, far"):
            await road.gate.create_task(WORKER, Claims(task_id="t1"), tools=["far.*", "nite"])
        assert road.store.find_task("t1") is None


async def test_what_a_caller_is_told_of_is_what_its_task_may_call(tmp_path: Path) -> None:
    async with narrow(tmp_path, tools=("far.*", "note")) as road:
        await road.gate.create_task(WORKER, Claims(task_id="t1"), tools=["note"], models=["plain"])
        assert (shown(road), shown(road, "t1")) == (["far.a", "note"], ["note"])
        assert road.gate.models(Caller(agent="worker", task_id="t1")) == ("plain",)
        assert road.gate.models(Caller(agent="nobody")) == ()
        assert road.gate.tools(Caller(agent="nobody")) == ()
