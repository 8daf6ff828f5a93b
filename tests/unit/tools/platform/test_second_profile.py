"""AgentPMT is the same connector with other data."""

from __future__ import annotations

from typing import Any

import pytest

from callgate.errors import OutOfCredit
from callgate.money import Money
from tests.unit.tools.platform.stand import KEY, RESEARCH, SEARCH, Stand, open_stand

PMT: dict[str, Any] = {"profile": "agentpmt"}
CENT = Money.dollars("0.01")


async def test_its_tools_are_found_in_its_list_and_cost_cents() -> None:
    async with open_stand(**PMT) as stand:
        assert stand.tool().cost == Money(50 * CENT.nano)
        assert stand.sim.requests[0].path == "/products/fetch"


async def test_a_tool_on_a_later_page_is_found() -> None:
    many = [{**SEARCH, "slug": f"tool-{n}"} for n in range(150)]
    async with open_stand(*many, **PMT, tools=("tool-149",)) as stand:
        assert [tool.name for tool in stand.platform.tools()] == ["patch.tool-149"]


async def test_a_call_is_a_purchase_in_its_words() -> None:
    async with open_stand({**SEARCH, "steps": [{"output": {"a": 1}}]}, **PMT) as stand:
        result = await stand.call(q="Rome")
        assert stand.sim.requests[-1].json() == {
            "name": "google-search",
            "parameters": {"q": "Rome"},
        }
        # It does not tell what it charged: the price is what is known.
        assert (result.structured, result.cost) == ({"a": 1}, None)


async def test_a_purchase_that_failed_is_told_to_the_agent() -> None:
    step = {"fault": {"how": "failed", "message": "no such page"}}
    async with open_stand({**SEARCH, "steps": [step]}, **PMT) as stand:
        result = await stand.call()
        assert (result.is_error, result.text) == (True, "no such page")


async def test_a_slow_tool_is_waited_for() -> None:
    async with open_stand({**RESEARCH, "steps": [{"seconds": 20}]}, **PMT) as stand:
        assert not (await stand.call("patch.research")).is_error


async def test_what_is_left_is_asked_for() -> None:
    async with open_stand(**PMT) as stand:
        await stand.call()
        await stand.platform.refresh()
        assert [(each.left, each.source) for each in stand.balances] == [
            (Money(1000 * CENT.nano), "look-up"),
            (Money(950 * CENT.nano), "look-up"),
        ]


async def test_too_few_credits_are_known_without_a_number() -> None:
    async with open_stand(**PMT, credits=10) as stand:
        with pytest.raises(OutOfCredit, match="has too few credits; top up"):
            await stand.call()


async def test_a_wrong_key_makes_its_tools_unavailable_and_is_not_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_stand(**PMT, looked_up=False) as stand:
        await _with_another_account(stand)
        assert "rejects the gate's key" in stand.platform.unavailable["patch.research"]
        assert KEY not in f"{stand.platform.unavailable} {caplog.text}"


async def _with_another_account(stand: Stand) -> None:
    stand.sim.play({"platform": {"accounts": {"somebody_else_entirely": 1}}})
    await stand.platform.refresh()
