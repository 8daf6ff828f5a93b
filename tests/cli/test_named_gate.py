"""``callgate run`` at a gate that runs already, which ``CALLGATE_URL`` names."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from callgate.testing.simulator import Simulator
from tests.cli.agents import ONE_CALL, SHOW_ENVIRONMENT
from tests.cli.shell import (
    AGENT_KEY,
    PYTHON,
    SECRETS,
    Done,
    Serving,
    Shell,
    environment,
    settings_of,
)

pytestmark = pytest.mark.slow

RUN_ONE_CALL = ("run", "--receipt", "json", "--", PYTHON, "-c", ONE_CALL)


class Elsewhere:
    """Somebody in another folder, who has a gate's address and an agent's key."""

    def __init__(self, shell: Shell, gate: Serving, operator: Shell) -> None:
        self.shell = shell
        self.gate = gate
        self.variables = {"CALLGATE_URL": gate.url, "CALLGATE_KEY": AGENT_KEY, "MODEL": "smart"}
        self.operator = operator

    async def run(self, *args: str, **environ: str) -> Done:
        """Run a command there."""
        return await self.shell.run(*args, environ={**self.variables, **environ})


@pytest.fixture
async def elsewhere(
    shell: Shell, simulator: Simulator, tmp_path: Path
) -> AsyncGenerator[Elsewhere]:
    """A gate that is served, and somebody elsewhere."""
    shell.write("callgate.toml", settings_of(simulator))
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    async with shell.serving(environ=SECRETS) as gate:
        yield Elsewhere(Shell(folder, environment(folder)), gate, shell)


async def test_a_run_has_its_task_from_the_gate_that_is_named(
    elsewhere: Elsewhere, simulator: Simulator
) -> None:
    done = await elsewhere.run("run", "--user", "u1", "--task", "a/b c?", *RUN_ONE_CALL[1:])
    receipt = json.loads(done.err)
    assert (done.status, done.out) == (0, "200\n")
    assert (receipt["task_id"], receipt["agent"], receipt["user"]) == ("a/b c?", "worker", "u1")
    assert receipt["spent_nano_usd"] == simulator.bill().total_nano_usd > 0
    (row,) = (await elsewhere.operator.run("tasks", "--json")).page
    assert (row["id"], row["ended_at"] is not None) == ("a/b c?", True)
    assert not list(elsewhere.shell.folder.rglob("*.db"))


async def test_a_run_may_be_narrowed_there_too(elsewhere: Elsewhere) -> None:
    done = await elsewhere.run("run", "--models", "careful", *RUN_ONE_CALL[1:])
    assert (done.status, done.out) == (0, "403\n")
    assert json.loads(done.err)["refused"][0]["code"] == "model_denied"


async def test_the_program_gets_a_task_key_and_not_the_agents(elsewhere: Elsewhere) -> None:
    found = (await elsewhere.run("run", "--", PYTHON, "-c", SHOW_ENVIRONMENT)).page
    assert found["CALLGATE_URL"] == elsewhere.gate.url
    assert found["CALLGATE_KEY"].startswith("cg_task_")
    assert elsewhere.variables["CALLGATE_KEY"] not in found.values()


async def test_keys_that_settings_here_refer_to_are_taken_out_here_too(
    elsewhere: Elsewhere,
) -> None:
    elsewhere.shell.write("callgate.toml", '[providers.x]\napi = "openai"\nkey = "env:SECRET"\n')
    done = await elsewhere.run("run", "--", PYTHON, "-c", SHOW_ENVIRONMENT, SECRET="sk-real")
    assert "SECRET" not in done.page


async def test_a_gate_on_this_machine_is_reached_past_a_proxy(elsewhere: Elsewhere) -> None:
    done = await elsewhere.run(*RUN_ONE_CALL, http_proxy="http://127.0.0.1:1")
    assert (done.status, done.out) == (0, "200\n")


@pytest.mark.parametrize(
    ("args", "environ", "told"),
    [
        ((), {"CALLGATE_KEY": ""}, "CALLGATE_KEY is not set: put the agent's key there"),
        ((), {"CALLGATE_KEY": "cg_agent_wrong"}, "says no (401): this key is unknown"),
        ((), {"CALLGATE_KEY": "sk-real"}, "says no (401): this is not a key of this gate"),
        ((), {"CALLGATE_URL": "localhost:1"}, "is no URL; it is like http://127.0.0.1:4180"),
        ((), {"CALLGATE_URL": "http://127.0.0.1:1"}, "unset CALLGATE_URL to start one"),
        (("--type", "none"), {}, "says no (404): there is no task type 'none'"),
        (("--agent", "other"), {}, "is for the agent 'worker', not for 'other'"),
    ],
    ids=["no-key", "unknown-key", "provider-key", "no-url", "nobody-there", "type", "agent"],
)
async def test_a_gate_that_gives_no_task_is_told_and_nothing_is_run(
    elsewhere: Elsewhere, args: tuple[str, ...], environ: dict[str, str], told: str
) -> None:
    done = await elsewhere.run("run", *args, "--", PYTHON, "-c", ONE_CALL, **environ)
    assert (done.status, done.out) == (125, "")
    assert told in done.err
    assert "Traceback" not in done.err


async def test_what_answers_and_is_no_gate_is_told(
    elsewhere: Elsewhere, simulator: Simulator
) -> None:
    done = await elsewhere.run("run", "--", "true", CALLGATE_URL=simulator.url)
    assert (done.status, "Traceback" in done.err) == (125, False)
    assert f"the gate at {simulator.url} says no (404)" in done.err


async def test_a_gate_that_is_gone_at_the_end_costs_the_receipt_and_not_the_exit_status(
    elsewhere: Elsewhere,
) -> None:
    stop = f"import os, time; os.kill({elsewhere.gate.process.pid}, 9); raise SystemExit(7)"
    done = await elsewhere.run("run", "--", PYTHON, "-c", stop)
    assert done.status == 7
    assert "there is no receipt: no gate answers at" in done.err
