from __future__ import annotations

import re

import pytest

from tests.cli.agents import ONE_CALL
from tests.cli.shell import PYTHON, Shell

pytestmark = pytest.mark.slow


@pytest.fixture
def operator(shell: Shell) -> Shell:
    """Somebody with two agents in the settings."""
    shell.write("callgate.toml", "[agents.worker]\n[agents.other]\n")
    return shell


async def test_a_key_is_printed_once_and_only_its_hash_is_stored(operator: Shell) -> None:
    done = await operator.run("keys", "create", "worker")
    key = done.out.strip()
    assert re.fullmatch(r"cg_agent_[A-Za-z0-9_-]{43}", key)
    listed = await operator.run("keys", "list", "--json")
    stored = b"".join(path.read_bytes() for path in operator.folder.glob("callgate.db*"))
    assert key not in listed.out
    assert key.encode() not in stored


async def test_a_key_for_an_agent_that_is_not_there_is_refused(operator: Shell) -> None:
    done = await operator.run("keys", "create", "worcker")
    assert (done.status, done.out) == (2, "")
    assert "no agent 'worcker'; did you mean 'worker'?" in done.err


async def test_a_list_says_whose_a_key_is_and_whether_it_holds(operator: Shell) -> None:
    await operator.run("keys", "create", "worker", "--label", "ci", "--expires", "90d")
    await operator.run("keys", "create", "other", "--expires", "1ms")
    newest, oldest = (await operator.run("keys", "list")).out.splitlines()[1:]
    assert newest.split()[1] == "other"
    assert newest.endswith("expired")
    assert (oldest.split()[1:3], oldest.endswith("holds")) == (["worker", "ci"], True)


async def test_the_keys_of_tasks_are_listed_only_when_asked_for(operator: Shell) -> None:
    await operator.run("run", "--agent", "worker", "--", "true")
    assert (await operator.run("keys", "list", "--json")).page == []
    (key,) = (await operator.run("keys", "list", "--tasks", "--json")).page
    assert key["task_id"].startswith("task_")


async def test_a_revoked_key_opens_nothing_from_the_next_call_on(operator: Shell) -> None:
    key = (await operator.run("keys", "create", "worker")).out.strip()
    (row,) = (await operator.run("keys", "list", "--json")).page
    async with operator.serving() as gate:
        environ = {"CALLGATE_URL": gate.url, "CALLGATE_KEY": key}
        assert (await operator.run("run", "--", "true", environ=environ)).status == 0
        assert (await operator.run("keys", "revoke", row["id"])).status == 0
        done = await operator.run("run", "--", PYTHON, "-c", ONE_CALL, environ=environ)
    assert (done.status, "this key has been revoked" in done.err) == (125, True)
    assert "revoked" in (await operator.run("keys", "list")).out


async def test_a_key_that_is_not_there_cannot_be_revoked(operator: Shell) -> None:
    await operator.run("keys", "create", "worker")
    done = await operator.run("keys", "revoke", "key_none")
    assert (done.status, "there is no key 'key_none'" in done.err) == (2, True)
