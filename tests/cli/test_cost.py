from __future__ import annotations

import pytest

from callgate.testing.simulator import Simulator
from tests.cli.agents import ONE_CALL
from tests.cli.shell import PYTHON, SECRETS, Shell, breaks_field_rules, settings_of

pytestmark = pytest.mark.slow

OPTIONS = ("--tasks-per-day", "100", "--model", "smart=1:1000:100-200", "--tool", "search=2:0.01")
PROFILE = """
tasks_per_day = 100
[models.smart]
calls = 1
input_tokens = 1000
output_tokens = [100, 200]
[tools.search]
calls = 2
price = "$0.01"
"""


@pytest.fixture
def settled(shell: Shell, simulator: Simulator) -> Shell:
    """Somebody with settings that have a cap."""
    shell.write("callgate.toml", settings_of(simulator, '[caps]\nday = "$3"\n'))
    return shell


async def test_a_file_and_options_say_the_same_and_need_no_store(settled: Shell) -> None:
    settled.write("profile.toml", PROFILE)
    by_file = await settled.run("cost", "estimate", "profile.toml", "--json")
    by_options = await settled.run("cost", "estimate", *OPTIONS, "--json")
    assert by_file.page == by_options.page
    assert breaks_field_rules(by_file.page) == []
    # $5 and $30 for a million tokens, and two searches.
    assert by_file.page["task"] == {"low_nano_usd": 28_000_000, "high_nano_usd": 31_000_000}
    assert by_file.page["day"]["high_nano_usd"] == 3_100_000_000


async def test_the_cap_that_is_met_is_told_with_when(settled: Shell) -> None:
    done = await settled.run("cost", "estimate", *OPTIONS)
    lines = done.out.splitlines()
    assert lines[-1].split("  ")[-1].strip() == "after 23 h 13 min"
    assert "at the high end a limit is met" in done.err


async def test_a_budget_that_was_set_goes_before_the_file(settled: Shell) -> None:
    await settled.run("budget", "set", "gate", "day", "5")
    done = await settled.run("cost", "estimate", *OPTIONS)
    assert done.out.splitlines()[-1].endswith("no")
    assert done.err == ""


async def test_tasks_that_were_done_are_told_beside_the_estimate(settled: Shell) -> None:
    await settled.run("run", "--", PYTHON, "-c", ONE_CALL, environ=SECRETS)
    page = (await settled.run("cost", "estimate", *OPTIONS, "--json")).page
    assert (page["actual"]["tasks"], page["actual"]["days"]) == (1, 30)
    done = await settled.run("cost", "estimate", *OPTIONS)
    assert "In the last 30 days 1 task of this type did cost $" in done.out


async def test_options_go_before_the_file(settled: Shell) -> None:
    settled.write("profile.toml", PROFILE)
    command = ("cost", "estimate", "profile.toml", "--type", "mail", "--tasks-per-day", "5-10")
    page = (await settled.run(*command, "--json")).page
    assert (page["type"], page["tasks_per_day"]) == ("mail", {"low": 5, "high": 10})


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ((), "say how many tasks there are in a day"),
        (("none.toml",), "none.toml cannot be read"),
        (("--tasks-per-day", "1", "--model", "smart=1"), "is not MODEL=CALLS:INPUT:OUTPUT"),
        (("--tasks-per-day", "1", "--model", "clever=1:1:1"), "nobody serves the model 'clever'"),
        (("--tasks-per-day", "1", "--model", "openai:x=1:1:1"), "openai:x has no price"),
        (("--tasks-per-day", "few"), "is no whole number"),
    ],
)
async def test_what_cannot_be_estimated_is_told(
    settled: Shell, args: tuple[str, ...], told: str
) -> None:
    done = await settled.run("cost", "estimate", *args)
    assert (done.status, done.out) == (2, "")
    assert told in " ".join(done.err.replace("│", " ").split())
