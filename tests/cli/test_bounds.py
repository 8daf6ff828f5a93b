"""What was held for calls, against what they did cost."""

from __future__ import annotations

import pytest

from callgate.testing.simulator import Simulator
from tests.cli.agents import ASK
from tests.cli.shell import PYTHON, SECRETS, Shell, breaks_field_rules, settings_of

pytestmark = pytest.mark.slow

BUDGETS = """
[tasks.mail]
budget = "$1"
"""


@pytest.fixture
async def worked(shell: Shell, simulator: Simulator) -> Shell:
    """Somebody whose agent has made two calls, one of them with a limit of its own."""
    shell.write("callgate.toml", settings_of(simulator, BUDGETS))
    program = ASK + "ask(max_tokens=64); ask()"
    done = await shell.run("run", "--type", "mail", "--", PYTHON, "-c", program, environ=SECRETS)
    assert done.status == 0, done.err
    return shell


async def test_what_was_held_stands_beside_what_it_cost(
    worked: Shell, simulator: Simulator
) -> None:
    page = (await worked.run("spend", "bounds", "--json")).page
    assert breaks_field_rules(page) == []
    (row,) = page["rows"]
    (task,) = (await worked.run("tasks", "--json")).page
    calls = (await worked.run("calls", "--json")).page
    held = sum(attempt["reserved_nano_usd"] for call in calls for attempt in call["attempts"])
    assert (row["task_type"], row["model"], row["attempts"]) == ("mail", "openai:gpt-5.5", 2)
    assert (row["held_nano_usd"], row["cost_nano_usd"]) == (held, task["spent_nano_usd"])
    assert (row["counted"], row["above"], row["output_limit_tokens"]) == (0, 0, 8192)
    usages = [line.usage for line in simulator.bill().lines]
    assert row["input_tokens"] == sum(usage.input_tokens for usage in usages)
    assert row["max_output_tokens"] == max(usage.output_tokens for usage in usages)


async def test_the_table_tells_how_much_lower_a_limit_could_be(worked: Shell) -> None:
    done = await worked.run("spend", "bounds")
    head, row = done.out.splitlines()
    assert head.split("  ")[0] == "type"
    assert row.split()[:3] == ["mail", "openai:gpt-5.5", "2"]
    assert (row.split()[-1], done.err) == ("8,192", "")


async def test_a_limit_that_could_be_lower_is_named_with_what_would_do(
    shell: Shell, simulator: Simulator
) -> None:
    shell.write("callgate.toml", settings_of(simulator, BUDGETS))
    program = ASK + "for _ in range(20):\n    ask()"
    await shell.run("run", "--type", "mail", "--", PYTHON, "-c", program, environ=SECRETS)
    (hint,) = (await shell.run("spend", "bounds", "--json")).page["hints"]
    most = max(line.usage.output_tokens for line in simulator.bill().lines)
    assert (hint["setting"], hint["max_tokens"], hint["attempts"]) == (
        "max_output_tokens",
        most,
        20,
    )
    done = await shell.run("spend", "bounds")
    assert "tasks.mail: max_output_tokens is 8,192, and no reply of 20 had more than" in done.err
    assert f"max_output_tokens = {hint['enough_tokens']} would hold less" in done.err


async def test_where_nothing_was_held_that_is_said(worked: Shell) -> None:
    done = await worked.run("spend", "bounds", "--until", "2026-01-01", "--since", "2025-01-01")
    assert (done.status, done.out) == (0, "")
    assert "nothing was held under a budget since 2025-01-01" in done.err


async def test_a_time_that_ends_before_it_begins_is_refused(worked: Shell) -> None:
    done = await worked.run("spend", "bounds", "--since", "1h", "--until", "2h")
    assert done.status == 2
    assert "is not before --until" in done.err
