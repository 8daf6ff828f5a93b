"""What a tool does to the world it does once, however often an agent asks for it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from callgate.call import ToolReply, ToolResult
from callgate.errors import (
    BadRequest,
    Malformed,
    Misconfigured,
    OutcomeUnknown,
    Quarantined,
    StillUnknown,
    TimedOut,
    Transient,
)
from callgate.money import Money
from callgate.store import Block, Decision
from callgate.testing.clocks import Turn
from callgate.testing.fakes import Silence
from tests.unit.pipeline.road import Road
from tests.unit.pipeline.test_tool_road import CENT, SAID, made, road_of

WRITE = made(effect="write")
LOST = TimedOut("late", billed=True)
FAILED = ToolResult(content=({"type": "text", "text": "declined"},), is_error=True)


async def ask(road: Road, text: str = "hi", **more: Any) -> ToolResult:
    return await road.call(body=b'{"text":"%s"}' % text.encode(), **more)


async def decide(road: Road, state: Any) -> None:
    (action,) = road.store.actions(only_open=True)
    said = Decision(action_id=action.id, state=state, by="ann", at=road.clock.now(), note="seen")
    await road.store.decide(said)


async def test_what_is_done_is_told_and_not_done_again(tmp_path: Path) -> None:
    async with road_of(tmp_path, SAID, tool=WRITE) as (road, toolset):
        assert (await ask(road)).already_done is None
        first = road.last
        again = await ask(road)
        assert (again.content, len(toolset.called)) == (SAID.content, 1)
        assert again.already_done is not None
        assert (again.already_done.call_id, again.already_done.is_same) == (first.id, True)


async def test_who_is_told_again_pays_nothing_and_leaves_a_row_that_says_so(
    tmp_path: Path,
) -> None:
    async with road_of(tmp_path, SAID, tool=WRITE) as (road, _):
        first = await ask(road), road.last.id
        assert (await ask(road)).cost is None
        row = road.last
        assert (row.state, row.code, row.status, row.attempts) == ("ok", "already_done", 200, ())
        assert first[1] in str(row.message)
        assert road.spent() == (CENT, Money())


async def test_other_arguments_or_another_task_are_another_action(tmp_path: Path) -> None:
    async with road_of(tmp_path, SAID, SAID, SAID, tool=WRITE) as (road, toolset):
        await ask(road)
        await ask(road, "other")
        await ask(road, task="t2")
        keys = {invocation.idempotency_key for invocation in toolset.called}
        assert len(keys) == 3


@pytest.mark.parametrize(
    "changes", [{"effect": "read"}, {"effect": "write", "is_idempotent": True}]
)
async def test_what_may_be_done_again_is_done_again(tmp_path: Path, changes: Any) -> None:
    async with road_of(tmp_path, SAID, SAID, tool=made(**changes)) as (road, toolset):
        await ask(road)
        await ask(road)
        assert len(toolset.called) == 2
        assert road.store.actions() == []


async def test_a_read_that_is_declared_to_happen_once_does(tmp_path: Path) -> None:
    async with road_of(tmp_path, SAID, tool=made(once="text")) as (road, toolset):
        await ask(road)
        await ask(road)
        assert len(toolset.called) == 1


async def test_the_order_and_spelling_of_arguments_make_no_difference(tmp_path: Path) -> None:
    async with road_of(tmp_path, SAID, tool=WRITE) as (road, toolset):
        for body in (b'{"text":"hi","times":10}', b'{ "times": 1e1, "te\\u0078t": "hi" }'):
            await road.call(body=body)
        assert len(toolset.called) == 1


async def test_what_nobody_knows_is_not_done_again_in_the_same_words(tmp_path: Path) -> None:
    async with road_of(tmp_path, LOST, tool=WRITE) as (road, toolset):
        with pytest.raises(OutcomeUnknown):
            await ask(road)
        with pytest.raises(StillUnknown, match="it was sent at 2026-01-01T") as refused:
            await ask(road)
        (action,) = road.store.actions(only_open=True)
        fix = f"callgate effects resolve {action.id} done|not-done"
        assert fix in str(refused.value.reason.fix)
        assert (len(toolset.called), road.last.code) == (1, "still_unknown")


async def test_what_nobody_knows_raises_one_alert_and_is_a_line_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with road_of(tmp_path, LOST, tool=WRITE) as (road, _):
        for error in (OutcomeUnknown, StillUnknown, StillUnknown):
            with pytest.raises(error):
                await ask(road, user="u1")
        (alert,) = road.store.alerts()
        assert (alert.kind, alert.scope, alert.rule) == ("effect_unknown", "task:t1", "tools.note")
        assert "task t1 of user u1" in alert.message
        assert [record.msg.partition(" %s")[0] for record in caplog.records] == [
            "nobody knows whether attempt"
        ]


async def test_what_a_person_says_is_done_is_told_to_who_asks_again(tmp_path: Path) -> None:
    async with road_of(tmp_path, LOST, tool=WRITE) as (road, toolset):
        with pytest.raises(OutcomeUnknown):
            await ask(road)
        await decide(road, "done")
        again = await ask(road)
        assert (again.content, again.already_done is None, len(toolset.called)) == ((), False, 1)
        assert road.store.alerts(only_open=True) == []


async def test_what_a_person_says_is_not_done_may_be_tried_again_by_the_same_key(
    tmp_path: Path,
) -> None:
    async with road_of(tmp_path, LOST, SAID, tool=WRITE) as (road, toolset):
        with pytest.raises(OutcomeUnknown):
            await ask(road)
        await decide(road, "not_done")
        assert await ask(road) == SAID
        first, second = toolset.called
        assert first.idempotency_key == second.idempotency_key


async def test_what_surely_did_not_happen_may_be_tried_again(tmp_path: Path) -> None:
    refused = BadRequest("no such account", billed=False)
    async with road_of(tmp_path, refused, SAID, tool=WRITE) as (road, toolset):
        with pytest.raises(BadRequest):
            await ask(road)
        await road.store.unblock_task("t1")
        assert await ask(road) == SAID
        assert len(toolset.called) == 2
        assert road.store.alerts() == []


async def test_a_retry_of_the_road_has_the_same_key(tmp_path: Path) -> None:
    refused = Transient("connection refused", billed=False)
    async with road_of(tmp_path, refused, SAID, tool=WRITE) as (road, toolset):
        await ask(road)
        first, second = toolset.called
        assert first.idempotency_key == second.idempotency_key != road.last.id
        (action,) = road.store.actions()
        assert (action.state, action.attempts) == ("done", 2)


async def test_what_failed_as_the_tool_itself_says_is_tried_anew_by_another_key(
    tmp_path: Path,
) -> None:
    async with road_of(tmp_path, FAILED, SAID, tool=WRITE) as (road, toolset):
        assert (await ask(road)).is_error
        assert await ask(road) == SAID
        first, second = toolset.called
        assert first.idempotency_key != second.idempotency_key


async def test_an_error_may_be_declared_to_leave_it_open(tmp_path: Path) -> None:
    tool = made(effect="write", error_is_unknown=True)
    async with road_of(tmp_path, FAILED, tool=tool) as (road, _):
        assert (await ask(road)).is_error
        assert [alert.kind for alert in road.store.alerts()] == ["effect_unknown"]
        with pytest.raises(StillUnknown):
            await ask(road)


async def test_a_tool_that_takes_a_key_is_asked_again_by_it(tmp_path: Path) -> None:
    tool = made(effect="write", takes_key=True)
    async with road_of(tmp_path, LOST, LOST, LOST, SAID, tool=tool) as (road, toolset):
        with pytest.raises(TimedOut):
            await ask(road)
        assert [alert.kind for alert in road.store.alerts(only_open=True)] == ["effect_unknown"]
        assert await ask(road) == SAID
        assert len({invocation.idempotency_key for invocation in toolset.called}) == 1
        assert road.store.alerts(only_open=True) == []


async def test_what_another_call_does_between_two_tries_is_told(tmp_path: Path) -> None:
    refused = Transient("connection refused", billed=False)
    async with road_of(tmp_path, refused, SAID, tool=WRITE) as (road, toolset):
        passage = road.tool_passage("note", body=b'{"text":"hi"}')
        opening = road.gate.road(passage)
        first = asyncio.create_task(opening.__aenter__())
        await toolset.reached.wait()
        second = await ask(road)
        reply = await first
        await opening.__aexit__(None, None, None)
        assert isinstance(reply, ToolReply)
        told = [result.already_done is not None for result in (second, reply.result)]
        assert (sorted(told), len(toolset.called)) == ([False, True], 2)


async def test_what_may_be_done_again_is_tried_again_also_where_it_counts_once(
    tmp_path: Path,
) -> None:
    async with road_of(tmp_path, LOST, SAID, tool=made(once="text")) as (road, toolset):
        assert await ask(road) == SAID
        assert (await ask(road)).already_done is not None
        assert len(toolset.called) == 2


async def test_a_key_is_not_trusted_for_longer_than_a_day(tmp_path: Path) -> None:
    tool = made(effect="write", takes_key=True)
    async with road_of(tmp_path, LOST, LOST, LOST, tool=tool) as (road, _):
        with pytest.raises(TimedOut):
            await ask(road)
        road.clock.advance(86_401)
        with pytest.raises(StillUnknown):
            await ask(road)


async def test_a_retry_that_succeeds_tells_nobody_that_it_was_unknown(tmp_path: Path) -> None:
    tool = made(effect="write", takes_key=True)
    async with road_of(tmp_path, LOST, SAID, tool=tool) as (road, _):
        assert await ask(road) == SAID
        assert road.store.alerts() == []


async def test_who_asks_for_what_is_being_done_waits_and_is_told(tmp_path: Path) -> None:
    answer: asyncio.Future[ToolResult] = asyncio.get_running_loop().create_future()
    async with road_of(tmp_path, answer, tool=WRITE) as (road, toolset):
        first = asyncio.create_task(ask(road))
        await toolset.reached.wait()
        second = asyncio.create_task(ask(road))
        await road.settled()
        assert not second.done()
        answer.set_result(SAID)
        results = await asyncio.gather(first, second)
        assert [result.already_done is None for result in results] == [True, False]
        assert len(toolset.called) == 1


async def test_who_waits_for_what_is_never_known_is_told_that_it_is_unknown(tmp_path: Path) -> None:
    async with road_of(tmp_path, Silence(), tool=WRITE) as (road, toolset):
        passage = road.tool_passage("note", body=b'{"text":"hi"}')
        first = asyncio.create_task(_open(road, passage))
        await toolset.reached.wait()
        second = asyncio.create_task(ask(road))
        await road.settled()
        passage.leave(0.0)
        with pytest.raises(StillUnknown):
            await second
        await asyncio.gather(first, return_exceptions=True)
        assert len(toolset.called) == 1


async def _open(road: Road, passage: Any) -> None:
    async with road.gate.road(passage):
        pass


async def test_what_is_cut_off_by_a_deadline_is_unknown(tmp_path: Path) -> None:
    async with road_of(tmp_path, Silence(), tool=WRITE) as (road, toolset):
        passage = road.tool_passage("note", body=b'{"text":"hi"}')
        calling = asyncio.create_task(_open(road, passage))
        await toolset.reached.wait()
        passage.expire(0.0)
        with pytest.raises(OutcomeUnknown, match="deadline of task t1"):
            await calling
        assert road.last.attempts[0].state == "unknown"


async def test_time_that_is_over_between_two_tries_leaves_nothing_open(tmp_path: Path) -> None:
    refused = Transient("connection refused", billed=False, retry_after_seconds=60)
    async with road_of(tmp_path, refused, Silence(), tool=made()) as (road, toolset):
        passage = road.tool_passage("note", body=b'{"text":"hi"}')
        calling = asyncio.create_task(_open(road, passage))
        await toolset.reached.wait()
        passage.expire(0.0)
        with pytest.raises(TimedOut, match="deadline of task t1"):
            await calling


async def test_a_repetition_is_done_once_too(tmp_path: Path) -> None:
    async with road_of(tmp_path, SAID, SAID, tool=WRITE) as (road, toolset):
        await ask(road)
        assert (await ask(road, repeat=2)).already_done is None
        assert (await ask(road, repeat=2)).already_done is not None
        assert (await ask(road, repeat=1)).already_done is not None
        assert len(toolset.called) == 2


@pytest.mark.parametrize(("repeat", "right"), [(2, 1), (7, 1)])
async def test_a_repetition_of_what_is_not_done_is_refused(
    tmp_path: Path, repeat: int, right: int
) -> None:
    async with road_of(tmp_path, tool=WRITE) as (road, toolset):
        with pytest.raises(Malformed, match=f"and {right} would be next") as refused:
            await ask(road, repeat=repeat)
        assert (refused.value.reason.code, toolset.called) == ("not_next", [])


async def test_a_repetition_of_what_failed_is_no_repetition(tmp_path: Path) -> None:
    async with road_of(tmp_path, FAILED, tool=WRITE) as (road, _):
        await ask(road)
        with pytest.raises(Malformed, match="and 1 would be next"):
            await ask(road, repeat=2)


async def test_a_repetition_of_what_nobody_knows_is_refused(tmp_path: Path) -> None:
    async with road_of(tmp_path, LOST, tool=WRITE) as (road, _):
        with pytest.raises(OutcomeUnknown):
            await ask(road)
        with pytest.raises(StillUnknown):
            await ask(road, repeat=2)


@pytest.mark.parametrize("repeat", [0, -1, 10_001])
async def test_a_repetition_has_a_number_that_makes_sense(tmp_path: Path, repeat: int) -> None:
    async with road_of(tmp_path, tool=WRITE) as (road, _):
        with pytest.raises(Malformed, match="send a number from 1 to 10000"):
            await ask(road, repeat=repeat)


async def test_a_tool_that_is_called_again_on_purpose_is(tmp_path: Path) -> None:
    tool = made(effect="write", repeats=True)
    async with road_of(tmp_path, SAID, SAID, FAILED, SAID, tool=tool) as (road, toolset):
        for _ in range(4):
            assert (await ask(road)).already_done is None
        assert sorted(action.n for action in road.store.actions()) == [1, 2, 3]
        assert len(toolset.called) == 4


async def test_also_on_purpose_nothing_goes_on_where_nobody_knows(tmp_path: Path) -> None:
    tool = made(effect="write", repeats=True)
    async with road_of(tmp_path, SAID, LOST, tool=tool) as (road, _):
        await ask(road)
        with pytest.raises(OutcomeUnknown):
            await ask(road)
        with pytest.raises(StillUnknown):
            await ask(road)


async def test_what_names_an_action_may_be_a_part_of_its_arguments(tmp_path: Path) -> None:
    tool = made(effect="write", once="text")
    async with road_of(tmp_path, SAID, tool=tool) as (road, toolset):
        await road.call(body=b'{"text":"hi","times":1}')
        again = await road.call(body=b'{"text":"hi","times":2}')
        assert again.already_done is not None
        assert (again.already_done.is_same, len(toolset.called)) == (False, 1)


async def test_without_what_names_it_all_arguments_do(tmp_path: Path) -> None:
    tool = made(effect="write", once="times")
    async with road_of(tmp_path, SAID, SAID, tool=tool) as (road, toolset):
        for text in ("a", "b", "a"):
            await ask(road, text)
        assert len(toolset.called) == 2


async def test_a_name_that_cannot_be_told_lets_no_call_through(tmp_path: Path) -> None:
    tool = made(effect="write", once="abs(text)")
    async with road_of(tmp_path, tool=tool) as (road, toolset):
        with pytest.raises(Misconfigured, match=r'once under \[tools."note"\] cannot be told'):
            await ask(road)
        assert toolset.called == []


@pytest.mark.parametrize("within", ["user", "agent", "gate"])
async def test_an_action_may_happen_once_for_many_tasks(tmp_path: Path, within: Any) -> None:
    tool = made(effect="write", once_in=within)
    async with road_of(tmp_path, SAID, tool=tool) as (road, toolset):
        await ask(road, task="t1", user="u1")
        again = await ask(road, task="t2", user="u1")
        assert (again.content, len(toolset.called)) == (SAID.content, 1)


async def test_nobody_reads_what_a_tool_said_to_another_user(tmp_path: Path) -> None:
    tool = made(effect="write", once_in="gate")
    async with road_of(tmp_path, SAID, tool=tool) as (road, toolset):
        await ask(road, task="t1", user="u1")
        again = await ask(road, task="t2", user="u2")
        assert again.already_done is not None
        assert (again.content, again.already_done.call_id, len(toolset.called)) == ((), None, 1)


async def test_a_breaker_that_is_open_hides_nothing_that_is_done(tmp_path: Path) -> None:
    async with road_of(tmp_path, SAID, tool=WRITE) as (road, _):
        await ask(road)
        now = road.clock.now()
        await road.store.block(Block(subject="python", kind="operator", reason="x", since=now))
        road.clock.advance(2)
        with pytest.raises(Quarantined):
            await ask(road, "other")
        assert (await ask(road)).already_done is not None


async def test_who_hangs_up_before_it_left_has_done_nothing(tmp_path: Path) -> None:
    async with road_of(tmp_path, SAID, tool=WRITE) as (road, toolset):
        passage = road.tool_passage("note", body=b'{"text":"hi"}')
        calling = asyncio.create_task(_open(road, passage))
        await Turn()
        calling.cancel()
        await asyncio.wait([calling])
        await road.settled()
        (action,) = road.store.actions()
        assert (action.state, toolset.called, road.store.alerts()) == ("not_done", [], [])


async def test_a_result_that_is_too_large_is_not_kept(tmp_path: Path) -> None:
    large = ToolResult(content=({"type": "text", "text": "x" * 70_000},))
    async with road_of(tmp_path, large, tool=WRITE) as (road, _):
        await ask(road)
        again = await ask(road)
        assert (again.content, again.already_done is None) == ((), False)
