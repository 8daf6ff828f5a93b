"""``callgate budget`` and ``callgate limits``, beside gates that are serving."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest

from callgate.testing.simulator import Simulator
from tests.cli.agents import UNTIL_REFUSED
from tests.cli.shell import AGENT_KEY, PYTHON, SECRETS, Shell, breaks_field_rules, settings_of
from tests.cli.test_serve import ask

pytestmark = pytest.mark.slow

LIMITS = """
[users]
per_minute = 20
budget_per_day = "$2"
[caps]
day = "$50"
"""


@pytest.fixture
def settled(shell: Shell, simulator: Simulator) -> Shell:
    """Somebody with settings that have limits."""
    shell.write("callgate.toml", settings_of(simulator, LIMITS))
    return shell


async def budgets(shell: Shell) -> dict[tuple[str, str], Any]:
    """Return the budgets that hold, by scope and name."""
    rows = (await shell.run("budget", "list", "--json")).page
    return {(row["scope"], row["limit"]): row for row in rows if row["holds"]}


async def test_a_budget_that_is_set_holds_from_the_next_call_on_in_every_gate(
    settled: Shell,
) -> None:
    async with AsyncExitStack() as gates:
        here, there = [
            await gates.enter_async_context(settled.serving(environ=SECRETS)) for _ in range(2)
        ]
        assert [await ask(gate, AGENT_KEY) for gate in (here, there)] == [200, 200]
        assert (await settled.run("budget", "set", "gate", "day", "0.0001")).status == 0
        assert [await ask(gate, AGENT_KEY) for gate in (here, there)] == [402, 402]
        assert (await settled.run("budget", "unset", "gate", "day")).status == 0
        assert [await ask(gate, AGENT_KEY) for gate in (here, there)] == [200, 200]


async def test_every_kind_of_scope_holds(settled: Shell) -> None:
    async with settled.serving(environ=SECRETS) as gate:
        for scope in ("agent:worker", "type:default", "provider:openai"):
            await settled.run("budget", "set", scope, "hour", "0")
            assert await ask(gate, AGENT_KEY) == 402
            await settled.run("budget", "unset", scope, "hour")
    for refused in (await settled.run("calls", "--json")).page:
        assert " hour AMOUNT raises it" in refused["message"]


async def test_a_gate_that_starts_later_keeps_what_was_set(settled: Shell) -> None:
    async with settled.serving(environ=SECRETS):
        await settled.run("budget", "set", "gate", "day", "75", "--until", "2h")
    async with settled.serving(environ=SECRETS):
        row = (await budgets(settled))["gate", "budget_per_day"]
    assert (row["value_nano_usd"], row["source"]) == (75 * 10**9, "override")
    assert row["until_at"] is not None


async def test_a_task_that_its_budget_stopped_goes_on_when_that_is_raised(settled: Shell) -> None:
    run = ("run", "--task", "t", "--budget", "0.065", "--", PYTHON, "-c", UNTIL_REFUSED)
    await settled.run(*run, environ=SECRETS)
    (before,) = (await settled.run("tasks", "--json")).page
    (refused, *_) = (await settled.run("calls", "--json")).page
    assert "callgate budget set task:t task AMOUNT lets it go on" in refused["message"]
    done = await settled.run("budget", "set", "task:t", "task", "0.13")
    assert "task t may spend $0.13, from the next call on; $0.0" in done.err
    await settled.run(*run, environ=SECRETS)
    (after,) = (await settled.run("tasks", "--json")).page
    assert before["spent_nano_usd"] < 65_000_000 < after["spent_nano_usd"] <= 130_000_000


async def test_a_budget_that_was_set_says_what_holds_now(settled: Shell) -> None:
    async with settled.serving(environ=SECRETS):
        pass
    done = await settled.run("budget", "set", "user:*", "day", "3")
    assert done.err.startswith("callgate: each user may spend $3.00 each day, from the next call")
    done = await settled.run("budget", "unset", "user:*", "day")
    assert "each user may spend $2.00 each day (settings file)" in done.err
    done = await settled.run("budget", "unset", "user:*", "day")
    assert (done.status, "no budget of user:* for the day was set" in done.err) == (2, True)


async def test_a_budget_may_be_set_before_any_gate_has_run(settled: Shell) -> None:
    assert (await settled.run("budget", "set", "gate", "month", "1,250.50")).status == 0
    row = (await budgets(settled))["gate", "budget_per_month"]
    assert row["value_nano_usd"] == 1_250_500_000_000


@pytest.mark.parametrize(
    ("scope", "told"),
    [
        ("agent:wroker", "the settings name no agent 'wroker'; did you mean agent:worker?"),
        ("type:defualt", "the settings name no type 'defualt'; did you mean type:default?"),
        ("provider:gemini", "the settings name no provider 'gemini'"),
        ("user:u9", "no task was for 'u9'"),
    ],
)
async def test_a_name_that_nobody_knows_is_told_and_set(
    settled: Shell, scope: str, told: str
) -> None:
    done = await settled.run("budget", "set", scope, "day", "5")
    assert (done.status, told in done.err) == (0, True)
    assert (scope, "budget_per_day") in await budgets(settled)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("agnet:worker day 5", "Did you mean agent:worker?"),
        ("agent: day 5", "is no scope"),
        ("agent:* day 5", "is no scope"),
        ("type:default task 5", "a task has one budget"),
        ("task:t day 5", "a task has one budget"),
        ("task:t task 5", "there is no store"),
        ("task:t task 5 --until 2h", "leave --until out"),
        ("gate week 5", "is not one of"),
        ("gate day five", "is not an amount"),
        ("gate day 5€", "is not an amount"),
        ("gate day 1e3", "is not an amount"),
        ("gate day 2000000000", "is not an amount"),
        ("gate day 5 --until 2020-01-01", "has passed"),
        ("gate day 5 --until 7", "is not a point in time"),
        ("gate day 5 --until 2026-02-31", "is not a point in time"),
        ("gate day 5 --until 9000d", "is not between 0 and a year"),
    ],
)
async def test_what_cannot_be_meant_is_refused(settled: Shell, command: str, told: str) -> None:
    done = await settled.run("budget", "set", *command.split())
    assert (done.status, done.out) == (2, "")
    assert told in unfolded(done.err)


async def test_a_budget_that_is_refused_changes_nothing(settled: Shell) -> None:
    await settled.run("budget", "set", "gate", "day", "9")
    assert (await settled.run("budget", "set", "gate", "day", "5", "--until", "1d2")).status == 2
    assert (await budgets(settled))["gate", "budget_per_day"]["value_nano_usd"] == 9 * 10**9


def unfolded(box: str) -> str:
    """Return what stands in a box, on one line."""
    return " ".join(box.replace("│", " ").split())


async def test_limits_tell_what_holds_where_it_comes_from_and_what_is_used(
    settled: Shell,
) -> None:
    run = ("run", "--user", "u1", "--", PYTHON, "-c", "import sys")
    await settled.run(*run, environ=SECRETS)
    await settled.run("budget", "set", "gate", "day", "75")
    async with settled.serving(environ=SECRETS) as gate:
        await ask(gate, AGENT_KEY)
    page = (await settled.run("limits", "--json")).page
    assert breaks_field_rules(page) == []
    told = [(row["scope"], row["limit"], row["source"], row["holds"]) for row in page]
    assert told == [
        ("gate", "budget_per_day", "override", True),
        ("gate", "budget_per_day", "file", False),
        ("user:*", "budget_per_day", "file", True),
        ("user:*", "per_minute", "file", True),
    ]
    assert page[0]["used_nano_usd"] > 0


async def test_limits_of_a_file_that_no_gate_has_read_are_told(settled: Shell) -> None:
    async with settled.serving(environ=SECRETS):
        assert "callgate reload" not in (await settled.run("limits")).err
        text = (settled.folder / "callgate.toml").read_text().replace('"$50"', '"$60"')
        settled.write("callgate.toml", text)
        done = await settled.run("limits")
        assert "$50.00" in done.out
        assert "callgate reload lets them hold" in done.err
        await settled.run("reload")
        assert "$60.00" in (await settled.run("limits")).out
