"""``callgate alerts``, beside a gate that serves and looks at its budgets."""

from __future__ import annotations

import asyncio

import pytest

from callgate.testing.simulator import Simulator
from tests.cli.shell import AGENT_KEY, SECRETS, Shell, breaks_field_rules, settings_of
from tests.cli.test_serve import ask

pytestmark = pytest.mark.slow


async def test_a_budget_that_is_nearly_spent_is_told_when_the_next_gate_looks(
    shell: Shell, simulator: Simulator
) -> None:
    shell.write("callgate.toml", settings_of(simulator, '[caps]\nday = "$50"\n'))
    async with shell.serving(environ=SECRETS) as gate:
        assert await ask(gate, AGENT_KEY) == 200
        assert "no alert is open" in (await shell.run("alerts")).err
        await shell.run("budget", "set", "gate", "day", "0.0000001")
    async with shell.serving(environ=SECRETS):
        async with asyncio.timeout(20):
            while not (rows := (await shell.run("alerts", "--json")).page):
                pass
    assert {row["kind"] for row in rows} == {"share"}
    assert [list(breaks_field_rules(row)) for row in rows] == [[]] * len(rows)
    listed = await shell.run("alerts", "--all")
    assert "callgate budget set gate day AMOUNT raises it" in " ".join(listed.out.split())


async def test_a_bound_that_was_never_raised_is_not_forgotten(
    shell: Shell, simulator: Simulator
) -> None:
    shell.write("callgate.toml", settings_of(simulator, ""))
    async with shell.serving(environ=SECRETS):
        done = await shell.run("ledger", "forget-overrun", "openai:gpt-5.5")
    assert (done.status, "of these one was: none" in done.err) == (2, True)
