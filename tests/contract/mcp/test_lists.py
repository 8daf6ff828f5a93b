"""The list of a server's tools: long, endless, hostile, and changing."""

from __future__ import annotations

import pytest

from callgate.call import Tool
from callgate.errors import Transient
from callgate.tools import Invocation
from tests.contract.mcp.conftest import Bench, eventually, invocation


async def test_a_server_may_have_two_thousand_tools(bench: Bench) -> None:
    toolset = await bench.connect(options={"list": "many", "count": 2000})
    assert len(toolset.tools()) == 2000
    assert toolset.tools()[1999].name == "peer.tool1999"


async def test_a_server_with_too_many_tools_is_not_used(bench: Bench) -> None:
    toolset = await bench.connect(options={"list": "many", "count": 6000})
    with pytest.raises(Transient, match="more than 5,000 tools; none of them is offered") as caught:
        await toolset.call(nothing())
    assert not caught.value.billed


async def test_a_list_that_goes_round_in_a_circle_is_refused(bench: Bench) -> None:
    toolset = await bench.connect(options={"list": "endless"})
    assert toolset.tools() == ()
    assert "goes round in a circle" in (toolset.states[0].failure or "")


async def test_of_two_tools_with_one_name_neither_is_offered(bench: Bench) -> None:
    toolset = await bench.connect(options={"list": "twice"})
    assert toolset.listing is not None
    assert [each.name for each in toolset.listing.unusable] == ["echo", "echo"]
    assert "peer.echo" not in {tool.name for tool in toolset.tools()}
    assert "peer.data" in {tool.name for tool in toolset.tools()}


async def test_hostile_names_are_refused_and_odd_ones_made_plain(bench: Bench) -> None:
    toolset = await bench.connect(options={"list": "odd"})
    assert toolset.listing is not None
    assert [tool.name for tool in toolset.tools()] == ["peer.spaced_out", "peer.fine.name"]
    reasons = {each.name: each.reason for each in toolset.listing.unusable}
    assert reasons["a/b"] == "another tool of the list would be called 'a_b' too"
    assert reasons["\\u0435cho"] == reasons["new\\nline"]
    assert reasons["x" * 60] == "its name has 200 characters; a name may have 128"


async def test_a_tool_with_an_odd_name_is_called_by_its_own(bench: Bench) -> None:
    toolset = await bench.connect(options={"list": "odd"})
    assert toolset.tools()[0].remote_name == "spaced out"


async def test_a_change_that_the_server_tells_is_seen(bench: Bench) -> None:
    if bench.way == "http 2025":
        pytest.skip(
            "a server of 2025 tells it over a stream of its own, which the peer does not have"
        )
    toolset = await bench.connect()
    if toolset.states[0].protocol_version == "2026-07-28":
        await bench.until("listen")
    await toolset.call(invocation(toolset, "swap", name="brand_new"))
    names = ["peer.brand_new", "peer.swap"]
    await eventually(lambda: [tool.name for tool in toolset.tools()] == names)


async def test_the_same_list_has_the_same_digest_in_whatever_order(bench: Bench) -> None:
    one, other = await bench.connect(), await bench.connect()
    assert one.listing is not None
    assert other.listing is not None
    assert one.listing.digest == other.listing.digest
    assert len(one.listing.digest) == 64


def nothing() -> Invocation:
    """Return a call of a tool that nobody has."""
    tool = Tool(
        name="peer.none", description="", input_schema={}, toolset="peer", remote_name="none"
    )
    return Invocation(
        tool=tool, arguments={}, call_id="c", task_id="t", idempotency_key="k", timeout_seconds=5
    )
