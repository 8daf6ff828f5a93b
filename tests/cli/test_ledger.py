"""``callgate ledger``: the books are proven, and what a dead gate held is freed by hand."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing

import pytest

from callgate.testing.simulator import Simulator
from tests.cli.shell import AGENT_KEY, SECRETS, Serving, Shell, breaks_field_rules, settings_of
from tests.cli.test_serve import ask, open_stream

pytestmark = pytest.mark.slow

SLOW_STREAM = {
    "rules": [{"steps": [{"answer": {"words": 30}, "pace": {"event_seconds": 0.2}, "times": 9}]}]
}
"""Long enough for a command or two."""

LEAVING_CANCELS = """
[gate]
on_disconnect = "cancel"
[caps]
day = "$50"
"""


@pytest.fixture
def settled(shell: Shell, simulator: Simulator) -> Shell:
    """Somebody with settings whose provider streams slowly."""
    simulator.play(SLOW_STREAM)
    shell.write("callgate.toml", settings_of(simulator, LEAVING_CANCELS))
    return shell


@asynccontextmanager
async def holding(shell: Shell) -> AsyncGenerator[tuple[Serving, str]]:
    """Have a gate in the middle of a call; yield it with the id of the attempt."""
    async with shell.serving(environ=SECRETS) as gate, open_stream(gate, AGENT_KEY):
        (hold,) = (await shell.run("ledger", "holds", "--json")).page
        yield gate, hold["attempt_id"]


async def kill(gate: Serving) -> None:
    gate.process.kill()
    await gate.process.wait()


async def test_books_that_add_up_are_told_so(settled: Shell) -> None:
    async with settled.serving(environ=SECRETS) as gate:
        await ask(gate, AGENT_KEY, max_tokens=50)
    done = await settled.run("ledger", "verify")
    assert (done.status, done.out) == (0, "")
    assert "every scope has spent and holds what its attempts add up to" in done.err


async def test_books_that_do_not_add_up_are_told_with_both_figures(settled: Shell) -> None:
    async with settled.serving(environ=SECRETS) as gate:
        await ask(gate, AGENT_KEY)
    with closing(sqlite3.connect(settled.folder / "callgate.db")) as books, books:
        books.execute("UPDATE ledger SET spent_nano = spent_nano + 1 WHERE scope = 'gate'")
    done = await settled.run("ledger", "verify", "--json")
    (found,) = done.page
    assert (done.status, found["scope"]) == (1, "gate")
    assert found["spent_nano_usd"] == found["attempts_spent_nano_usd"] + 1
    assert breaks_field_rules(done.page) == []
    table = await settled.run("ledger", "verify")
    assert (table.status, "1 scopes do not add up" in table.err) == (1, True)
    assert table.out.splitlines()[1].startswith("gate   day ")


async def test_what_is_held_is_told_with_the_gate_that_holds_it(settled: Shell) -> None:
    async with holding(settled) as (gate, _):
        page = (await settled.run("ledger", "holds", "--json")).page
        assert breaks_field_rules(page) == []
        (hold,) = page
        assert (hold["pid"], hold["gate_lives"]) == (gate.process.pid, True)
        assert hold["held_nano_usd"] > 0
        assert f"pid {gate.process.pid} (lives)" in (await settled.run("ledger", "holds")).out
    done = await settled.run("ledger", "holds")
    assert (done.out, "nothing is held" in done.err) == ("", True)


async def test_what_a_dead_gate_holds_is_freed_and_booked_as_an_estimate(settled: Shell) -> None:
    async with holding(settled) as (gate, attempt):
        await kill(gate)
        (before,) = (await settled.run("tasks", "--json")).page
        done = await settled.run("ledger", "release", attempt, "--yes")
        assert (done.status, "is settled at" in done.err) == (0, True)
    (task,) = (await settled.run("tasks", "--json")).page
    assert (task["held_nano_usd"], task["estimated"]) == (0, True)
    assert task["spent_nano_usd"] == before["held_nano_usd"] > 0
    (call,) = (await settled.run("calls", "--json")).page
    assert (call["state"], call["attempts"][0]["state"]) == ("failed", "unknown")
    assert (await settled.run("ledger", "verify")).status == 0


async def test_who_knows_what_it_did_cost_says_so(settled: Shell) -> None:
    async with holding(settled) as (gate, attempt):
        await kill(gate)
        await settled.run("ledger", "release", attempt, "--yes", "--cost", "0.0123")
    (task,) = (await settled.run("tasks", "--json")).page
    assert (task["spent_nano_usd"], task["held_nano_usd"]) == (12_300_000, 0)
    assert (await settled.run("ledger", "verify")).status == 0


@pytest.mark.parametrize("typed", [b"n\n", b""])
async def test_who_does_not_say_yes_changes_nothing(settled: Shell, typed: bytes) -> None:
    async with holding(settled) as (gate, attempt):
        await kill(gate)
        done = await settled.run("ledger", "release", attempt, typed=typed)
        assert (done.status, "as an estimate? [y/N]" in done.err) == (1, True)
        (hold,) = (await settled.run("ledger", "holds", "--json")).page
        assert (hold["attempt_id"], hold["gate_lives"]) == (attempt, False)
        assert (await settled.run("ledger", "release", attempt, typed=b"y\n")).status == 0


async def test_what_a_living_gate_holds_is_left_to_it(settled: Shell) -> None:
    async with holding(settled) as (gate, attempt):
        done = await settled.run("ledger", "release", attempt, "--yes")
        assert (done.status, f"pid {gate.process.pid}" in done.err) == (2, True)
        assert "which lives and settles it when it ends" in done.err
        assert len((await settled.run("ledger", "holds", "--json")).page) == 1


async def test_a_living_gate_that_was_overruled_still_tells_what_it_did_cost(
    settled: Shell, simulator: Simulator
) -> None:
    async with settled.serving(environ=SECRETS) as gate, open_stream(gate, AGENT_KEY) as stream:
        (hold,) = (await settled.run("ledger", "holds", "--json")).page
        command = ("ledger", "release", hold["attempt_id"], "--yes", "--force", "--cost", "0")
        assert (await settled.run(*command)).status == 0
        await stream.read()
    (call,) = (await settled.run("calls", "--json")).page
    assert (call["state"], call["cost_nano_usd"]) == ("ok", simulator.bill().total_nano_usd)
    assert (await settled.run("ledger", "verify")).status == 0


async def test_an_attempt_that_holds_nothing_cannot_be_released(settled: Shell) -> None:
    async with settled.serving(environ=SECRETS):
        done = await settled.run("ledger", "release", "att_none", "--yes")
    assert (done.status, "callgate ledger holds lists those that do" in done.err) == (2, True)
