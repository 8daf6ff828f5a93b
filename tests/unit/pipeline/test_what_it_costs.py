"""What an attempt holds and is booked at: the service tier, the cache, and models nobody prices."""

from __future__ import annotations

import json
from base64 import b64encode
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from callgate.call import Candidate, Usage
from callgate.config.policies import PricePolicy, RoutePolicy, TaskPolicy
from callgate.errors import OverBudget, Unbounded, Unpriced
from callgate.money import Money
from callgate.pricing.bound import input_bound_tokens
from callgate.pricing.images import image_tokens
from callgate.testing.fakes import Answer
from tests.unit.pipeline.road import PRICE, Line, Road, open_road, settings

USAGE = Usage(input_tokens=1_000, output_tokens=100)
LISTED = {"first": ("openai", "gpt-5.5"), "second": ("gemini", "gemini-2.5-flash"),
          "third": ("anthropic", "claude-sonnet-5")}  # fmt: skip
ROUTES = {"plain": "first", "second": "second", "other": "third"}


def open_listed(path: Path, **more: Any) -> AbstractAsyncContextManager[Road]:
    """A road whose models are priced by the list that ships."""
    made = settings(path)
    providers = {
        name: msgspec.structs.replace(made.providers[name], price_source=source)
        for name, (source, _) in LISTED.items()
    }
    models = {
        route: RoutePolicy(name=route, use=(Candidate(provider=name, model=LISTED[name][1]),))
        for route, name in ROUTES.items()
    }
    agents = {"worker": msgspec.structs.replace(made.agents["worker"], models=("*",))}
    first = more.pop("first", ())
    return open_road(
        path, *first, providers=providers, models=models, agents=agents, prices={}, **more
    )


def answers(service_tier: str | None) -> tuple[Line, ...]:
    return (Answer(usage=USAGE, service_tier=service_tier),)


def body(model: str, **fields: object) -> bytes:
    message = {"role": "user", "content": "hi"}
    return msgspec.json.encode({"model": model, "messages": [message], "max_tokens": 100, **fields})


@pytest.mark.parametrize(
    ("asked", "told", "held_for_output", "cost"),
    [
        (None, "default", "30", "0.008"),
        ("flex", "flex", "30", "0.004"),
        ("priority", "priority", "75", "0.02"),
        ("priority", "default", "75", "0.008"),
        ("priority", None, "75", "0.02"),
    ],
)
async def test_the_dearest_way_to_be_served_is_held_and_the_one_that_is_told_is_booked(
    tmp_path: Path, asked: str | None, told: str | None, held_for_output: str, cost: str
) -> None:
    sent = body("plain") if asked is None else body("plain", service_tier=asked)
    async with open_listed(tmp_path, first=answers(told)) as road:
        await road.read(road.passage(body=sent))
        attempt = road.last.attempts[0]
        assert attempt.cost == Money.dollars(cost)
        assert attempt.reserved is not None
        tokens = input_bound_tokens(sent, parts=1, has_tools=False)
        dollars = {"30": 5_000, "75": 12_500}[held_for_output] * tokens
        assert attempt.reserved.nano == dollars + int(held_for_output) * 1_000 * 100


async def test_a_reply_that_was_served_nobody_knows_at_which_price_is_booked_as_held(
    tmp_path: Path,
) -> None:
    async with open_listed(tmp_path, first=answers("ultrafast")) as road:
        await road.read(road.passage(body=body("plain")))
        attempt = road.last.attempts[0]
        assert (attempt.cost, attempt.estimated) == (attempt.reserved, True)


async def test_a_service_tier_without_a_price_is_refused_under_a_budget(tmp_path: Path) -> None:
    async with open_listed(tmp_path) as road:
        with pytest.raises(Unpriced, match="no price at the service tier 'ultrafast'"):
            await road.read(road.passage(body=body("plain", service_tier="ultrafast")))
        assert road.providers["first"].sent == []


@pytest.mark.parametrize(
    ("control", "femto"),
    [(None, 2), ({"type": "ephemeral"}, 2.5), ({"type": "ephemeral", "ttl": "1h"}, 4)],
)
async def test_no_more_is_held_than_the_request_can_write_to_a_cache(
    tmp_path: Path, control: dict[str, str] | None, femto: float
) -> None:
    sent = body("other") if control is None else body("other", cache_control=control)
    async with open_listed(tmp_path, third=answers("standard")) as road:
        await road.read(road.passage(format="anthropic_messages", body=sent))
        reserved = road.last.attempts[0].reserved
        assert reserved is not None
        tokens = input_bound_tokens(sent, parts=2, has_tools=False)
        assert reserved.nano == tokens * femto * 1_000 + 100 * 10_000


