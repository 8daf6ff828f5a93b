from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios

import pytest

from callgate.testing.simulator import Simulator
from tests.cli.agents import ONE_CALL, UNTIL_REFUSED
from tests.cli.shell import CALLGATE, PYTHON, SECRETS, Shell, breaks_field_rules, settings_of

pytestmark = pytest.mark.slow

LISTINGS = [
    ("tasks",),
    ("tasks", "first"),
    ("calls",),
    ("keys", "list"),
    ("keys", "list", "--tasks"),
]


@pytest.fixture
async def worked(shell: Shell, simulator: Simulator) -> Shell:
    """A shell in whose store a task has had calls, the last one refused."""
    shell.write("callgate.toml", settings_of(simulator))
    await shell.run("keys", "create", "worker", "--label", "ci", "--expires", "90d")
    command = ("run", "--task", "first", "--user", "u1", "--budget", "0.065", "--", PYTHON)
    done = await shell.run(*command, "-c", UNTIL_REFUSED, environ=SECRETS)
    assert done.status == 0, done.err
    return shell


@pytest.mark.parametrize("listing", LISTINGS, ids=" ".join)
async def test_every_listing_in_json_keeps_the_field_rules(
    worked: Shell, listing: tuple[str, ...]
) -> None:
    done = await worked.run(*listing, "--json")
    assert (done.status, done.err) == (0, "")
    assert done.page
    assert breaks_field_rules(done.page) == []


async def test_calls_say_what_they_cost_and_why_one_was_refused(
    worked: Shell, simulator: Simulator
) -> None:
    refused, *served = (await worked.run("calls", "--task", "first", "--json")).page
    assert (refused["state"], refused["code"], refused["attempts"]) == (
        "refused",
        "over_budget",
        [],
    )
    assert "raise budget in [tasks.default]" in refused["message"]
    assert {call["state"] for call in served} == {"ok"}
    assert sum(call["cost_nano_usd"] for call in served) == simulator.bill().total_nano_usd


async def test_calls_are_chosen_by_task_by_state_and_by_number(worked: Shell) -> None:
    every = (await worked.run("calls", "--json")).page
    assert len((await worked.run("calls", "--limit", "2", "--json")).page) == 2
    assert len((await worked.run("calls", "--state", "refused", "--json")).page) == 1
    assert (await worked.run("calls", "--task", "other", "--json")).page == []
    assert len(every) > 3


async def test_a_table_in_a_pipe_is_plain_and_whole_on_each_line(worked: Shell) -> None:
    done = await worked.run("calls", environ={"COLUMNS": "40"})
    head, newest, *_ = done.out.splitlines()
    assert head.split() == [
        "call", "task", "started", "(UTC)", "door", "asked", "for", "served", "by", "state", "code",
        "seconds", "tokens", "in", "tokens", "out", "cost",
    ]  # fmt: skip
    assert "refused  over_budget" in newest
    assert "\x1b" not in done.out


def test_a_table_on_a_terminal_leaves_out_what_it_has_no_room_for(worked: Shell) -> None:
    shown = on_terminal(worked, "tasks", columns=60)
    head, row, *_ = shown.splitlines()
    assert head.startswith("\x1b[1mtask")
    assert len(row) <= 60
    assert "spent" in head
    assert "started" not in head
    assert "--json shows everything" in shown


def on_terminal(shell: Shell, *args: str, columns: int) -> str:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environ = {**shell.environ, "TERM": "xterm"}
    with subprocess.Popen(
        [*CALLGATE, *args], cwd=shell.folder, env=environ, stdout=theirs, stderr=theirs
    ):
        os.close(theirs)
        shown = b""
        while piece := read_piece(ours):
            shown += piece
    os.close(ours)
    return shown.decode().replace("\r\n", "\n")


def read_piece(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1000)
    except OSError:  # Linux's way to say that nobody writes to it any more
        return b""


async def test_one_task_is_shown_as_its_receipt(worked: Shell) -> None:
    done = await worked.run("tasks", "first")
    assert done.out.startswith("callgate receipt  first  (default, agent worker, user u1)\n")
    assert "1 refused over_budget: task budget" in done.out


async def test_a_task_that_is_not_there_is_told(worked: Shell) -> None:
    done = await worked.run("tasks", "second")
    assert (done.status, done.out) == (2, "")
    assert "there is no task 'second' in this store; callgate tasks lists them" in done.err


async def test_tasks_are_chosen_by_agent(worked: Shell) -> None:
    assert len((await worked.run("tasks", "--agent", "worker", "--json")).page) == 1
    done = await worked.run("tasks", "--agent", "other")
    assert (done.status, done.out) == (0, "")
    assert "no task yet of the agent 'other'" in done.err


@pytest.mark.parametrize("listing", [("tasks",), ("calls",), ("keys", "list")], ids=" ".join)
async def test_without_a_store_a_listing_says_so_and_makes_none(
    shell: Shell, listing: tuple[str, ...]
) -> None:
    done = await shell.run(*listing)
    assert (done.status, done.out) == (2, "")
    assert "callgate run or callgate serve makes it" in done.err
    assert (await shell.run(*listing)).status == 2


async def test_what_a_cost_is_nobody_knows_is_shown_as_unknown(
    shell: Shell, simulator: Simulator
) -> None:
    text = settings_of(simulator).replace('budget = "$0.50"\n', "")
    shell.write("callgate.toml", text.replace('"openai:gpt-*"', '"openai:*"'))
    environ = {**SECRETS, "MODEL": "openai:in-house"}
    await shell.run("run", "--task", "t", "--", PYTHON, "-c", ONE_CALL, environ=environ)
    (task,), (call,) = [(await shell.run(name, "--json")).page for name in ("tasks", "calls")]
    assert (task["spent_nano_usd"], task["unknown_costs"]) == (0, 1)
    assert call["cost_nano_usd"] is None
    assert (await shell.run("calls")).out.splitlines()[1].endswith("unknown")
    assert "+?  and what nobody knows" in (await shell.run("tasks")).err
