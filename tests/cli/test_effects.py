"""``callgate effects``: what tools did, and what a person says of what nobody knows."""

from __future__ import annotations

import pytest

from callgate.call import ToolResult
from callgate.config import load
from callgate.doors.python import GateDoor, TaskDoor, open_gate
from callgate.errors import Failed, TimedOut
from callgate.gate import Gate
from callgate.testing.fakes import FakeToolset
from tests.cli.shell import Shell
from tests.unit.pipeline.test_tool_road import made

pytestmark = pytest.mark.slow

SETTINGS = """\
[gate]
store = "sqlite:callgate.db"
[agents.worker]
tools = ["note"]
[tasks.default]
budget = "$1"
"""

SAID = ToolResult(content=({"type": "text", "text": "noted"},))


@pytest.fixture
async def acted(shell: Shell) -> Shell:
    """Somebody whose agent has sent two notes; of one nobody knows whether it was written."""
    shell.write("callgate.toml", SETTINGS)
    tools = FakeToolset(made(effect="write"), script=[SAID, TimedOut("late", billed=True)])
    path = shell.folder / "callgate.toml"
    gate = await Gate.open(load(path, environ={}), environ={}, toolsets=[tools])
    async with GateDoor(gate, "worker").task(id="t1", user="ann") as task:
        await note(task, "hi")
        await note(task, "password=hunter2hunter2")
    await gate.close()
    return shell


async def note(task: TaskDoor, text: str) -> None:
    try:
        await task.tool("note", text=text)
    except Failed:
        return


async def test_what_nobody_knows_is_listed_first_without_what_is_secret(acted: Shell) -> None:
    first, second = (await acted.run("effects", "--json")).page
    assert [first["state"], second["state"]] == ["unknown", "done"]
    assert (first["task"], first["user"], first["attempts"]) == ("t1", "ann", 1)
    assert "hunter2" not in first["arguments"]
    assert second["arguments"] == '{"text":"hi"}'
    table = await acted.run("effects", "--open")
    assert (first["id"] in table.out, second["id"] in table.out) == (True, False)
    assert "callgate effects resolve" in table.err


async def test_a_person_says_what_is_the_case_and_is_kept_with_it(acted: Shell) -> None:
    (effect,) = (await acted.run("effects", "--open", "--json")).page
    done = await acted.run(
        "effects", "resolve", effect["id"], "done", "--note", "seen", "--by", "jo"
    )
    assert (done.status, "note has done it, says jo" in done.err) == (0, True)
    assert "no effect is listed" in (await acted.run("effects", "--open")).err
    (row, _) = (await acted.run("effects", "--task", "t1", "--json")).page
    assert (row["state"], row["decided_by"], row["note"]) == ("done", "jo", "seen")
    assert (await acted.run("alerts", "--json")).page == []


async def test_who_says_it_is_the_user_of_the_machine_if_nobody_is_named(acted: Shell) -> None:
    (effect,) = (await acted.run("effects", "--open", "--json")).page
    done = await acted.run("effects", "resolve", effect["id"], "not-done")
    assert "note has not done it, says " in done.err
    assert "not done" in (await acted.run("effects")).out


async def test_an_effect_that_is_not_there_is_told(acted: Shell) -> None:
    done = await acted.run("effects", "resolve", "act_none", "done")
    assert (done.status, "there is no effect 'act_none'" in done.err) == (2, True)


async def test_a_tool_that_knows_is_asked_as_the_settings_say(acted: Shell) -> None:
    (effect,) = (await acted.run("effects", "--open", "--json")).page
    done = await acted.run("effects", "check", effect["id"])
    assert done.status == 2
    assert 'set check under [tools."note"]' in done.err
    assert "there is no effect" in (await acted.run("effects", "check", "act_none")).err


LOOKED_UP = """\
[gate]
store = "sqlite:callgate.db"
[agents.worker]
tools = ["note", "find"]
[tools.note]
python = "notes:note"
timeout = "0.1s"
check = { tool = "find", arguments = "{text: text}", done = "@ == `true`" }
[tools.find]
python = "notes:find"
"""

NOTES = '''\
import asyncio
from callgate import tool

@tool(effect="write")
async def note(text: str) -> str:
    """Note something."""
    await asyncio.sleep(60)
    return text

@tool(effect="read")
def find(text: str) -> bool:
    """Find a note."""
    return text == "kept"
'''


@pytest.mark.parametrize(("text", "said"), [("kept", "finds it"), ("lost", "certain from 20")])
async def test_what_it_says_is_gone_by(shell: Shell, text: str, said: str) -> None:
    shell.write("notes.py", NOTES)
    path = shell.write("callgate.toml", LOOKED_UP)
    async with open_gate(path) as gate, gate.task() as task:
        await note(task, text)
    (effect, *_) = (await shell.run("effects", "--json")).page
    done = await shell.run("effects", "check", effect["id"])
    assert (done.status, said in done.err) == (0, True), done.err


async def test_the_audit_log_shows_what_was_asked_without_what_is_secret(acted: Shell) -> None:
    page = (await acted.run("calls", "--json")).page
    assert [call["input"] for call in reversed(page)] == [
        '{"text":"hi"}',
        '{"text":"password=***"}',
    ]
