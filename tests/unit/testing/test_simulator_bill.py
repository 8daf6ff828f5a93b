"""The bill is exact, and reckoned apart from the gate's prices."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from genai_prices.data import providers
from genai_prices.types import ModelPrice, TieredPrices
from hypothesis import given
from hypothesis import strategies as st

from callgate.call import Usage
from callgate.testing.simulator import Simulator, read_script
from callgate.testing.simulator.bill import generated
from callgate.testing.simulator.formats.format import Carries
from callgate.testing.simulator.prices import BUILT_IN, PriceList, cost_nano_usd
from callgate.testing.simulator.script import PriceTable, TierTable
from tests.unit.testing.raw_client import ask, control

tokens = st.integers(0, 10_000_000)
dollars = st.decimals(0, 10_000, allow_nan=False, places=9)
usages = st.builds(
    Usage,
    input_tokens=tokens,
    cache_read_tokens=tokens,
    cache_write_tokens=tokens,
    cache_write_long_tokens=tokens,
    output_tokens=tokens,
    reasoning_tokens=tokens,
)
prices = st.builds(
    PriceTable,
    input=dollars,
    cache_read=st.none() | dollars,
    cache_write=st.none() | dollars,
    cache_write_long=st.none() | dollars,
    output=dollars,
    reasoning=st.none() | dollars,
)


@given(prices, usages)
def test_a_cost_is_the_exact_sum_rounded_up_once(price: PriceTable, usage: Usage) -> None:
    def rate(*candidates: Decimal | None) -> Fraction:
        return Fraction(next(one for one in candidates if one is not None))

    written = (price.cache_write, price.input)
    exact = (
        usage.input_tokens * rate(price.input)
        + usage.cache_read_tokens * rate(price.cache_read, price.input)
        + usage.cache_write_tokens * rate(*written)
        + usage.cache_write_long_tokens * rate(price.cache_write_long, *written)
        + usage.output_tokens * rate(price.output)
        + usage.reasoning_tokens * rate(price.reasoning, price.output)
    )
    assert cost_nano_usd(price, usage) == math.ceil(exact * 10**9 / 10**6)


def test_a_part_of_a_nano_dollar_rounds_up() -> None:
    price = PriceTable(input=Decimal("0.0001"), output=Decimal(0))
    assert cost_nano_usd(price, Usage(input_tokens=1)) == 1
    assert cost_nano_usd(price, Usage(input_tokens=10)) == 1
    assert cost_nano_usd(price, Usage(input_tokens=11)) == 2


def test_a_free_bucket_stays_free() -> None:
    price = PriceTable(input=Decimal(1), cache_write_long=Decimal(0), output=Decimal(1))
    assert cost_nano_usd(price, Usage(cache_write_long_tokens=1000)) == 0


def test_a_tier_holds_for_the_whole_request_once_all_input_is_over_it() -> None:
    tier = TierTable(above_input_tokens=100, input=Decimal(2), output=Decimal(20))
    price = PriceTable(input=Decimal(1), output=Decimal(10), tiers=(tier,))
    below = Usage(input_tokens=60, cache_read_tokens=40, output_tokens=1)
    above = Usage(input_tokens=61, cache_read_tokens=40, output_tokens=1)
    assert cost_nano_usd(price, below) == 100 * 1000 + 10_000
    assert cost_nano_usd(price, above) == 101 * 2000 + 20_000


def test_a_snapshot_costs_as_its_model() -> None:
    usage, prices_of = Usage(input_tokens=1), PriceList({})
    for dated in ("gpt-5.5-2026-04-23", "claude-sonnet-5-20260401"):
        assert prices_of.cost_nano_usd(dated, usage) == prices_of.cost_nano_usd(
            dated.rpartition("-2026")[0], usage
        )
    assert prices_of.cost_nano_usd("gpt-5.5-mystery", usage) is None


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_the_built_in_prices_are_those_of_genai_prices(name: str) -> None:
    price = BUILT_IN[name]
    company = "google" if price.api == "gemini" else price.api
    models = next(one for one in providers if one.id == company).models
    source = next(model for model in models if model.id == name).prices
    assert isinstance(source, ModelPrice)
    fields = {
        "input": "input_mtok",
        "cache_read": "cache_read_mtok",
        "cache_write": "cache_write_mtok",
        "cache_write_long": "cache_write_1h_mtok",
        "output": "output_mtok",
    }
    for ours, theirs in fields.items():
        told = getattr(source, theirs)
        if told is None and name.startswith("text-embedding") and ours == "output":
            continue  # an embedding has no output
        tiered = isinstance(told, TieredPrices)
        assert getattr(price, ours) == (told.base if tiered else told)
        high = [(tier.above_input_tokens, getattr(tier, ours)) for tier in price.tiers]
        assert high == (
            [(tier.start, tier.price) for tier in told.tiers]
            if tiered
            else [(tier.above_input_tokens, None) for tier in price.tiers]
        )


NONE, THINK, SAY = Carries
STREAM = [NONE, THINK, THINK, NONE, SAY, SAY, SAY, SAY, NONE, NONE]
WHOLE = Usage(input_tokens=5, output_tokens=10, reasoning_tokens=9)


@pytest.mark.parametrize(
    ("sent", "output", "reasoning"),
    [(0, 0, 0), (1, 1, 0), (2, 0, 5), (3, 0, 9), (5, 3, 9), (6, 5, 9), (8, 10, 9), (10, 10, 9)],
)
def test_output_counts_as_its_events_go_out(sent: int, output: int, reasoning: int) -> None:
    so_far = generated(WHOLE, STREAM, sent=sent)
    assert (so_far.input_tokens, so_far.output_tokens, so_far.reasoning_tokens) == (
        5,
        output,
        reasoning,
    )


def test_hidden_reasoning_counts_whole_with_the_first_output() -> None:
    so_far = generated(WHOLE, [NONE, SAY, SAY, NONE, NONE], sent=2)
    assert (so_far.output_tokens, so_far.reasoning_tokens) == (5, 9)


def test_output_that_no_event_shows_counts_once_all_but_the_last_event_are_out() -> None:
    silent = [NONE, NONE, NONE]
    assert [generated(WHOLE, silent, sent=sent).output_tokens for sent in (1, 2)] == [1, 10]


async def test_a_tool_call_that_does_not_fit_costs_the_limit() -> None:
    call = {"name": "search", "arguments": {"query": "x" * 100}}
    answer = {"text": "one two", "tool_calls": [call]}
    async with Simulator({"rules": [{"steps": [{"answer": answer}]}]}) as sim:
        reply = (await ask(sim, "openai", max_tokens=10)).json()
        line = sim.bill().lines[0]
    assert "tool_calls" not in reply["choices"][0]["message"]
    assert reply["choices"][0]["finish_reason"] == "length"
    assert line.usage.output_tokens == 10


@given(st.lists(st.sampled_from(Carries), min_size=2), usages)
def test_a_longer_stream_never_costs_less(carries: list[Carries], usage: Usage) -> None:
    totals = [
        generated(usage, carries, sent=sent).total_output_tokens for sent in range(len(carries) + 1)
    ]
    assert totals == sorted(totals)
    assert totals[-1] == usage.total_output_tokens


PRICED = {
    "prices": {
        "gpt-5.5": {
            "input": "1",
            "cache_read": "0.1",
            "cache_write": "1.25",
            "output": "10",
            "reasoning": "20",
        }
    },
    "rules": [
        {
            "steps": [
                {
                    "answer": {
                        "text": "x",
                        "usage": {
                            "input_tokens": 100,
                            "cache_read_tokens": 10,
                            "cache_write_tokens": 4,
                            "output_tokens": 3,
                            "reasoning_tokens": 2,
                        },
                    }
                }
            ]
        }
    ],
}
PRICED_COST = 100 * 1000 + 10 * 100 + 4 * 1250 + 3 * 10_000 + 2 * 20_000


@pytest.mark.parametrize("stream", [False, True])
async def test_the_scripts_own_prices_make_the_bill(*, stream: bool) -> None:
    async with Simulator(PRICED) as sim:
        await ask(sim, "openai", stream=stream)
        await sim.wait_idle()
        bill = sim.bill()
    assert (bill.requests, bill.billed_requests) == (1, 1)
    assert bill.total_nano_usd == bill.lines[0].cost_nano_usd == PRICED_COST


async def test_a_model_without_a_price_is_not_free_but_unpriced() -> None:
    async with Simulator() as sim:
        await ask(sim, "openai", model="mystery-1")
        await ask(sim, "openai")
        bill = sim.bill()
    assert [line.cost_nano_usd is None for line in bill.lines] == [True, False]
    assert (bill.unpriced_models, bill.billed_requests) == (("mystery-1",), 2)


async def test_the_bill_over_http_is_the_bill() -> None:
    async with Simulator(PRICED) as sim:
        reply = await ask(sim, "openai")
        bill = (await control(sim, "GET", "/sim/bill")).json()
        short = (await control(sim, "GET", "/sim/bill?lines=0")).json()
    assert bill["total_nano_usd"] == short["total_nano_usd"] == PRICED_COST
    line = bill["lines"][0]
    assert (line["model"], line["key"], line["billed"]) == ("gpt-5.5", "***6789", True)
    assert line["reply_id"] == reply.json()["id"]
    assert short["lines"] == []


async def test_every_request_is_on_the_bill_and_a_refused_one_is_free() -> None:
    script = read_script({"rules": [{"steps": [{"fault": {"status": 500}}], "then": "next"}]})
    async with Simulator(script) as sim:
        for _ in range(2):
            await ask(sim, "anthropic")
        await ask(sim, "anthropic", path="/v1/nothing")
        lines = sim.bill().lines
    assert [(line.status, line.state, line.billed) for line in lines] == [
        (500, "refused", False),
        (200, "complete", True),
        (404, "refused", False),
    ]
