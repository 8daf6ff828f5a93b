"""A request that goes on from an earlier response: who may, who is asked, and what is held for it."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from callgate.call import Candidate, Usage
from callgate.config.policies import AgentPolicy, RoutePolicy
from callgate.errors import Denied, Unbounded, Unknown
from callgate.pipeline import ModelPassage
from callgate.testing.fakes import Answer
from tests.unit.pipeline.road import PRICE, Line, Road, open_road, settings, whole

BODY = b'{"output":[],"status":"completed"}'
USED = Usage(input_tokens=100, output_tokens=50)
FIRST = Answer(body=BODY, reply_id="resp_1", usage=USED)
SECOND = Answer(body=BODY, reply_id="resp_2", usage=USED)
WINDOWLESS = msgspec.structs.replace(PRICE, context_window=None)


def open_here(path: Path, *first: Line, **more: Any) -> AbstractAsyncContextManager[Road]:
    """A road with one more model of the first provider, and a route on which it is not the first."""
    made = settings(path)
    turned = ("second", "b"), ("first", "a")
    use = tuple(Candidate(provider=provider, model=model) for provider, model in turned)
    anybody = AgentPolicy(name="worker", models=("*",))
    return open_road(
        path,
        *first,
        models={**made.models, "turned": RoutePolicy(name="turned", use=use)},
        agents={"worker": anybody, "helper": msgspec.structs.replace(anybody, name="helper")},
        prices={**made.prices, "first:other": WINDOWLESS},
        **more,
    )


def asking(
    road: Road, model: str = "plain", earlier: str | None = None, **more: Any
) -> ModelPassage:
    page: dict[str, Any] = {"model": model, "input": "hi", "max_output_tokens": 100}
    page |= {} if earlier is None else {"previous_response_id": earlier}
    return road.passage(model, body=json.dumps(page).encode(), format="openai_responses", **more)


def reserved(road: Road) -> int:
    """What the newest attempt held, in nano-dollars."""
    held = road.last.attempts[-1].reserved
    assert held is not None
    return held.nano


async def test_what_is_held_counts_the_earlier_response(tmp_path: Path) -> None:
    async with open_here(tmp_path, FIRST, SECOND) as road:
        await road.read(asking(road))
        alone = reserved(road)
        await road.read(asking(road, earlier="resp_1"))
        more_bytes = len(', "previous_response_id": "resp_1"')
        input_nano = PRICE.input_femto // 1_000_000
        assert reserved(road) - alone == (more_bytes + 150) * input_nano


async def test_candidates_that_have_not_kept_it_are_passed_over(tmp_path: Path) -> None:
    async with open_here(tmp_path, FIRST, SECOND) as road:
        await road.read(asking(road))
        await road.read(asking(road, "turned", "resp_1"))
        assert road.last.attempts[0].provider == "first"
        assert road.providers["second"].sent == []


async def test_where_nobody_has_kept_it_the_refusal_says_who_has(tmp_path: Path) -> None:
    async with open_here(tmp_path, FIRST) as road:
        await road.read(asking(road))
        with pytest.raises(Denied, match="a response that first has made") as refused:
            await road.read(asking(road, "second:b", "resp_1"))
        assert refused.value.reason.code == "kept_elsewhere"
        assert "ask for a model of first" in (refused.value.reason.fix or "")


@pytest.mark.parametrize(
    ("id", "more"),
    [
        ("resp_2", {}),
        ("resp_1", {"agent": "helper", "task": "t2"}),
        ("resp_1", {"user": "u2", "task": "t2"}),
        ("resp_1", {"user": "u2", "task": None}),
    ],
)
async def test_what_was_made_for_somebody_else_or_nowhere_is_unknown(
    tmp_path: Path, id: str, more: dict[str, Any]
) -> None:
    async with open_here(tmp_path, FIRST) as road:
        await road.read(asking(road, user="u1"))
        with pytest.raises(Unknown, match="send the whole conversation as input") as refused:
            await road.read(asking(road, earlier=id, **more))
        assert (refused.value.reason.code, refused.value.status) == ("unknown_response", 404)
        assert len(road.providers["first"].sent) == 1


async def test_another_model_may_count_it_otherwise_so_nothing_bounds_it(tmp_path: Path) -> None:
    async with open_here(tmp_path, FIRST) as road:
        await road.read(asking(road))
        with pytest.raises(Unbounded, match="nobody knows what the response that it goes on from"):
            await road.read(asking(road, "first:other", "resp_1"))


async def test_a_response_of_unknown_length_holds_the_whole_window(tmp_path: Path) -> None:
    silent = msgspec.structs.replace(FIRST, usage=None)
    async with open_here(tmp_path, silent, SECOND) as road:
        await road.read(asking(road))
        await road.read(asking(road, earlier="resp_1"))
        assert reserved(road) > 100_000 * (PRICE.input_femto // 1_000_000)


async def test_a_request_may_go_on_as_soon_as_the_last_event_has_come(tmp_path: Path) -> None:
    streamed = msgspec.structs.replace(FIRST, chunks=[b"event"])
    async with open_here(tmp_path, streamed, SECOND, SECOND) as road:
        async with road.gate.road(asking(road)) as reply:
            await whole(reply)
            assert road.store.find_reply("resp_1") is None
            await road.read(asking(road, earlier="resp_1"))
        early = reserved(road)
        await road.read(asking(road, earlier="resp_1"))
        assert reserved(road) == early


async def test_two_replies_of_one_id_are_read_at_once(tmp_path: Path) -> None:
    streamed = msgspec.structs.replace(FIRST, chunks=[b"event"])
    async with open_here(tmp_path, streamed, streamed) as road:
        async with road.gate.road(asking(road)) as first, road.gate.road(asking(road)) as second:
            assert await whole(first) == await whole(second) == b"event"
        assert [row.state for row in road.store.calls()] == ["ok", "ok"]
