"""``callgate breakers`` and ``callgate tasks unblock``, beside a gate that serves."""

from __future__ import annotations

import pytest

from callgate.testing.simulator import Simulator
from tests.cli.shell import AGENT_KEY, SECRETS, Shell, settings_of
from tests.cli.test_serve import ask

pytestmark = pytest.mark.slow


@pytest.fixture
def settled(shell: Shell, simulator: Simulator) -> Shell:
    """Somebody with settings."""
    shell.write("callgate.toml", settings_of(simulator, ""))
    return shell


async def test_a_provider_that_is_opened_by_hand_is_not_asked_until_it_is_closed(
    settled: Shell,
) -> None:
    async with settled.serving(environ=SECRETS) as gate:
        assert "everybody is asked" in (await settled.run("breakers")).err
        done = await settled.run("breakers", "open", "openai", "--reason", "maintenance")
        assert "callgate breakers close openai" in done.err
        assert await ask(gate, AGENT_KEY) == 502
        (row,) = (await settled.run("breakers", "--json")).page
        assert (row["subject"], row["kind"], row["until"]) == ("openai", "operator", None)
        assert "maintenance" in (await settled.run("breakers")).out
        assert (await settled.run("breakers", "close", "openai")).status == 0
        assert (await settled.run("breakers", "close", "openai")).status == 2


async def test_a_name_that_nobody_has_is_told_with_the_nearest(settled: Shell) -> None:
    async with settled.serving(environ=SECRETS):
        done = await settled.run("breakers", "open", "opnai:gpt-5.5")
    assert (done.status, "did you mean 'openai'?" in done.err) == (2, True)


async def test_a_task_is_shown_by_its_name_and_let_go_on(settled: Shell) -> None:
    environ = SECRETS
    done = await settled.run("run", "--task", "t1", "--", "true", environ=environ)
    assert done.status == 0
    assert "t1" in (await settled.run("tasks", "t1")).out
    assert (await settled.run("tasks", "show", "t1")).status == 0
    assert "has nothing to put right" in (await settled.run("tasks", "unblock", "t1")).err
    assert "there is no task 'other'" in (await settled.run("tasks", "unblock", "other")).err
