"""What a tool says it is: the same wherever it says the same, and another for every other word."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from callgate.call import Tool
from callgate.clock import SystemClock
from callgate.config.mcp_policies import McpPolicy
from callgate.redact import Secret
from callgate.tools import Pinning
from callgate.tools.definitions import definition_of, digest_of_all
from callgate.tools.mcp.toolset import McpToolset

LOG = Tool(
    name="git.log", remote_name="log", toolset="git", description="Shows commits.",
    input_schema={"type": "object", "properties": {"a": {}, "b": {}}},
)  # fmt: skip


def digest(surroundings: dict[str, str] | None = None, **changes: Any) -> str:
    given = {field: getattr(LOG, field) for field in Tool.__struct_fields__}
    return definition_of(Tool(**{**given, **changes}), surroundings or {}).digest


@pytest.mark.parametrize(
    "changes",
    [
        {"remote_name": "Log"},
        {"description": "Shows commits. "},
        {"title": "Log"},
        {"input_schema": {"type": "object", "properties": {"a": {}}}},
        {"output_schema": {}},
        {"hints": {"readOnlyHint": True}},
    ],
)
def test_every_word_that_a_model_reads_counts(changes: dict[str, Any]) -> None:
    assert digest(**changes) != digest()


@pytest.mark.parametrize(
    "changes",
    [
        {"input_schema": {"properties": {"b": {}, "a": {}}, "type": "object"}},
        {"name": "other.log", "toolset": "other"},
        {"effect": "read", "cost": None},
    ],
)
def test_what_the_settings_say_of_it_and_the_order_of_names_do_not(changes: dict[str, Any]) -> None:
    assert digest(**changes) == digest()


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("in 'Europe/Berlin'.", "in 'America/Argentina/Salta'."),
        ("in UTC", "in Etc/GMT+5"),
        ("in /srv/here", "in /srv/there"),
    ],
)
def test_what_its_surroundings_change_does_not(here: str, there: str) -> None:
    one = digest({"folder": "/srv/here", "X": "in"}, description=here)
    assert digest({"folder": "/srv/there", "X": "in"}, description=there) == one


def test_a_word_that_is_none_of_them_does() -> None:
    assert digest(description="in Atlantis/City") != digest(description="in Atlantis/Town")


def test_a_whole_list_has_a_digest_in_any_order() -> None:
    one, two = definition_of(LOG, {}), definition_of(LOG, {"LOG": "Shows commits."})
    assert digest_of_all([one, two]) == digest_of_all([two, one]) != digest_of_all([one])


async def time_server(path: Path, zone: str) -> set[str]:
    """Return the digests of the real server's tools where it is in a time zone."""
    policy = McpPolicy(
        name="time", command=sys.executable, args=("-m", "mcp_server_time"), env={"TZ": zone}
    )
    toolset = McpToolset(
        policy, environ=dict(os.environ), resolve=Secret, folder=path, clock=SystemClock(),
        rng=random.Random(0),
    )  # fmt: skip
    try:
        await toolset.ready()
        assert zone in repr(toolset.tools())
        assert isinstance(toolset.pinning, Pinning)
        given = toolset.pinning.surroundings
        return {definition_of(tool, given).digest for tool in toolset.tools()}
    finally:
        await toolset.close()


@pytest.mark.slow
async def test_a_real_server_is_the_same_in_every_time_zone(tmp_path: Path) -> None:
    digests = await time_server(tmp_path, "Europe/Berlin")
    assert len(digests) == 2
    assert await time_server(tmp_path, "Asia/Tokyo") == digests
    assert await time_server(tmp_path, "UTC") == digests
