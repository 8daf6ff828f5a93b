"""A request that its model calls bad may be put right once."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from callgate.errors import BadRequest, Malformed, Transient
from callgate.testing.fakes import Answer
from tests.unit.pipeline.road import Road, open_road

BAD = BadRequest("400: temperature must be at most 2", billed=False)


async def ask(road: Road, text: str, *, model: str = "plain", task: str | None = "t1") -> None:
    body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 9}
    await road.read(road.passage(body=msgspec.json.encode(body), task=task))


async def bad(road: Road, text: str) -> None:
    with pytest.raises(BadRequest):
        await ask(road, text)


async def test_the_same_request_is_not_sent_again(tmp_path: Path) -> None:
    async with open_road(tmp_path, BAD) as road:
        await bad(road, "hot")
        with pytest.raises(Malformed, match="temperature must be at most 2") as refused:
            await ask(road, "hot")
        assert (refused.value.reason.code, refused.value.status) == ("same_request", 400)
        assert len(road.providers["first"].sent) == 1


async def test_a_changed_request_is_sent_once(tmp_path: Path) -> None:
    async with open_road(tmp_path, BAD, BAD) as road:
        await bad(road, "hot")
        await bad(road, "warm")
        with pytest.raises(Malformed, match=r"callgate tasks unblock t1") as refused:
            await ask(road, "cool")
        assert (refused.value.reason.code, refused.value.reason.used) == ("not_corrected", 2)


async def test_a_request_that_was_put_right_clears_the_slate(tmp_path: Path) -> None:
    async with open_road(tmp_path, BAD, Answer(), BAD, Answer()) as road:
        for _ in range(2):
            await bad(road, "hot")
            await ask(road, "cool")


async def test_a_failure_of_another_kind_neither_clears_nor_counts(tmp_path: Path) -> None:
    down = Transient("500", billed=False)
    async with open_road(tmp_path, BAD, down, down, down, Answer()) as road:
        await bad(road, "hot")
        with pytest.raises(Transient):
            await ask(road, "cool")
        with pytest.raises(Malformed):
            await ask(road, "hot")
        await ask(road, "cool")


async def test_other_tasks_and_other_models_are_not_touched(tmp_path: Path) -> None:
    async with open_road(tmp_path, BAD, Answer(), third=(Answer(),)) as road:
        await bad(road, "hot")
        await ask(road, "hot", task="t2")
        page: dict[str, object] = {"model": "other", "messages": [], "max_tokens": 9}
        body = msgspec.json.encode(page)
        await road.read(road.passage(format="anthropic_messages", body=body))


async def test_a_call_that_is_a_task_of_its_own_may_be_sent_as_often_as_one_likes(
    tmp_path: Path,
) -> None:
    async with open_road(tmp_path, BAD, BAD, BAD) as road:
        for _ in range(3):
            with pytest.raises(BadRequest):
                await ask(road, "hot", task=None)


async def test_a_person_lets_a_task_go_on(tmp_path: Path) -> None:
    async with open_road(tmp_path, BAD, BAD, Answer()) as road:
        await bad(road, "hot")
        await bad(road, "warm")
        assert await road.store.unblock_task("t1")
        await ask(road, "hot")
        assert not await road.store.unblock_task("t1")
