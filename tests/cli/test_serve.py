from __future__ import annotations

import signal
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from callgate.testing.simulator import Simulator
from tests.cli.agents import WAIT_FOR_SIGNALS
from tests.cli.shell import AGENT_KEY, PYTHON, SECRETS, Serving, Shell, ended, settings_of

pytestmark = pytest.mark.slow


async def ask(gate: Serving, key: str, **fields: object) -> int:
    """Send a request to a gate; return its status."""
    body = {"model": "smart", "messages": [{"role": "user", "content": "Hi."}], **fields}
    headers = {"authorization": f"Bearer {key}"}
    url = f"{gate.url}/v1/chat/completions"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json=body, headers=headers) as reply,
    ):
        await reply.read()
        return reply.status


async def test_a_gate_says_where_it_serves_and_what_settings_hold(shell: Shell) -> None:
    path = shell.write("callgate.toml", "[agents.a]\n")
    process = await shell.start("serve", "--port", "0", "--host", "127.0.0.1")
    assert process.stderr is not None
    line = (await process.stderr.readline()).decode()
    process.send_signal(signal.SIGTERM)
    done = await ended(process)
    assert line.startswith("callgate serves at http://127.0.0.1:")
    assert f"settings: {path}" in line
    assert (done.status, done.out) == (0, "")


async def test_a_call_is_answered_with_a_key_made_by_the_command(
    shell: Shell, simulator: Simulator
) -> None:
    shell.write("callgate.toml", settings_of(simulator))
    made = (await shell.run("keys", "create", "worker")).out.strip()
    async with shell.serving(environ=SECRETS) as gate:
        assert await ask(gate, made) == 200
        assert await ask(gate, AGENT_KEY) == 200
        assert await ask(gate, "cg_agent_unknown") == 401


async def test_a_port_that_is_taken_is_told_in_a_sentence(shell: Shell) -> None:
    async with shell.serving() as gate:
        port = gate.url.rpartition(":")[2]
        done = await shell.run("serve", "--port", port)
        assert (done.status, "Traceback" in done.err) == (2, False)
        assert f"cannot listen at 127.0.0.1:{port}: Address already in use" in done.err


async def test_a_changed_file_holds_after_a_reload(shell: Shell, simulator: Simulator) -> None:
    shell.write("callgate.toml", settings_of(simulator))
    async with shell.serving(environ=SECRETS) as gate:
        assert await ask(gate, AGENT_KEY, model="bright") == 403
        more = '[models.bright]\nuse = ["openai:gpt-5.5"]\n'
        text = settings_of(simulator, more).replace('["smart"', '["bright", "smart"')
        shell.write("callgate.toml", text)
        done = await shell.run("reload")
        assert (done.status, f"the gate at {gate.url}" in done.err) == (0, True)
        assert await ask(gate, AGENT_KEY, model="bright") == 200


async def test_a_file_with_a_mistake_reaches_no_gate(shell: Shell, simulator: Simulator) -> None:
    shell.write("callgate.toml", settings_of(simulator))
    async with shell.serving(environ=SECRETS) as gate:
        shell.write("callgate.toml", settings_of(simulator, "[drills]\n"))
        done = await shell.run("reload")
        assert done.status == 2
        assert "callgate.toml:14  drills" in done.err
        assert "Nothing was reloaded: running gates keep the settings they have." in done.err
        assert await ask(gate, AGENT_KEY) == 200


async def test_a_gate_that_is_told_of_a_mistake_keeps_its_settings_and_says_so(
    shell: Shell, simulator: Simulator
) -> None:
    shell.write("callgate.toml", settings_of(simulator))
    async with shell.serving(environ=SECRETS) as gate:
        shell.write("callgate.toml", "port = 1\n")
        gate.process.send_signal(signal.SIGHUP)
        said = await gate.says("allowed")
        assert "the settings are not reloaded, the old ones hold" in said
        assert "callgate.toml:1  port" in said
        assert await ask(gate, AGENT_KEY) == 200


async def test_another_store_takes_a_restart_and_the_one_who_reloads_is_told(
    shell: Shell, simulator: Simulator
) -> None:
    shell.write("callgate.toml", settings_of(simulator))
    async with shell.serving(environ=SECRETS):
        shell.write("callgate.toml", settings_of(simulator, '[gate]\nstore = "sqlite:new.db"\n'))
        await shell.run("keys", "create", "worker")
        done = await shell.run("reload")
        assert (done.status, "another [gate] store takes a restart" in done.err) == (2, True)


async def test_a_reload_is_not_for_a_gate_inside_a_run(shell: Shell) -> None:
    shell.write("callgate.toml", "[agents.a]\n")
    command = ("run", "--", PYTHON, "-c", WAIT_FOR_SIGNALS, "SIGHUP", "SIGUSR1")
    running = await shell.start(*command)
    await first_line(running)
    async with shell.serving():
        assert (await shell.run("reload")).status == 0
    running.send_signal(signal.SIGUSR1)
    assert (await ended(running)).out == "SIGUSR1\n"


async def test_a_reload_without_a_gate_says_that_there_is_none(shell: Shell) -> None:
    done = await shell.run("reload")
    assert (done.status, "there is no store" in done.err) == (2, True)
    await shell.run("run", "--", "true")
    done = await shell.run("reload")
    assert (done.status, "no callgate serve with the store" in done.err) == (2, True)


async def first_line(process: Process) -> bytes:
    assert process.stdout is not None
    return await process.stdout.readline()


SLOW_STREAM = {
    "rules": [{"steps": [{"answer": {"words": 30}, "pace": {"event_seconds": 0.03}, "times": 9}]}]
}


@asynccontextmanager
async def open_stream(gate: Serving, key: str) -> AsyncGenerator[aiohttp.StreamReader]:
    """Open a stream, and read its beginning."""
    body = {"model": "smart", "stream": True, "messages": [{"role": "user", "content": "Hi."}]}
    url, headers = f"{gate.url}/v1/chat/completions", {"authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json=body, headers=headers) as reply,
    ):
        assert await reply.content.readany()
        yield reply.content


async def test_a_gate_that_is_stopped_lets_open_calls_finish(
    shell: Shell, simulator: Simulator
) -> None:
    simulator.play(SLOW_STREAM)
    shell.write("callgate.toml", settings_of(simulator))
    async with shell.serving(environ=SECRETS) as gate, open_stream(gate, AGENT_KEY) as stream:
        gate.process.send_signal(signal.SIGTERM)
        assert (await stream.read()).endswith(b"data: [DONE]\n\n")
        assert await gate.process.wait() == 0


async def test_a_gate_that_is_stopped_twice_ends_at_once_and_books_what_was_open(
    shell: Shell, simulator: Simulator
) -> None:
    simulator.play(SLOW_STREAM)
    shell.write("callgate.toml", settings_of(simulator))
    async with shell.serving(environ=SECRETS) as gate, open_stream(gate, AGENT_KEY) as stream:
        gate.process.send_signal(signal.SIGTERM)
        await gate.says("no new calls")
        gate.process.send_signal(signal.SIGTERM)
        with pytest.raises(aiohttp.ClientPayloadError):
            await stream.read()
        assert await gate.process.wait() == 0
    (row,) = (await shell.run("tasks", "--json")).page
    assert (row["held_nano_usd"], row["estimated"]) == (0, True)
    assert row["spent_nano_usd"] >= simulator.bill().total_nano_usd
