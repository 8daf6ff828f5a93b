"""By which price an attempt is booked, and that its numbers are kept before it leaves."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from callgate.call import Candidate, CostReport, Usage
from callgate.config.policies import LimitPolicy, RoutePolicy
from callgate.errors import BadRequest, Misconfigured, StoreDown
from callgate.money import Money
from callgate.pricing.noted import read_numbers
from callgate.pricing.snapshot import Snapshot, encode
from callgate.store import AttemptRow
from callgate.testing.fakes import Answer
from tests.unit.pipeline.road import Line, Road, open_road, settings

USAGE = Usage(input_tokens=1_000, output_tokens=100)
LITTLE = Usage(input_tokens=100, output_tokens=10)
"""Of which less is booked than what is held."""
MIDNIGHT = datetime(2026, 1, 2, tzinfo=UTC)
CHEAP, DEAR = [10**9] * 6, [5 * 10**9] * 6


def own_list(*periods: dict[str, Any]) -> Snapshot:
    """A price list with one model."""
    model = {"id": "m", "match": {"equals": "m"}, "periods": periods}
    page = {"source": "mine", "made_on": "2026-01-01", "sources": {"openai": [model]}}
    return msgspec.convert(page, type=Snapshot)


CHANGING = own_list({"rates": CHEAP}, {"since": "2026-01-02", "rates": DEAR})
SERVED = own_list({"rates": CHEAP, "service_tiers": {"priority": {"rates": DEAR}}})


def open_listed(
    path: Path,
    snapshot: Snapshot,
    *first: Line,
    believed: CostReport | None = None,
    **more: Any,
) -> AbstractAsyncContextManager[Road]:
    """A road whose one model is priced by a list of the user's own."""
    file = path / "prices.json"
    file.write_bytes(encode(snapshot))
    made = settings(path)
    policy = msgspec.structs.replace(
        made.providers["first"], price_source="openai", reported_cost=believed
    )
    route = RoutePolicy(name="plain", use=(Candidate(provider="first", model="m"),))
    return open_road(
        path,
        *first,
        providers={**made.providers, "first": policy},
        models={**made.models, "plain": route},
        prices={},
        price_file=file,
        **more,
    )


def body(**fields: object) -> bytes:
    page = {"model": "plain", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 100}
    return msgspec.json.encode({**page, **fields})


async def booked(road: Road, **fields: object) -> AttemptRow:
    await road.read(road.passage(body=body(**fields)))
    return road.last.attempts[0]


async def test_the_price_of_the_day_on_which_an_attempt_is_sent_is_booked(tmp_path: Path) -> None:
    async with open_listed(tmp_path, CHANGING, Answer(usage=USAGE), Answer(usage=USAGE)) as road:
        road.clock.advance(MIDNIGHT.timestamp() - road.clock.now() - 0.001)
        first = await booked(road)
        road.clock.advance(0.001)
        second = await booked(road)
    assert (first.cost, second.cost) == (Money(1_100_000), Money(5_500_000))
    assert first.price_version != second.price_version


async def test_who_waits_until_another_price_holds_pays_that(tmp_path: Path) -> None:
    one_a_minute = LimitPolicy(scope="gate", name="per_minute", value=1, waits=True)
    answers = (Answer(usage=USAGE), Answer(usage=USAGE))
    async with open_listed(tmp_path, CHANGING, *answers, limits=(one_a_minute,)) as road:
        road.clock.advance(MIDNIGHT.timestamp() - road.clock.now() - 30)
        await booked(road)
        waited = await booked(road)
    assert waited.sent_at > MIDNIGHT.timestamp()
    assert waited.cost == Money(5_500_000)
    assert waited.reserved is not None
    assert waited.reserved >= Money(5_000 * 100)


async def test_the_numbers_of_a_price_are_kept_before_an_attempt_leaves_by_it(
    tmp_path: Path,
) -> None:
    async with open_listed(tmp_path, SERVED, BadRequest("no", billed=False)) as road:
        with pytest.raises(BadRequest):
            await road.ask()
        versions = {row.price_version or "" for row in road.last.attempts}
        noted = road.store.noted_prices(versions)
    (numbers,) = noted.values()
    assert read_numbers(numbers).rates.input_femto == 10**9


async def test_an_attempt_whose_price_cannot_be_kept_does_not_leave(tmp_path: Path) -> None:
    async with open_listed(tmp_path, SERVED, Answer(usage=USAGE)) as road:
        with road.store_down(table="prices"), pytest.raises(StoreDown):
            await road.ask()
        assert road.providers["first"].sent == []
        assert (await booked(road)).cost == Money(1_100_000)


async def test_the_row_names_the_price_that_was_applied_and_how_it_was_served(
    tmp_path: Path,
) -> None:
    answers = (Answer(usage=USAGE, service_tier="priority"), Answer(usage=USAGE))
    async with open_listed(tmp_path, SERVED, *answers) as road:
        told = await booked(road)
        not_told = await booked(road, service_tier="priority")
        numbers = road.store.noted_prices([told.price_version or ""])
    assert (told.cost, told.service_tier) == (Money(5_500_000), "priority")
    assert (not_told.cost, not_told.service_tier) == (Money(5_500_000), "priority")
    assert told.price_version == not_told.price_version
    assert read_numbers(numbers[told.price_version or ""]).rates.input_femto == 5 * 10**9


