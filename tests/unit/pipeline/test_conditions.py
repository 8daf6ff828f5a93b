"""Conditions on arguments: what they refuse, what they tell, and what nobody can decide."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from callgate.call import ToolResult
from callgate.config.condition_checks import conditions_of
from callgate.config.policies import AgentPolicy, TaskPolicy
from callgate.errors import Denied
from callgate.money import Money
from tests.unit.pipeline.road import Road
from tests.unit.pipeline.test_tool_road import SAID, made, road_of

PAY = {
    "type": "object",
    "properties": {"amount": {"type": "number"}, "to": {}, "note": {"type": "string"}},
}


@asynccontextmanager
async def held_to(
    path: Path, *said: ToolResult, task: str = "", **when: str
) -> AsyncGenerator[Road]:
    """A road whose agent has conditions on the tool ``note``, and whose tasks may have one."""
    conditions = conditions_of("agents", "worker", when)
    agent = AgentPolicy(name="worker", tools=("note", "far.*"), conditions=conditions)
    of_type = conditions_of("tasks", "default", {"note": task} if task else {})
    policy = TaskPolicy(type="default", conditions=of_type, budget=Money.dollars("1"))
    tool = made(input_schema=PAY)
    async with road_of(
        path, *said, tool=tool, agents={"worker": agent}, tasks={"default": policy}
    ) as (road, _):
        yield road


async def test_a_call_of_which_every_condition_is_true_goes_on(tmp_path: Path) -> None:
    async with held_to(
        tmp_path, SAID, note="args.amount <= 5000", task="agent == 'worker'"
    ) as road:
        assert await road.call(body=b'{"amount": 5000}') == SAID


async def test_a_call_of_which_a_condition_is_false_is_refused(tmp_path: Path) -> None:
    async with held_to(tmp_path, note="args.amount <= 5000") as road:
        with pytest.raises(Denied, match=r"args.amount <= 5000 is false; found args.amount = 6000"):
            await road.call(body=b'{"amount": 6000}')
        row = road.last
        assert (row.state, row.code, row.attempts) == ("refused", "condition_not_met", ())
        assert row.rule == "agents.worker.when.note"


async def test_the_refusal_names_the_condition_and_what_to_do(tmp_path: Path) -> None:
    async with held_to(tmp_path, task="args.amount < 1.5") as road:
        with pytest.raises(Denied) as refused:
            await road.call(body=b'{"amount": 2}')
        reason = refused.value.reason
        assert (reason.rule, reason.scope) == ("tasks.default.when.note", "type:default")
        assert (reason.limit, reason.used) == ("args.amount < 1.5", "args.amount = 2")
        assert reason.fix is not None
        assert "change it under [tasks.default.when]" in reason.fix


@pytest.mark.parametrize(
    ("text", "body", "why"),
    [
        ("args.amount <= 5000", b"{}", "Key not found"),
        ("args.to <= 5000", b'{"to": "4000"}', "No matching overloads"),
        ("args.to", b'{"to": "yes"}', "it gives string, which is neither true nor false"),
        ("args.amount <= 5000", b'{"amount": 1, "to": 99999999999999999999}', "out of range"),
        ("args.to.all(n, n > 0)", b'{"to": [' + b"1," * 99_999 + b"1]}", "budget exceeded"),
        ("args.note.matches(args.to)", b'{"note": "a", "to": "("}', "invalid regular expression"),
        ("user.startsWith('vip')", b"{}", "No matching overloads"),
    ],
)
async def test_what_cannot_be_decided_is_refused(
    tmp_path: Path, text: str, body: bytes, why: str
) -> None:
    async with held_to(tmp_path, note=text) as road:
        with pytest.raises(Denied, match=rf"cannot be decided, so the call is refused \(.*{why}"):
            await road.call(body=body)


async def test_a_condition_may_speak_of_who_asks_for_whom(tmp_path: Path) -> None:
    asked = "user == args.to && tool == 'note' && task == 't1' && task_type == 'default'"
    async with held_to(tmp_path, SAID, note=asked) as road:
        await road.call(body=b'{"to": "u1"}', user="u1")
        with pytest.raises(Denied, match=r"found args.to = a text of 2 characters, user = 'u1'"):
            await road.call(body=b'{"to": "u2"}', user="u1")


async def test_no_text_of_an_argument_is_told(tmp_path: Path) -> None:
    body = b'{"note": "private", "to": ["private", {"private": 1}]}'
    async with held_to(tmp_path, note="args.note == '' && size(args.to) == 0") as road:
        with pytest.raises(Denied, match=r"args.note = a text of 7 characters, args.to = a list"):
            await road.call(body=body)
        assert "private" not in repr(road.last.message)


async def test_an_object_is_told_as_one(tmp_path: Path) -> None:
    async with held_to(tmp_path, note="args.to.x == 1") as road:
        with pytest.raises(Denied, match=r"found args.to = an object"):
            await road.call(body=b'{"to": {"x": 2}}')


async def test_a_condition_that_speaks_of_nothing_that_is_there_says_so(tmp_path: Path) -> None:
    async with held_to(tmp_path, note="tool == 'other'") as road:
        with pytest.raises(Denied, match="found nothing that it speaks of"):
            await road.call(body=b"{}")


async def test_conditions_of_other_tools_are_not_looked_at(tmp_path: Path) -> None:
    async with held_to(tmp_path, SAID, **{"far.*": "false", "n?te": "true"}) as road:
        assert await road.call(body=b"{}") == SAID


async def test_every_condition_that_is_for_a_tool_must_be_true(tmp_path: Path) -> None:
    async with held_to(tmp_path, **{"note": "true", "n*": "args.amount == 1"}) as road:
        with pytest.raises(Denied, match=r'agents\.worker\.when\."n\*" refuses'):
            await road.call(body=b'{"amount": 2}')
