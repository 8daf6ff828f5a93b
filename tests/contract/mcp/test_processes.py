"""Servers that are processes of the gate: what they get, how they die, and that they are gone."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from callgate.errors import BadCredential, Transient
from callgate.testing.clocks import FakeClock
from tests.contract.mcp.conftest import PEER, Bench, eventually, invocation
from tests.contract.mcp.test_lists import nothing

psutil: Any = import_module("psutil")  # which has no types


async def test_a_server_gets_what_is_named_and_no_key_of_the_gate(pipes: Bench) -> None:
    toolset = await pipes.connect(env={"MODE": "x"})
    given = json.loads((await toolset.call(invocation(toolset, "env"))).text)
    assert given["MODE"] == "x"
    assert "OPENAI_API_KEY" not in given
    assert set(given) <= {"HOME", "LANG", "LC_ALL", "LC_CTYPE", "MODE", "PATH", "TZ"}


async def test_a_secret_of_a_server_comes_back_in_no_reply_and_no_log(
    pipes: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    pipes.environ["TOKEN"] = "s3cret-canary-0123456789"
    toolset = await pipes.connect(env={"TOKEN": "env:TOKEN"})
    said = [
        (await toolset.call(invocation(toolset, name))).text
        for name in ("env", "mistake", "stderr")
    ]
    await toolset.close()
    assert json.loads(said[0])["TOKEN"] == "***"
    assert said[1] == "bad token ***"
    assert "line 1 ***" in caplog.text
    assert "s3cret-canary" not in caplog.text


async def test_of_what_a_server_pours_into_the_log_only_some_is_shown(
    pipes: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    toolset = await pipes.connect()
    await toolset.call(invocation(toolset, "stderr"))
    await toolset.close()
    assert caplog.text.count("peer says: line") == 20
    assert "peer said 980 lines more, which are not shown" in caplog.text
    assert "\x1b" not in caplog.text


async def test_lines_that_are_no_messages_are_told_of_once(
    pipes: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    toolset = await pipes.connect()
    assert (await toolset.call(invocation(toolset, "noise"))).text == "quiet again"
    assert caplog.text.count("no messages of MCP") == 1


async def test_calls_under_way_when_a_server_dies_may_have_happened(pipes: Bench) -> None:
    toolset = await pipes.connect()
    other = asyncio.create_task(toolset.call(invocation(toolset, "wait")))
    await pipes.until("call wait")
    for call in (toolset.call(invocation(toolset, "crash")), other):
        with pytest.raises(Transient, match="ended before it answered") as caught:
            await call
        assert caught.value.billed


async def test_a_server_that_died_is_started_again_and_the_next_call_waits_for_it(
    pipes: Bench,
) -> None:
    toolset = await pipes.connect()
    with pytest.raises(Transient):
        await toolset.call(invocation(toolset, "crash"))
    assert (await toolset.call(invocation(toolset, "echo", text="again"))).text == "again"
    assert toolset.states[0].starts == 2


async def test_a_server_that_hangs_is_ended_and_started_again(pipes: Bench) -> None:
    toolset = await pipes.connect(start_timeout_seconds=1.0)
    with pytest.raises(Transient):
        await toolset.call(invocation(toolset, "hang", timeout_seconds=0.2))
    await eventually(lambda: toolset.states[0].starts == 2)
    assert (await toolset.call(invocation(toolset, "echo", text="again"))).text == "again"


async def test_a_server_that_hangs_harms_no_other(pipes: Bench) -> None:
    hung, well = await pipes.connect(name="hung"), await pipes.connect(name="well")
    stuck = asyncio.create_task(hung.call(invocation(hung, "hang", timeout_seconds=1)))
    await pipes.until("call hang")
    calls = [well.call(invocation(well, "echo", text="hi", timeout_seconds=1)) for _ in range(20)]
    assert {result.text for result in await asyncio.gather(*calls)} == {"hi"}
    with pytest.raises(Transient):
        await stuck


async def test_a_program_that_is_not_there_is_tried_later_and_later(pipes: Bench) -> None:
    clock = pipes.clock = FakeClock()
    toolset = pipes.toolset(command="no-such-program")
    await toolset.ready()
    await eventually(lambda: toolset.states[0].starts == 6)
    limits = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0]
    assert len(clock.waits) >= 6
    for waited, limit in zip(clock.waits, limits, strict=False):
        assert 0.75 * limit <= waited <= limit


async def test_a_server_that_fails_again_and_again_rests_until_it_is_called(pipes: Bench) -> None:
    clock = pipes.clock = FakeClock()
    toolset = pipes.toolset(command="no-such-program")
    await toolset.ready()
    await eventually(lambda: len(clock.waits) == 6)
    for _ in range(50):
        await asyncio.sleep(0)
    assert toolset.states[0].starts == 6
    with pytest.raises(Transient, match="there is no program 'no-such-program' in /usr/bin:/bin"):
        await toolset.call(nothing())
    await eventually(lambda: toolset.states[0].starts > 6)


async def test_what_a_server_said_last_tells_why_it_does_not_start(pipes: Bench) -> None:
    toolset = pipes.toolset(command=sys.executable, args=("-c", "raise SystemExit('no database')"))
    await toolset.ready()
    assert "ended with status 1, and said last: no database" in (toolset.states[0].failure or "")


async def test_a_server_that_never_speaks_is_given_up(pipes: Bench) -> None:
    toolset = pipes.toolset(
        command=sys.executable,
        args=("-c", "import time; time.sleep(60)"),
        start_timeout_seconds=0.3,
    )
    await toolset.ready()
    assert "did not start in time" in (toolset.states[0].failure or "")


async def test_a_secret_that_is_missing_is_an_operators_concern(pipes: Bench) -> None:
    toolset = await pipes.connect(env={"TOKEN": "env:NOT_SET"})
    with pytest.raises(BadCredential, match="NOT_SET is not set") as caught:
        await toolset.call(nothing())
    assert not caught.value.billed


async def test_a_server_ends_when_its_input_does(pipes: Bench) -> None:
    toolset = await pipes.connect()
    await toolset.close()
    assert pipes.noted()[-1] == "input ended"


async def test_a_server_that_will_not_end_is_killed_with_all_that_it_started(pipes: Bench) -> None:
    toolset = await pipes.connect(options={"deaf": True})
    child = int((await toolset.call(invocation(toolset, "child"))).text)
    server = int(pipes.noted()[0].removeprefix("pid "))
    await toolset.close()
    assert not psutil.pid_exists(server)
    assert not is_alive(child)


async def test_what_a_server_has_started_goes_with_it(pipes: Bench) -> None:
    toolset = await pipes.connect()
    child = int((await toolset.call(invocation(toolset, "child"))).text)
    await toolset.close()
    assert not is_alive(child)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process die with its parent")
def test_a_deaf_server_does_not_outlive_a_gate_that_is_killed(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    code = PARENT.format(
        command=sys.executable,
        peer=str(PEER),
        options=json.dumps({"deaf": True, "journal": str(journal)}),
        folder=str(tmp_path),
    )
    gate = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert gate.stdout is not None
    assert gate.stdout.readline() == "running\n"
    server = psutil.Process(int(journal.read_text().split()[1]))
    gate.kill()
    gate.communicate()
    server.wait(5)


PARENT = """
import asyncio, os, random
from pathlib import Path
from callgate.clock import SystemClock
from callgate.config.mcp_policies import McpPolicy
from callgate.tools.mcp.toolset import McpToolset

async def main():
    policy = McpPolicy(name="peer", command={command!r}, args=({peer!r}, {options!r}))
    toolset = McpToolset(policy, environ={{"PATH": "/usr/bin:/bin"}}, resolve=None, folder=Path({folder!r}),
        clock=SystemClock(), rng=random.Random())
    await toolset.ready()
    print("running", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that nobody has buried yet does not."""
    return bool(psutil.pid_exists(pid)) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def test_a_restart_forgets_what_has_failed_before(pipes: Bench) -> None:
    pipes.clock = FakeClock()
    toolset = pipes.toolset(command="/bin/false")
    await toolset.ready()
    (before,) = toolset.states
    assert before.failure is not None
    await toolset.restart()
    (after,) = toolset.states
    assert (after.status, after.failure) == ("starting", None)
