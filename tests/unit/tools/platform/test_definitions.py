"""What the tools of a platform are: looked up, refused where they are odd, kept where it is down."""

from __future__ import annotations

from typing import Any

import pytest

from callgate.money import Money
from tests.unit.tools.platform.stand import CREDIT, RESEARCH, SEARCH, open_stand, script


async def test_a_tool_of_the_settings_has_a_name_a_price_and_a_schema_of_its_own() -> None:
    async with open_stand() as stand:
        tool = stand.tool()
        assert [each.name for each in stand.platform.tools()] == [
            "patch.google-search",
            "patch.research",
        ]
        assert (tool.cost, tool.input_schema["required"]) == (Money(50 * CREDIT.nano), ["q"])
        assert (tool.title, tool.description) == ("Google Search", "Searches the web.")
        assert (tool.toolset, tool.key, tool.effect) == ("patch", "env:PATCH_KEY", "destructive")


async def test_a_call_may_take_as_long_as_the_platform_lets_it() -> None:
    async with open_stand({**SEARCH, "max_timeout_seconds": 90}) as stand:
        assert stand.tool().timeout_seconds == 90
    async with open_stand(timeout_seconds=5.0) as stand:
        assert stand.tool().timeout_seconds == 5


async def test_a_tool_that_the_platform_does_not_have_is_unavailable() -> None:
    async with open_stand(tools=("google-search", "gone")) as stand:
        assert [each.name for each in stand.platform.tools()] == ["patch.google-search"]
        assert "Tool not found" in stand.platform.unavailable["patch.gone"]


async def test_a_tool_of_another_owner_is_named_with_it() -> None:
    async with open_stand({**SEARCH, "owner": "ann"}, tools=("ann/google-search",)) as stand:
        await stand.call()
        assert stand.sim.requests[-1].path == "/api/tools/ann/google-search"


async def test_a_platform_that_is_down_at_the_start_stops_nobody_and_is_asked_again() -> None:
    async with open_stand(looked_up=False) as stand:
        await stand.sim.stop()
        await stand.platform.refresh()
        assert "no connection" in stand.platform.unavailable["patch.research"]
        await stand.sim.start()
        await stand.platform.refresh()
        assert (len(stand.platform.tools()), stand.platform.unavailable) == (2, {})


async def test_what_is_known_stays_while_the_platform_is_down() -> None:
    async with open_stand() as stand:
        known = stand.platform.tools()
        await stand.sim.stop()
        await stand.platform.refresh()
        # The very same, so that nobody sorts them anew.
        assert stand.platform.tools() is known
        assert stand.platform.unavailable == {}


async def test_a_new_price_holds_after_a_refresh() -> None:
    async with open_stand(SEARCH) as stand:
        stand.sim.play(script({**SEARCH, "price_credits": 70}))
        await stand.platform.refresh()
        assert stand.tool().cost == Money(70 * CREDIT.nano)


@pytest.mark.parametrize("slug", ["../jobs", "..", "a%2fb", "a?b", "a b", "", "x/../y", "a\nb"])
async def test_a_hostile_name_is_never_sent(slug: str) -> None:
    async with open_stand(tools=(slug,)) as stand:
        assert stand.platform.tools() == ()
        assert len(stand.platform.unavailable) == 1
        assert stand.sim.requests == ()


async def test_a_tool_that_answers_for_another_is_not_taken() -> None:
    async with open_stand(SEARCH, RESEARCH, profile="agentpmt", tools=("nothing",)) as stand:
        assert "lists no tool 'nothing'" in stand.platform.unavailable["patch.nothing"]


@pytest.mark.parametrize("schema", ["input_schema", "output_schema"])
async def test_a_schema_that_no_model_could_read_makes_a_tool_unavailable(schema: str) -> None:
    huge: dict[str, Any] = {"type": "object", "description": "x" * 70_000}
    async with open_stand({**SEARCH, schema: huge}) as stand:
        assert "a model cannot read more" in stand.platform.unavailable["patch.google-search"]


async def test_a_long_description_is_cut() -> None:
    async with open_stand({**SEARCH, "description": "x" * 9_000}) as stand:
        assert len(stand.tool().description) == 4_000


async def test_the_toolset_looks_by_itself_as_long_as_it_is_open() -> None:
    async with open_stand(looked_up=False) as stand:
        stand.platform.start()
        while not stand.platform.tools():
            await stand.clock.sleep(0.0)
        assert len(stand.platform.tools()) == 2
