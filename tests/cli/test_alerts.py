"""``callgate alerts``, beside a gate that serves and looks at its budgets."""

from __future__ import annotations

import asyncio

import pytest

from callgate.store.overruns import ONE
from callgate.testing.simulator import Simulator
from tests.cli.agents import ONE_CALL
from tests.cli.shell import AGENT_KEY, PYTHON, SECRETS, Shell, breaks_field_rules, settings_of
from tests.cli.test_serve import ask

pytestmark = pytest.mark.slow


def billing(output_tokens: int) -> dict[str, object]:
    """Return the script of a provider that bills so much output for whatever it says."""
    return {"rules": [{"steps": [{"answer": {"usage": {"output_tokens": output_tokens}}}]}]}


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
    assert [(row["kind"], row["facts"]["threshold_percent"]) for row in rows] == [("share", 100)]
    assert [list(breaks_field_rules(row)) for row in rows] == [[]] * len(rows)
    listed = await shell.run("alerts", "--all")
    assert "callgate budget set gate day AMOUNT raises it" in listed.out
    assert "1 alert is open, 1 of them critical" in (await shell.run("spend")).err
    assert (await shell.run("spend", "--json")).page["open_alerts"] == 1


async def test_a_short_run_is_looked_at_when_it_ends(shell: Shell, simulator: Simulator) -> None:
    simulator.play(billing(600))
    shell.write("callgate.toml", settings_of(simulator, '[caps]\nday = "$0.02"\n'))
    await shell.run("run", "--", PYTHON, "-c", ONE_CALL, environ=SECRETS)
    rows = (await shell.run("alerts", "--json")).page
    assert {(row["kind"], row["scope"]) for row in rows} == {("share", "gate"), ("run_out", "gate")}
    await shell.run("budget", "set", "gate", "day", "5")
    await shell.run("run", "--", PYTHON, "-c", "", environ=SECRETS)
    assert "no alert is open" in (await shell.run("alerts")).err
    assert (await shell.run("alerts", "--all")).out.count("over since") == 2


async def test_a_bound_that_is_raised_is_told_until_it_is_forgotten(
    shell: Shell, simulator: Simulator
) -> None:
    simulator.play(billing(12_288))
    shell.write("callgate.toml", settings_of(simulator))
    await shell.run("run", "--", PYTHON, "-c", ONE_CALL, environ=SECRETS)
    (found,) = (await shell.run("ledger", "overruns", "--json")).page
    assert (found["model"], found["factor_thousandths"] > ONE) == ("openai:gpt-5.5", True)
    factor = f"{found['factor_thousandths'] / ONE:.3f} times its bound"
    assert factor in (await shell.run("ledger", "overruns")).out
    assert f"{factor} is held for openai:gpt-5.5" in (await shell.run("limits")).err
    assert (await shell.run("ledger", "forget-overrun", "openai:gpt-5.5")).status == 0
    assert "every model holds its own bound" in (await shell.run("ledger", "overruns")).err
    assert "times its bound" not in (await shell.run("limits")).err


async def test_a_bound_that_was_never_raised_is_not_forgotten(
    shell: Shell, simulator: Simulator
) -> None:
    shell.write("callgate.toml", settings_of(simulator, ""))
    async with shell.serving(environ=SECRETS):
        done = await shell.run("ledger", "forget-overrun", "openai:gpt-5.5")
    assert (done.status, "of these one was: none" in done.err) == (2, True)
