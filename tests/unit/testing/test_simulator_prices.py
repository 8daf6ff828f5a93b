"""A bill has service tiers and days, and what has no price there is told as unpriced."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from callgate.call import Usage
from callgate.testing.simulator import Simulator, read_script
from callgate.testing.simulator.prices import PriceList
from callgate.testing.simulator.script import ScriptError
from tests.unit.testing.raw_client import ask

PRICES: dict[str, Any] = {
    "m": {
        "input": 1,
        "output": 0,
        "service_tiers": {
            "flex": {
                "input": 0.5,
                "output": 0,
                "tiers": [{"above_input_tokens": 100, "input": 4, "output": 0}],
            }
        },
        "changes": [
            {"since": "2027-01-01", "input": 3, "output": 0},
            {"since": "2026-12-01", "input": 2, "output": 0},
        ],
    }
}


@pytest.mark.parametrize(
    ("service_tier", "on", "tokens", "nano"),
    [
        (None, date(2026, 11, 30), 10, 10_000),
        ("default", date(2026, 11, 30), 10, 10_000),
        ("flex", date(2026, 11, 30), 10, 5_000),
        ("flex", date(2026, 11, 30), 101, 404_000),
        (None, date(2026, 12, 1), 10, 20_000),
        (None, date(2027, 1, 1), 10, 30_000),
        ("flex", date(2026, 12, 1), 10, None),
        ("ultrafast", date(2026, 11, 30), 10, None),
    ],
)
def test_a_cost_depends_on_how_and_when_a_request_is_served(
    service_tier: str | None, on: date, tokens: int, nano: int | None
) -> None:
    prices = PriceList(read_script({"prices": PRICES}).prices)
    usage = Usage(input_tokens=tokens)
    assert prices.cost_nano_usd("m", usage, service_tier=service_tier, on=on) == nano


def test_a_change_needs_its_day() -> None:
    changes = [{"input": 2, "output": 0}]
    with pytest.raises(ScriptError, match="since"):
        read_script({"prices": {"m": {**PRICES["m"], "changes": changes}}})


@pytest.mark.parametrize("api", ["openai", "responses"])
async def test_a_reply_tells_how_it_was_served_and_is_billed_so(api: str) -> None:
    script = {"rules": [{"steps": [{"answer": {"text": "a", "service_tier": "flex"}}]}]}
    async with Simulator(script) as sim:
        told = (await ask(sim, api)).json()["service_tier"]
        (line,) = sim.bill().lines
    assert (told, line.service_tier) == ("flex", "flex")
    usage = line.usage
    flex = PriceList({}).cost_nano_usd("gpt-5.5", usage, service_tier="flex")
    assert line.cost_nano_usd == flex != PriceList({}).cost_nano_usd("gpt-5.5", usage)


@pytest.mark.parametrize(
    ("service_tier", "told"),
    [
        (None, {"service_tier": "standard"}),
        ("batch", {"service_tier": "batch"}),
        ("fast us", {"service_tier": "standard", "speed": "fast", "inference_geo": "us"}),
    ],
)
async def test_a_message_tells_it_in_three_fields(
    service_tier: str | None, told: dict[str, str]
) -> None:
    answer = {"text": "a", "service_tier": service_tier}
    async with Simulator({"rules": [{"steps": [{"answer": answer}]}]}) as sim:
        usage = (await ask(sim, "anthropic")).json()["usage"]
    fields = ("service_tier", "speed", "inference_geo")
    assert {name: usage[name] for name in fields if name in usage} == told


async def test_a_tier_without_a_price_is_unpriced_and_in_no_total() -> None:
    script = {"rules": [{"steps": [{"answer": {"text": "a", "service_tier": "ultrafast"}}]}]}
    async with Simulator(script) as sim:
        await ask(sim, "openai")
        bill = sim.bill()
    assert (bill.total_nano_usd, bill.unpriced_models) == (0, ("gpt-5.5",))