SOUND = [{"role": "user", "content": [{"type": "input_audio"}]}]


async def test_a_sound_that_costs_more_than_the_list_tells_is_refused_under_a_budget(
    tmp_path: Path,
) -> None:
    async with open_listed(tmp_path, second=answers(None)) as road:
        with pytest.raises(Unpriced):
            await road.read(road.passage(body=body("second", messages=SOUND)))
        await road.read(road.passage(body=body("second")))
        assert road.last.attempts[0].cost == Money.dollars("0.00055")


async def test_where_no_budget_holds_its_cost_is_unknown_and_never_that_of_text(
    tmp_path: Path,
) -> None:
    async with open_listed(tmp_path, second=answers(None), budget=None) as road:
        await road.read(road.passage(body=body("second", messages=SOUND)))
        attempt = road.last.attempts[0]
        assert (attempt.reserved, attempt.cost, attempt.estimated) == (None, None, False)


PICTURE = [{"role": "user", "content": [{"type": "image_url"}]}]


async def test_an_image_that_nobody_bounds_holds_what_its_model_can_take(tmp_path: Path) -> None:
    model = Candidate(provider="first", model="house-model")
    price = PricePolicy(input_femto=10**9, output_femto=10**9, context_window=10**6)
    routes = {"plain": RoutePolicy(name="plain", use=(model,))}
    prices = {model.name: price}
    async with open_road(tmp_path, models=routes, prices=prices, budget="0.0001") as road:
        with pytest.raises(OverBudget, match="nobody publishes what an image costs first:house"):
            await road.read(road.passage(body=body("plain", messages=PICTURE)))


async def test_an_image_holds_what_its_provider_publishes_and_not_its_bytes(
    tmp_path: Path,
) -> None:
    url = {"url": "data:image/png;base64," + "A" * 1_000_000}
    image = {"type": "image_url", "image_url": url}
    messages = [{"role": "user", "content": [{"type": "text", "text": "?"}, image]}]
    async with open_listed(tmp_path, first=answers(None)) as road:
        sent = body("plain", messages=messages, max_tokens=1)
        await road.read(road.passage(body=sent))
        reserved = road.last.attempts[0].reserved
        assert reserved is not None
        tokens = image_tokens("openai", LISTED["first"][1], [None]) or 0
        around = len(sent) - len(json.dumps(image)) + 500
        assert 5_000 * tokens < reserved.nano < 5_000 * (tokens + around) + 30_000


async def test_an_image_that_the_request_holds_counts_by_its_size(tmp_path: Path) -> None:
    head = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (1_024).to_bytes(4) + (768).to_bytes(4)
    url = {"url": "data:image/png;base64," + b64encode(head).decode() + "A" * 1_000_000}
    messages = [{"role": "user", "content": [{"type": "image_url", "image_url": url}]}]
    async with open_listed(tmp_path, first=answers(None)) as road:
        await road.read(road.passage(body=body("plain", messages=messages, max_tokens=1)))
        reserved = road.last.attempts[0].reserved
        assert reserved is not None
        assert 5_000 * 1_890 < reserved.nano < 5_000 * (1_890 + 500) + 30_000


async def test_a_sound_that_does_not_fit_is_refused_with_the_setting_that_bounds_it(
    tmp_path: Path,
) -> None:
    async with open_listed(tmp_path) as road:
        with pytest.raises(OverBudget) as refused:
            await road.read(road.passage(body=body("plain", messages=SOUND)))
        told = (refused.value.message, refused.value.reason.fix)
        assert ["max_input_tokens under [tasks.default]" in str(text) for text in told] == [
            True
        ] * 2
        assert "messages[0] holds a part of type 'input_audio'" in refused.value.message
        with pytest.raises(OverBudget) as plain:
            await road.read(road.passage(body=body("plain", max_tokens=10**6)))
        assert "max_input_tokens" not in plain.value.message


async def test_the_lines_of_the_refusal_are_all_that_is_missing(tmp_path: Path) -> None:
    async with open_road(tmp_path, Answer(usage=USAGE)) as road:
        with pytest.raises(Unpriced) as refused:
            await road.ask("gratis")
        fix = refused.value.reason.fix or ""
        assert '[prices."first:unpriced"]' in fix
        assert fix in refused.value.message
        priced = {"first:unpriced": PricePolicy(input_femto=10**10, output_femto=5 * 10**10)}
        await road.gate.reload(msgspec.structs.replace(road.gate.settings, prices=priced))
        await road.ask("gratis")
        assert road.last.attempts[0].cost == Money.dollars("0.015")


