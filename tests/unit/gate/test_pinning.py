"""How far what others list is taken: by the settings, and by whose choice the list is."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from callgate.config.mcp_policies import McpPolicy
from callgate.redact import Secret
from callgate.testing import FakeClock
from callgate.tools.mcp.toolset import McpToolset
from callgate.tools.platform import CreditPlatform
from tests.unit.config.files import problem_of, read

SETTINGS = """
[mcp.notes]
command = "notes-server"
env = {{ MODE = "production", TOKEN = "env:TOKEN" }}
{pin}
[platforms.patch]
profile = "agentpatch"
key = "env:PATCH"
tools = ["search"]
{pin}
"""


def server(policy: McpPolicy) -> McpToolset:
    return McpToolset(
        policy, environ={}, resolve=Secret, folder=Path("/srv/here"), clock=FakeClock(),
        rng=random.Random(0),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("pin", "of_server", "of_platform"),
    [
        ("", "the first list", "each tool at first"),
        ('pin = "first"', "the first list", "each tool at first"),
        ('pin = "accepted"', "nothing", "nothing"),
    ],
)
async def test_the_settings_say_whether_anything_is_taken_at_first(
    pin: str, of_server: str, of_platform: str
) -> None:
    settings = read(SETTINGS.format(pin=pin))
    platform = CreditPlatform(
        settings.platforms["patch"], credential=lambda: None, clock=FakeClock(),
        on_balance=lambda _: None,
    )  # fmt: skip
    assert server(settings.mcp["notes"]).pinning.accepting == of_server
    assert platform.pinning.accepting == of_platform


def test_what_a_server_was_given_is_known_but_no_secret() -> None:
    given = server(read(SETTINGS.format(pin="")).mcp["notes"]).pinning.surroundings
    assert given == {"MODE": "production", "folder": "/srv/here"}


def test_there_is_no_other_way_to_pin() -> None:
    problem = problem_of('[mcp.notes]\ncommand = "x"\npin = "frist"\n')
    assert (problem.allowed, problem.nearest) == ("'first' or 'accepted'", "first")
