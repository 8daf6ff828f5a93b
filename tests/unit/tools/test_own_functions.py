"""Functions that a program brings along are tools of its gate."""

from __future__ import annotations

from pathlib import Path

import pytest

import callgate
from callgate import tool

SETTINGS = """\
[gate]
store = "sqlite:callgate.db"

[agents.worker]
tools = ["add", "late"]
"""


OTHER_ADD = """
[tools.add]
description = "Add."
http = { url = "http://127.0.0.1:1/add" }
"""


@tool(effect="read", cost="$0.01")
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool(effect="read", name="add")
def other(a: int) -> int:
    """Add nothing."""
    return a


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A file that lets an agent call it."""
    path = tmp_path / "callgate.toml"
    path.write_text(SETTINGS)
    return path


async def test_a_program_hands_its_functions_to_its_gate(settings: Path) -> None:
    async with callgate.open_gate(settings, tools=[add]) as gate, gate.task() as task:
        assert [each.name for each in task.tools()] == ["add"]
        assert (await task.tool("add", a=2, b=3)).structured == 5
        assert [line.tool for line in task.receipt.tools] == ["add"]


async def test_two_functions_of_one_name_are_refused(settings: Path) -> None:
    with pytest.raises(callgate.Misconfigured, match="two tools are called 'add'"):
        async with callgate.open_gate(settings, tools=[add, other]):
            pass


async def test_a_function_with_the_name_of_a_tool_of_the_settings_is_refused(
    settings: Path,
) -> None:
    with settings.open("a") as file:
        file.write(OTHER_ADD)
    with pytest.raises(callgate.Misconfigured, match="give one of them another name"):
        async with callgate.open_gate(settings, tools=[add]):
            pass