async def test_a_cost_that_is_reported_and_believed_goes_before_the_list(tmp_path: Path) -> None:
    answer = Answer(usage=USAGE, reported=Money(7))
    async with open_listed(tmp_path, SERVED, answer, believed="openrouter") as road:
        row = await booked(road)
    assert (row.cost, row.estimated, row.price_version) == (
        Money(7),
        False,
        "reported by openrouter",
    )


async def test_the_cost_of_a_reply_that_broke_off_is_not_what_it_had_reported(
    tmp_path: Path,
) -> None:
    answer = Answer(usage=LITTLE, reported=Money(7), finished=False)
    async with open_listed(tmp_path, SERVED, answer, believed="openrouter") as road:
        row = await booked(road)
    assert (row.cost, row.estimated) == (row.reserved, True)


@pytest.mark.parametrize(
    ("answer", "fields", "told"),
    [
        (Answer(usage=LITTLE, unpriced="web_search_requests"), {}, "web_search_requests"),
        (Answer(usage=LITTLE), {"web_search_options": {"a": 1}}, "web_search_options"),
        (Answer(usage=LITTLE), {}, None),
    ],
)
async def test_what_no_price_tells_is_booked_as_held_and_named(
    tmp_path: Path, answer: Answer, fields: dict[str, object], told: str | None
) -> None:
    policy = msgspec.structs.replace(settings(tmp_path).tasks["default"], max_input_tokens=5_000)
    async with open_listed(tmp_path, SERVED, answer, tasks={"default": policy}) as road:
        row = await booked(road, **fields)
    assert (row.unpriced, row.estimated) == (told, told is not None)
    assert (row.cost == row.reserved) is (told is not None)


SOUND = [{"role": "user", "content": [{"type": "input_audio"}]}]
PICTURE = [{"role": "user", "content": [{"type": "image_url"}]}]


@pytest.mark.parametrize(
    ("text_only", "answer", "fields", "told"),
    [
        (False, Answer(usage=LITTLE, has_media=True), {}, None),
        (True, Answer(usage=LITTLE, has_media=True), {}, "pictures or sounds"),
        (True, Answer(usage=LITTLE), {"messages": PICTURE}, "pictures or sounds"),
        (True, Answer(usage=LITTLE), {"messages": SOUND}, "messages[0] holds a part of type 'input_audio'"),
        (True, Answer(usage=LITTLE), {}, None),
    ],
)  # fmt: skip
async def test_pictures_and_sounds_at_the_price_of_text_are_unknown_and_never_too_low(
    tmp_path: Path, text_only: bool, answer: Answer, fields: dict[str, object], told: str | None
) -> None:
    listed = own_list({"rates": CHEAP, "text_only": text_only})
    free = msgspec.structs.replace(settings(tmp_path).tasks["default"], budget=None)
    async with open_listed(tmp_path, listed, answer, tasks={"default": free}) as road:
        row = await booked(road, **fields)
    assert row.unpriced == told
    assert (row.cost == Money(110_000)) is (told is None)


async def test_a_write_for_longer_that_only_the_request_tells_is_no_short_one(
    tmp_path: Path,
) -> None:
    listed = own_list({"rates": CHEAP, "short_writes_only": True})
    written = Answer(usage=Usage(cache_write_tokens=100, output_tokens=10))
    async with open_listed(tmp_path, listed, written, written) as road:
        assert (await booked(road)).cost == Money(110_000)
        row = await booked(road, prompt_cache_options={"ttl": "12h"})
    assert (row.cost, row.estimated) == (row.reserved, True)
    assert row.usage == Usage(cache_write_long_tokens=100, output_tokens=10)


async def test_a_write_for_longer_is_not_booked_below_one_for_shorter(tmp_path: Path) -> None:
    listed = own_list({"rates": CHEAP, "short_writes_only": True})
    written = Answer(usage=Usage(cache_write_tokens=1_000, output_tokens=100))
    async with open_listed(tmp_path, listed, written) as road:
        row = await booked(road, prompt_cache_options={"ttl": "12h"})
    assert (row.cost, row.estimated) == (Money(1_100_000), True)


async def test_a_reload_takes_another_list_and_refuses_a_broken_one(tmp_path: Path) -> None:
    answers = (Answer(usage=USAGE), Answer(usage=USAGE))
    async with open_listed(tmp_path, own_list({"rates": CHEAP}), *answers) as road:
        (tmp_path / "prices.json").write_bytes(b"{")
        with pytest.raises(Misconfigured, match="cannot be used"):
            await road.gate.reload(road.gate.settings)
        assert (await booked(road)).cost == Money(1_100_000)
        (tmp_path / "prices.json").write_bytes(encode(own_list({"rates": DEAR})))
        await road.gate.reload(road.gate.settings)
        assert (await booked(road)).cost == Money(5_500_000)


async def test_a_list_that_has_grown_old_is_told_to_whoever_runs_the_gate(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_listed(tmp_path, SERVED):
        told = [record.getMessage() for record in caplog.records]
    assert any("is older than the one that ships with this Callgate" in text for text in told)


async def test_a_gate_does_not_start_with_a_list_that_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_bytes(b"{}")
    with pytest.raises(Misconfigured, match=r"prices\.json cannot be used"):
        async with open_road(tmp_path, price_file=tmp_path / "prices.json"):
            pytest.fail("it has started")
