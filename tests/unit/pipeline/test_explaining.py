"""Where a request would go is told without sending it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from callgate.config.policies import TaskPolicy
from callgate.errors import Denied, Malformed
from callgate.gate import explaining
from callgate.pipeline.explaining import Asking, Explained
from callgate.store import Block
from callgate.testing import FakeClock
from callgate.testing.fakes import Answer
from tests.unit.pipeline.road import PRICE, Road, open_road, settings
from tests.unit.pipeline.test_choosing import asked, routed

BODY = b'{"model":"smart","messages":[{"role":"user","content":"hi"}]}'


async def explain(road: Road, body: bytes = BODY, format: str = "openai_chat") -> Explained:
    asking = Asking(agent="worker", task_type=None, format=format, body=body)
    return await explaining(road.gate.settings, road.store, asking, clock=road.clock)


def names(explained: Explained) -> list[str]:
    return [stop.weighed.candidate.name for stop in explained.stops]


async def test_candidates_are_told_in_the_order_in_which_they_are_asked(tmp_path: Path) -> None:
    cheap = msgspec.structs.replace(PRICE, input_femto=1, output_femto=1)
    changes = routed(tmp_path, prefer="cost", prices={"first:a": PRICE, "second:b": cheap})
    async with open_road(tmp_path, **changes) as road:
        explained = await explain(road)
        assert (explained.prefer, names(explained)) == ("cost", ["second:b", "first:a"])
        assert asked(road) == []


async def test_how_a_candidate_has_done_is_told(tmp_path: Path) -> None:
    async with open_road(tmp_path, Answer()) as road:
        await road.ask("smart")
        await road.settled()
        known = (await explain(road)).stops[0].weighed.performance
        assert known is not None
        assert (known.attempts, known.failures) == (1, 0)


async def test_where_there_is_no_store_yet_nobody_has_done_anything(tmp_path: Path) -> None:
    asking = Asking(agent="worker", task_type=None, format="openai_chat", body=BODY)
    explained = await explaining(settings(tmp_path), None, asking, clock=FakeClock())
    assert [stop.weighed.performance for stop in explained.stops] == [None, None]


@pytest.mark.parametrize("subject", ["first", "first:a", "first#mark", "first:a#mark"])
async def test_who_is_not_asked_for_now_is_told(tmp_path: Path, subject: str) -> None:
    async with open_road(tmp_path) as road:
        block = Block(subject=subject, kind="operator", reason="moving", since=road.clock.now())
        await road.store.block(block)
        first, second = (await explain(road)).stops
        assert [each.reason for each in first.blocks] == ["moving"]
        assert list(second.blocks) == []


async def test_who_is_passed_over_is_told_with_the_reason(tmp_path: Path) -> None:
    task = TaskPolicy(type="default", regions=("eu",))
    async with open_road(tmp_path, **routed(tmp_path, task=task)) as road:
        told = [stop.refused for stop in (await explain(road)).stops]
        assert all(why is not None and "names no region" in why for why in told)


async def test_how_the_request_would_change_is_told(tmp_path: Path) -> None:
    async with open_road(tmp_path) as road:
        body = BODY.replace(b"smart", b"other")
        (stop,) = (await explain(road, body)).stops
        assert list(stop.changes) == ["format=anthropic_messages"]


async def test_what_the_road_would_refuse_is_refused(tmp_path: Path) -> None:
    async with open_road(tmp_path) as road:
        with pytest.raises(Malformed):
            await explain(road, b"{}")
        with pytest.raises(Denied):
            await explain(road, BODY.replace(b"smart", b"third:c"))
