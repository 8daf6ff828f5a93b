"""Signals of a run reach its program, each once."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from asyncio.subprocess import Process

import pytest

from callgate.testing.simulator import Simulator
from tests.cli.agents import LEAVE_A_STREAM_OPEN, READ_A_STREAM, WAIT_FOR_SIGNALS
from tests.cli.shell import CALLGATE, PYTHON, Shell, ended, keys_of

pytestmark = pytest.mark.slow

WAITING = ("run", "--", PYTHON, "-c", WAIT_FOR_SIGNALS)

IN_A_TERMINAL = (
    "import os, sys; os.login_tty(int(sys.argv[1])); os.execv(sys.argv[2], sys.argv[2:])"
)
"""Makes a terminal its own, with itself in the foreground, and becomes another program."""


async def ready(process: Process) -> None:
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2"])
async def test_a_signal_is_passed_on_and_the_receipt_still_comes(shell: Shell, name: str) -> None:
    process = await shell.start(*WAITING, name)
    await ready(process)
    process.send_signal(signal.Signals[name])
    done = await ended(process)
    assert (done.status, done.out) == (7, f"{name}\n")
    assert "callgate receipt" in done.err


async def test_a_program_that_a_signal_ends_tells_it_by_its_status(shell: Shell) -> None:
    process = await shell.start(*WAITING)
    await ready(process)
    process.send_signal(signal.SIGTERM)
    assert (await ended(process)).status == 128 + signal.SIGTERM


async def test_a_signal_that_is_ignored_from_the_start_is_ignored_by_both(shell: Shell) -> None:
    process = await shell.start(*WAITING, "SIGUSR1", via=("nohup",))
    await ready(process)
    os.killpg(process.pid, signal.SIGHUP)
    process.send_signal(signal.SIGUSR1)
    assert (await ended(process)).status == 7


async def test_one_who_does_not_wait_for_what_the_program_left_open_still_gets_a_receipt(
    shell: Shell, simulator: Simulator
) -> None:
    simulator.play({"rules": [{"steps": [{"answer": {"words": 900}, "pace": SLOW, "times": 9}]}]})
    program = (PYTHON, "-c", LEAVE_A_STREAM_OPEN, READ_A_STREAM)
    process = await shell.start("run", "--", *program, environ=keys_of(simulator))
    assert process.stderr is not None
    while b"waits for calls that are still open" not in (line := await process.stderr.readline()):
        assert line
    process.send_signal(signal.SIGINT)
    done = await ended(process)
    assert (done.status, "Traceback" in done.err) == (5, False)
    assert "(partly estimated)" in done.err


SLOW = {"event_seconds": 0.1}


def test_a_key_of_the_keyboard_reaches_the_program_once(shell: Shell) -> None:
    ours, theirs = pty.openpty()
    program = [PYTHON, "-c", IN_A_TERMINAL, str(theirs), *CALLGATE, *WAITING, "SIGINT", "SIGUSR1"]
    with subprocess.Popen(
        program, cwd=shell.folder, env=shell.environ, pass_fds=[theirs], start_new_session=True
    ) as process:
        os.close(theirs)
        read_until(ours, b"ready")
        os.write(ours, b"\x03")
        read_until(ours, b"SIGINT")
        # What a terminal sends to the whole group, callgate alone would pass on once more.
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGUSR1)
        seen = read_until(ours, b"callgate receipt")
    assert seen.count(b"SIGINT") == 0
    assert process.returncode == 7
    os.close(ours)


def read_until(terminal: int, text: bytes) -> bytes:
    seen = b""
    while text not in seen:
        seen += os.read(terminal, 1000)
    return seen
