from __future__ import annotations

import re

import aiohttp
import pytest

import callgate
from callgate.config import json_schema, starter
from tests.cli.shell import Shell, ended


async def test_init_writes_a_file_that_is_valid_as_it_stands(shell: Shell) -> None:
    done = await shell.run("init")
    assert done.status == 0
    assert (shell.folder / "callgate.toml").read_text() == starter()
    assert (await shell.run("run", "--", "true")).status == 0


async def test_init_overwrites_a_file_only_when_it_is_told_to(shell: Shell) -> None:
    path = shell.write("callgate.toml", "# mine\n")
    done = await shell.run("init")
    assert (done.status, "exists already; --force overwrites it" in done.err) == (2, True)
    assert path.read_text() == "# mine\n"
    assert (await shell.run("init", "--force")).status == 0
    assert path.read_text() == starter()


async def test_init_where_nothing_can_be_written_is_told_in_a_sentence(shell: Shell) -> None:
    done = await shell.run("init", "no/callgate.toml")
    assert (done.status, "Traceback" in done.err) == (2, False)
    assert "no/callgate.toml cannot be written: No such file or directory" in done.err


async def test_the_schema_is_printed_as_json(shell: Shell) -> None:
    assert (await shell.run("config", "schema")).page == json_schema()


async def test_the_version_is_told_for_people_and_for_programs(shell: Shell) -> None:
    assert (await shell.run("version")).out.startswith(
        f"callgate {callgate.__version__} (Python 3."
    )
    page = (await shell.run("version", "--json")).page
    assert page.keys() == {"callgate", "python", "sqlite", "platform"}


async def test_a_misspelt_command_gets_the_nearest_one(shell: Shell) -> None:
    done = await shell.run("rnu")
    assert (done.status, "Did you mean 'run'?" in done.err) == (2, True)


COMMANDS = (
    "init", "run", "serve", "demo", "sim", "tasks", "calls", "reload", "version", "keys create",
    "keys list", "keys revoke", "config schema",
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
async def test_every_command_has_help(shell: Shell, command: str) -> None:
    done = await shell.run(*command.split(), "--help")
    assert (done.status, f"callgate {command}" in done.out) == (0, True)


async def test_the_simulator_says_where_it_serves_and_how_it_is_used(shell: Shell) -> None:
    process = await shell.start("sim", "--port", "0")
    assert process.stderr is not None
    first, second = [(await process.stderr.readline()).decode() for _ in range(2)]
    url = first.split()[-1]
    async with aiohttp.ClientSession() as session, session.get(f"{url}/sim/bill") as bill:
        assert (await bill.json())["requests"] == 0
    process.terminate()
    await ended(process)
    assert re.search(rf"OPENAI_BASE_URL={url}/v1 +ANTHROPIC_BASE_URL={url} ", second)


async def test_the_simulators_clock_can_stand_still(shell: Shell) -> None:
    process = await shell.start("sim", "--port", "0", "--clock", "virtual")
    assert process.stderr is not None
    url = (await process.stderr.readline()).decode().split()[-1]
    advance = {"advance_seconds": 90}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/sim/clock", json=advance) as moved,
    ):
        told = await moved.json()
    assert told == {"now": "2026-01-01T00:01:30.000000Z", "passed_seconds": 90}
    process.terminate()
    await ended(process)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("no.toml",), "no.toml"),
        (("bad.toml",), "bad.toml"),
        (("--host", "192.0.2.1"), "192.0.2.1"),
    ],
    ids=["missing", "wrong", "address"],
)
async def test_a_simulator_that_cannot_start_says_why(
    shell: Shell, args: tuple[str, ...], told: str
) -> None:
    shell.write("bad.toml", "[[rules]]\nnonsense = 1\n")
    done = await shell.run("sim", "--port", "0", *args)
    assert (done.status, "Traceback" in done.err) == (2, False)
    assert told in done.err