async def test_without_a_settings_file_the_refusal_says_how_to_get_one(tmp_path: Path) -> None:
    async with open_road(tmp_path) as road:
        await road.gate.reload(msgspec.structs.replace(road.gate.settings, path=None))
        with pytest.raises(Unpriced, match="callgate init writes it"):
            await road.ask("gratis")


async def test_a_bill_above_its_reservation_is_paid_in_full_and_raises_what_is_held_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An account may serve at a dearer tier than a request asks for: nobody can tell before."""
    used = Usage(input_tokens=200, output_tokens=100)
    dear = Answer(usage=used, service_tier="priority")
    async with open_listed(tmp_path, first=(dear, dear)) as road:
        await road.ask()
        first = road.last.attempts[0]
        assert first.reserved is not None
        assert first.cost == Money(200 * 12_500 + 100 * 75_000) > first.reserved
        await road.ask()
        second = road.last.attempts[0]
        assert second.reserved is not None
        assert second.cost is not None
        assert second.cost == first.cost
        assert second.cost <= second.reserved
        assert road.spent() == (Money(2 * second.cost.nano), Money())
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 1
    assert '[prices."first:gpt-5.5"]' in told[0]


BETAS = {None: 100_000 + 6_250, "context-1m-2025-08-07": 200_000, "files-api-2025-04-14": 106_250}


@pytest.mark.parametrize("beta", BETAS)
async def test_no_more_is_held_than_the_model_can_take_unless_a_header_widens_it(
    tmp_path: Path, beta: str | None
) -> None:
    sent = body("other", messages=[{"role": "user", "content": "a" * 200_000}])
    async with open_road(tmp_path, third=answers(None)) as road:
        passage = road.passage(format="anthropic_messages", body=sent)
        headers = () if beta is None else (("anthropic-beta", beta),)
        passage.call = msgspec.structs.replace(passage.call, headers=headers)
        await road.read(passage)
        reserved = road.last.attempts[0].reserved
        assert reserved is not None
        assert 0 <= reserved.nano // 1_000 - 1_000 - BETAS[beta] < 500


SEARCHING = [{"type": "web_search"}]
MANY = Usage(input_tokens=50_000, output_tokens=5)


@pytest.mark.parametrize(
    "answer",
    [Answer(usage=MANY, unpriced="web_search_requests"), Answer(usage=MANY, finished=False)],
)
async def test_what_is_not_known_whole_is_not_booked_below_what_its_tokens_cost(
    tmp_path: Path, answer: Answer
) -> None:
    tasks = {"default": TaskPolicy(type="default", budget=Money.dollars("1"), max_input_tokens=100)}
    async with open_road(tmp_path, answer, tasks=tasks) as road:
        await road.read(road.passage(body=body("plain", tools=SEARCHING)))
        attempt = road.last.attempts[0]
        assert attempt.reserved == Money(100 * 1_000 + 100 * 10_000)
        assert (attempt.cost, attempt.estimated) == (Money.dollars("0.05005"), True)
        assert [alert.kind for alert in road.store.alerts()] == ["overrun"]


async def test_a_model_that_searches_in_every_call_is_booked_as_held_at_a_price_of_ones_own(
    tmp_path: Path,
) -> None:
    model = Candidate(provider="first", model="gpt-4o-search-preview")
    routes = {"plain": RoutePolicy(name="plain", use=(model,))}
    little = Answer(usage=Usage(input_tokens=10, output_tokens=5))
    async with open_road(tmp_path, little, models=routes, prices={model.name: PRICE}) as road:
        await road.ask()
        (attempt,) = road.last.attempts
        assert (attempt.cost, attempt.estimated) == (attempt.reserved, True)
        assert attempt.unpriced == "a search in every call"


async def test_what_has_no_bound_is_refused_where_a_header_widens_the_window(
    tmp_path: Path,
) -> None:
    part = {"type": "document", "source": {"type": "url", "url": "https://a.test/long.pdf"}}
    sent = body("other", messages=[{"role": "user", "content": [part]}])
    async with open_road(tmp_path) as road:
        passage = road.passage(format="anthropic_messages", body=sent)
        headers = (("anthropic-beta", "context-1m-2025-08-07"),)
        passage.call = msgspec.structs.replace(passage.call, headers=headers)
        with pytest.raises(Unbounded, match="set max_input_tokens"):
            await road.read(passage)


async def test_a_reply_that_counts_no_input_costs_what_was_held_and_never_nothing(
    tmp_path: Path,
) -> None:
    async with open_road(tmp_path, Answer(usage=Usage())) as road:
        await road.ask()
        attempt = road.last.attempts[0]
        assert (attempt.cost, attempt.estimated) == (attempt.reserved, True)
