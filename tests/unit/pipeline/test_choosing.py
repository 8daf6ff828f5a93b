"""Who is asked first: by order, cost, latency or reliability, among those that fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from callgate.call import Candidate
from callgate.config.policies import (
    Preference,
    PricePolicy,
    ProviderPolicy,
    RoutePolicy,
    Settings,
    TaskPolicy,
)
from callgate.errors import Denied, StoreDown, Transient
from callgate.money import Money
from callgate.pipeline.choosing import (
    LOOK_BACK_SECONDS,
    READ_SECONDS,
    Weighed,
    ranked,
    too_slow,
)
from callgate.store import Performance
from callgate.testing.fakes import Answer
from tests.contract.store.making import NOW, make_task
from tests.unit.pipeline.road import PRICE, Road, open_road, settings

A, B, C = (Candidate(provider="p", model=name) for name in "abc")
OUT = Transient("500", billed=False)


def weighed(
    candidate: Candidate,
    *,
    cost: int | None = None,
    wait: float | None = None,
    failures: int | None = None,
    misfit: str | None = None,
) -> Weighed:
    known = None
    if wait is not None or failures is not None:
        known = Performance(attempts=10, failures=failures or 0, first_content_seconds=wait)
    money = None if cost is None else Money(cost)
    return Weighed(candidate=candidate, cost=money, performance=known, misfit=misfit)


def first(prefer: Preference, *all_weighed: Weighed) -> str:
    return "".join(each.candidate.model for each in ranked(all_weighed, prefer))


def test_the_order_of_the_settings_stands_where_nothing_else_is_preferred() -> None:
    assert first("order", weighed(B, cost=9, wait=9), weighed(A, cost=1, wait=1)) == "ba"


def test_the_cheapest_is_first_and_one_without_a_price_last() -> None:
    assert first("cost", weighed(A), weighed(B, cost=2), weighed(C, cost=1)) == "cba"


def test_the_fastest_is_first_after_one_that_nobody_knows() -> None:
    assert first("latency", weighed(A, wait=2), weighed(B, wait=1), weighed(C)) == "cba"


def test_the_most_reliable_is_first_after_one_that_nobody_knows() -> None:
    assert first("reliability", weighed(A, failures=5), weighed(B, failures=1), weighed(C)) == "cba"


def test_what_does_not_fit_is_last_however_cheap() -> None:
    assert first("cost", weighed(A, cost=1, misfit="too long"), weighed(B, cost=2)) == "ba"


def routed(
    path: Path,
    *,
    task: TaskPolicy | None = None,
    provider: dict[str, Any] | None = None,
    prices: dict[str, PricePolicy] | None = None,
    **route: Any,
) -> dict[str, Any]:
    """Return changes of the settings: of the route ``smart``, the task type and the first provider."""
    made: Settings = settings(path)
    changed: dict[str, Any] = {
        "models": {**made.models, "smart": _changed(made.models["smart"], route)}
    }
    if provider is not None:
        first: ProviderPolicy = msgspec.structs.replace(made.providers["first"], **provider)
        changed["providers"] = {**made.providers, "first": first}
    tasks = {} if task is None else {"tasks": {"default": task}}
    return {**changed, **tasks, **({} if prices is None else {"prices": prices})}


def _changed(route: RoutePolicy, changes: dict[str, Any]) -> RoutePolicy:
    return msgspec.structs.replace(route, **changes)


def asked(road: Road) -> list[str]:
    """Which providers were asked, and how often."""
    return [name for name, provider in road.providers.items() for _ in provider.sent]


async def test_the_cheaper_candidate_of_a_route_serves(tmp_path: Path) -> None:
    cheap = msgspec.structs.replace(PRICE, input_femto=1, output_femto=1)
    changes = routed(tmp_path, prefer="cost", prices={"first:a": PRICE, "second:b": cheap})
    async with open_road(tmp_path, second=(Answer(),), **changes) as road:
        await road.ask("smart")
        assert asked(road) == ["second"]


async def test_a_task_type_may_prefer_something_else_than_the_route(tmp_path: Path) -> None:
    cheap = msgspec.structs.replace(PRICE, input_femto=1, output_femto=1)
    task = TaskPolicy(type="default", prefer="order")
    prices = {"first:a": PRICE, "second:b": cheap}
    changes = routed(tmp_path, prefer="cost", task=task, prices=prices)
    async with open_road(tmp_path, Answer(), **changes) as road:
        await road.ask("smart")
        assert asked(road) == ["first"]


async def test_a_candidate_that_fails_is_asked_later_once_that_is_known(tmp_path: Path) -> None:
    task = TaskPolicy(type="default", retries=0)
    changes = routed(tmp_path, prefer="reliability", task=task)
    async with open_road(tmp_path, OUT, OUT, second=(Answer(),) * 3, **changes) as road:
        for _ in range(2):
            await road.ask("smart")
            road.clock.advance(READ_SECONDS)
            # What is read is read one after the other.
            await road.store.performance(0)
        await road.ask("smart")
        assert asked(road) == ["first", "first", "second", "second", "second"]


async def test_a_store_that_does_not_tell_leaves_the_order_as_it_was(tmp_path: Path) -> None:
    changes = routed(tmp_path, prefer="latency")
    async with open_road(tmp_path, Answer(), Answer(), **changes) as road:
        await road.ask("smart")
        road.clock.advance(READ_SECONDS)
        with road.store_down():
            for failing in (road.ask("smart"), road.store.performance(0)):
                with pytest.raises(StoreDown):
                    await failing
        road.clock.advance(READ_SECONDS)
        await road.ask("smart")
        assert asked(road) == ["first", "first"]


async def test_what_was_long_ago_is_forgotten(tmp_path: Path) -> None:
    async with open_road(tmp_path, Answer()) as road:
        await road.ask("plain")
        await road.settled()
        road.clock.advance(LOOK_BACK_SECONDS + 1)
        since = road.clock.now() - LOOK_BACK_SECONDS
        assert await road.store.performance(since) == {}


async def test_an_input_over_the_context_window_goes_where_it_fits(tmp_path: Path) -> None:
    small = msgspec.structs.replace(PRICE, context_window=10)
    changes = routed(tmp_path, prices={"first:a": small, "second:b": PRICE})
    async with open_road(tmp_path, second=(Answer(),), **changes) as road:
        await road.ask("smart")
        assert asked(road) == ["second"]


def test_a_first_content_after_the_deadline_is_a_misfit() -> None:
    task = make_task(deadline_at=NOW + 2)
    slow, quick = (
        Performance(attempts=1, failures=0, first_content_seconds=wait) for wait in (3.0, 1.0)
    )
    told = "its first content takes 3.0 s, and the task's deadline is in 2.0 s"
    assert [too_slow(each, task, now=NOW) for each in (slow, quick, None)] == [told, None, None]


async def test_a_region_that_a_task_type_does_not_name_is_passed_over(tmp_path: Path) -> None:
    task = TaskPolicy(type="default", regions=("eu",))
    async with open_road(tmp_path, **routed(tmp_path, task=task)) as road:
        with pytest.raises(Denied, match=r"first:a names no region, .* served in eu only"):
            await road.ask("smart")
        assert road.last.code == "other_region"


async def test_a_region_that_a_task_type_names_serves(tmp_path: Path) -> None:
    task = TaskPolicy(type="default", regions=("eu",))
    changes = routed(tmp_path, task=task, provider={"region": "us"})
    async with open_road(tmp_path, **changes) as road:
        with pytest.raises(Denied, match="first:a is served in us"):
            await road.ask("smart")
    changes = routed(tmp_path, task=task, provider={"region": "eu"})
    async with open_road(tmp_path, Answer(), **changes) as road:
        await road.ask("smart", task="t2")
        assert asked(road) == ["first"]
