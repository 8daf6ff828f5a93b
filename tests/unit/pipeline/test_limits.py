"""Limits on the road: what is refused, what waits for its turn, and what a change of them does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from callgate.config.policies import LimitPolicy
from callgate.errors import Looping, OverBudget, OverLimit, Transient, Unpriced
from callgate.money import Money
from callgate.testing.fakes import Answer
from tests.unit.pipeline.road import Road, open_road

DOLLAR = 1_000_000_000


def limit(scope: str, name: Any, value: int, *, waits: bool = False) -> LimitPolicy:
    return LimitPolicy(scope=scope, name=name, value=value, waits=waits)


async def now_with(road: Road, *limits: LimitPolicy) -> None:
    """Let other limits hold, as after a reload of a file that was written later."""
    path = road.gate.settings.path
    assert path is not None
    path.touch()
    await road.gate.reload(msgspec.structs.replace(road.gate.settings, limits=limits))


async def test_one_call_too_many_in_a_minute_is_refused_and_told_when_it_fits(
    tmp_path: Path,
) -> None:
    limits = (limit("agent:worker", "per_minute", 2),)
    async with open_road(tmp_path, Answer(), Answer(), limits=limits) as road:
        await road.ask()
        road.clock.advance(20)
        await road.ask()
        with pytest.raises(OverLimit, match=r"agents\.worker\.per_minute allows 2") as refused:
            await road.ask()
        assert 40 <= refused.value.retry_after_seconds < 40.001
        assert (road.last.state, road.last.status, road.last.code) == ("refused", 429, "per_minute")


async def test_where_the_settings_say_so_a_call_waits_for_its_turn(tmp_path: Path) -> None:
    limits = (limit("gate", "per_minute", 1, waits=True),)
    async with open_road(tmp_path, Answer(), Answer(), limits=limits) as road:
        await road.ask()
        await road.ask()
        assert road.last.state == "ok"
        assert 60 <= sum(road.clock.waits) < 60.001


async def test_no_call_waits_longer_than_its_task_has_time(tmp_path: Path) -> None:
    limits = (limit("gate", "per_minute", 1, waits=True),)
    async with open_road(tmp_path, Answer(), limits=limits) as road:
        made = road.gate.settings.tasks["default"]
        short = msgspec.structs.replace(made, timeout_seconds=59.0)
        changed = msgspec.structs.replace(road.gate.settings, tasks={"default": short})
        await road.gate.reload(changed)
        await road.ask()
        with pytest.raises(OverLimit):
            await road.ask()
        assert road.clock.waits == []


async def test_no_call_waits_longer_than_its_type_says(tmp_path: Path) -> None:
    limits = (limit("gate", "per_minute", 1, waits=True),)
    async with open_road(tmp_path, Answer(), limits=limits) as road:
        made = road.gate.settings.tasks["default"]
        short = msgspec.structs.replace(made, max_wait_seconds=30.0)
        await road.gate.reload(
            msgspec.structs.replace(road.gate.settings, tasks={"default": short})
        )
        await road.ask()
        with pytest.raises(OverLimit):
            await road.ask()
        assert road.clock.waits == []


async def test_nobody_waits_for_what_is_never_allowed(tmp_path: Path) -> None:
    limits = (limit("gate", "per_minute", 0, waits=True),)
    async with open_road(tmp_path, limits=limits) as road:
        with pytest.raises(OverLimit, match=r"raise limits\.per_minute") as refused:
            await road.ask()
        assert "wait" not in refused.value.message
        assert road.clock.waits == []


@pytest.mark.parametrize("image", [0, 1_000_000])
async def test_a_quarter_of_the_bytes_and_the_output_limit_are_expected_tokens(
    tmp_path: Path, image: int
) -> None:
    shown = {"type": "image_url", "image_url": {"url": "A" * image}}
    content = [{"type": "text", "text": "?" * 400}, *([shown] if image else [])]
    page = {"model": "plain", "messages": [{"content": content}], "max_tokens": 50, "n": 2}
    text = len(msgspec.json.encode(page)) - (len(msgspec.json.encode(shown)) if image else 0)
    expected = text // 4 + 2 * 50
    few, enough = (
        (limit("provider:first", "tokens_per_minute", most),) for most in (expected - 1, expected)
    )
    body = msgspec.json.encode(page)
    async with open_road(tmp_path, Answer(), limits=few, budget=None) as road:
        with pytest.raises(OverLimit):
            await road.read(road.passage(body=body))
        await road.gate.reload(msgspec.structs.replace(road.gate.settings, limits=enough))
        await road.read(road.passage(body=body))


async def test_counting_tokens_takes_none_of_a_minutes_tokens(tmp_path: Path) -> None:
    limits = (limit("provider:third", "tokens_per_minute", 0),)
    async with open_road(tmp_path, third=(Answer(),), limits=limits) as road:
        body = b'{"model":"other","messages":[]}'
        await road.read(road.passage(format="anthropic_count_tokens", body=body))


async def test_a_retry_is_no_call_more_of_its_agent(tmp_path: Path) -> None:
    limits = (limit("agent:worker", "per_minute", 1),)
    down = Transient("500", billed=False)
    async with open_road(tmp_path, down, Answer(), limits=limits) as road:
        await road.ask()
        assert [attempt.state for attempt in road.last.attempts] == ["failed", "ok"]


async def test_a_cap_over_everything_holds_where_a_task_has_no_budget(tmp_path: Path) -> None:
    limits = (limit("gate", "budget_per_day", 1_250_000),)
    async with open_road(tmp_path, Answer(), budget=None, limits=limits) as road:
        await road.ask()
        with pytest.raises(OverBudget, match=r"caps\.day: this call may cost") as no:
            await road.ask()
        assert no.value.reason.resets_at == "2026-01-02T00:00:00.000000Z"
        assert len(road.providers["first"].sent) == 1


async def test_a_cap_lowers_an_output_limit_that_the_gate_inserts(tmp_path: Path) -> None:
    limits = (limit("user:u1", "budget_per_month", DOLLAR // 100),)
    async with open_road(tmp_path, Answer(), budget=None, limits=limits) as road:
        passage = road.passage(body=b'{"model":"plain","messages":[]}', user="u1")
        await road.read(passage)
        assert passage.limited_to is not None
        assert passage.limited_to < 1_000


async def test_users_that_fit_by_themselves_may_not_fit_together(tmp_path: Path) -> None:
    each = limit("user:*", "budget_per_day", DOLLAR // 100)
    together = limit("gate", "budget_per_day", 1_250_000)
    async with open_road(tmp_path, Answer(), limits=(each, together)) as road:
        await road.ask(user="u1")
        with pytest.raises(OverBudget) as refused:
            await road.ask(task="t2", user="u2")
        assert (refused.value.reason.scope, refused.value.reason.used) == ("gate", 60_000)
        assert list(road.store.verify()) == []


async def test_a_model_without_a_price_is_refused_under_any_cap(tmp_path: Path) -> None:
    limits = (limit("agent:worker", "budget_per_day", DOLLAR),)
    async with open_road(tmp_path, budget=None, limits=limits) as road:
        with pytest.raises(Unpriced, match=r'\[prices."first:unpriced"\]') as refused:
            await road.ask("gratis")
        assert refused.value.reason.rule == "agents.worker.budget_per_day"


async def test_the_same_call_again_and_again_is_stopped(tmp_path: Path) -> None:
    limits = (limit("type:default", "max_repeats", 2),)
    async with open_road(tmp_path, *[Answer()] * 3, limits=limits) as road:
        await road.ask()
        await road.ask()
        with pytest.raises(Looping, match="has made this very call 2 times"):
            await road.ask()
        await road.ask(task="t2")


async def test_a_reload_raises_a_limit_by_the_next_call(tmp_path: Path) -> None:
    limits = (limit("gate", "per_minute", 1),)
    async with open_road(tmp_path, Answer(), Answer(), limits=limits) as road:
        await road.ask()
        with pytest.raises(OverLimit):
            await road.ask()
        await now_with(road, limit("gate", "per_minute", 2))
        await road.ask()
        assert road.spent() == (Money(120_000), Money())
