"""A client's library that sends a call again does not get around what holds for its task."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from callgate.errors import Looping, RateLimited, TimedOut, Transient
from callgate.pipeline import ModelPassage
from callgate.store import CallRow
from callgate.testing.clocks import Turn
from callgate.testing.fakes import Answer, Silence
from tests.unit.pipeline.road import Road, open_road
from tests.unit.pipeline.test_matrix import set_task

DOWN = Transient("500", billed=False)
OK = Answer()


def again(road: Road, n: int = 1, *, task: Any = None, **more: Any) -> ModelPassage:
    """Return a call of which its client says that it has sent it ``n`` times before."""
    passage = road.passage(task=task, **more)
    passage.call = msgspec.structs.replace(passage.call, client_retry=n)
    return passage


def rows(road: Road) -> list[CallRow]:
    return list(reversed(road.store.calls(limit=None)))


async def lose(road: Road, *, task: str | None = None) -> None:
    """Make a call that fails at its only attempt."""
    await set_task(road, retries=0)
    with pytest.raises(Transient):
        await road.ask(task=task)


async def test_what_a_client_sends_again_belongs_to_the_task_of_the_first(tmp_path: Path) -> None:
    async with open_road(tmp_path, DOWN, OK) as road:
        await lose(road)
        await road.read(again(road))
        first, second = rows(road)
        assert first.task_id == second.task_id
        assert (first.client_retry, second.client_retry) == (0, 1)
        task = road.store.find_task(first.task_id or "")
        assert task is not None
        assert task.ended_at is not None


async def test_what_is_sent_again_while_the_first_still_runs_belongs_to_it(tmp_path: Path) -> None:
    async with open_road(tmp_path, Silence(), OK) as road:
        first = asyncio.create_task(road.ask(task=None))
        while not road.providers["first"].sent:
            await Turn()
        await road.read(again(road))
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert len({row.task_id for row in rows(road)}) == 1


@pytest.mark.parametrize(
    "other", [{"agent": "helper", "model": "second:x"}, {"user": "u2"}, {"model": "gratis"}]
)
async def test_what_somebody_else_or_something_else_asks_is_a_first_try(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    async with open_road(tmp_path, DOWN, OK, second=(OK,), budget=None) as road:
        await lose(road)
        await road.read(again(road, **other))
        assert rows(road)[0].task_id != rows(road)[1].task_id
        assert rows(road)[1].client_retry == 0


async def test_what_was_long_ago_is_not_sent_again(tmp_path: Path) -> None:
    async with open_road(tmp_path, DOWN, OK) as road:
        await lose(road)
        road.clock.advance(3601)
        await road.read(again(road))
        assert [row.client_retry for row in rows(road)] == [0, 0]


async def test_a_task_with_a_name_is_never_found_by_what_it_asked(tmp_path: Path) -> None:
    async with open_road(tmp_path, DOWN, OK) as road:
        await lose(road, task="named")
        await road.read(again(road))
        assert rows(road)[1].task_id != "named"


async def test_in_a_task_with_a_name_only_what_was_sent_before_is_a_retry(tmp_path: Path) -> None:
    async with open_road(tmp_path, DOWN, OK, OK) as road:
        await lose(road, task="named")
        await road.read(again(road, task="named"))
        body = b'{"model":"plain","messages":[],"max_tokens":5}'
        await road.read(again(road, task="named", body=body))
        assert [row.client_retry for row in rows(road)] == [0, 1, 0]


async def test_a_retry_of_a_task_that_nobody_knows_begins_it(tmp_path: Path) -> None:
    async with open_road(tmp_path, OK) as road:
        await road.read(again(road, task="new"))
        assert (rows(road)[0].task_id, rows(road)[0].client_retry) == ("new", 0)


async def test_retries_of_clients_and_of_the_gate_come_out_of_one_budget(tmp_path: Path) -> None:
    async with open_road(tmp_path, *[DOWN] * 4) as road:
        await set_task(road, retries=1, max_retries=3)
        for n in range(2):
            with pytest.raises(Transient):
                await road.read(again(road, n) if n else road.passage(task=None))
        with pytest.raises(Looping, match="used up its 3 retries") as refused:
            await road.read(again(road, 2))
        assert (refused.value.status, refused.value.may_retry) == (403, False)
        assert refused.value.reason.code == "retries_used_up"
        assert [len(row.attempts) for row in rows(road)] == [2, 2, 0]
        assert rows(road)[2].client_retry == 2


async def test_a_refused_retry_does_not_count_as_one(tmp_path: Path) -> None:
    async with open_road(tmp_path, DOWN) as road:
        await lose(road)
        await set_task(road, retries=0, max_retries=0)
        for n in (1, 2):
            with pytest.raises(Looping):
                await road.read(again(road, n))
        task_id = rows(road)[0].task_id
        assert road.store.count_retries(task_id or "") == 0


# How long a client waits.


def hurried(road: Road, seconds: float) -> ModelPassage:
    passage = road.passage()
    passage.call = msgspec.structs.replace(passage.call, patience_seconds=seconds)
    return passage


async def test_a_call_ends_before_its_client_stops_waiting(tmp_path: Path) -> None:
    async with open_road(tmp_path, Silence()) as road:
        with pytest.raises(TimedOut, match=r"waits 0\.1 s") as failure:
            await road.read(hurried(road, 0.1))
        assert failure.value.reason.code == "client_timeout"
        assert (road.last.status, road.last.code) == (504, "client_timeout")
        assert road.last.attempts[0].estimated


async def test_a_retry_that_its_client_would_not_wait_for_is_not_begun(tmp_path: Path) -> None:
    async with open_road(tmp_path, DOWN, DOWN) as road:
        with pytest.raises(Transient):
            await road.read(hurried(road, 0.4))
        assert len(road.last.attempts) == 1
        assert road.clock.waits == []


async def test_a_client_waits_for_the_beginning_of_a_reply_and_not_for_its_end(
    tmp_path: Path,
) -> None:
    async with open_road(tmp_path, Answer(chunks=(b"a", b"b"))) as road:
        passage = hurried(road, 0.05)
        async with road.gate.road(passage) as reply:
            assert passage.patience is not None
            assert passage.patience.cancelled()
            assert reply.chunks is not None
            assert [chunk async for chunk in reply.chunks] == [b"a", b"b"]


async def test_a_client_that_waits_long_does_not_lengthen_the_longest_wait(tmp_path: Path) -> None:
    slow = RateLimited("429", billed=False, retry_after_seconds=300)
    async with open_road(tmp_path, slow) as road:
        with pytest.raises(RateLimited):
            await road.read(hurried(road, 600))
        assert road.clock.waits == []
