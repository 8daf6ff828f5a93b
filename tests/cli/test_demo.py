from __future__ import annotations

from typing import Any

import pytest

from tests.cli.shell import Done, Shell, breaks_field_rules

pytestmark = pytest.mark.slow


async def test_the_demo_runs_offline_without_a_key_and_its_books_agree(shell: Shell) -> None:
    done = await shell.run("demo", "--folder", "kept")
    assert done.status == 0, done.err
    assert done.out.count("callgate receipt") == 3
    assert "Receipt, ledger and the providers' bill agree to the nano-dollar." in done.out
    listed = await shell.run("calls", "--config", "kept/callgate.toml", "--limit", "5000", "--json")
    assert len(listed.page) == 1006


async def test_the_demo_in_json_shows_a_runaway_that_is_stopped_at_its_budget(shell: Shell) -> None:
    done: Done = await shell.run("demo", "--json")
    research, notes, runaway = page = done.page
    assert breaks_field_rules(page) == []
    assert all(outcome["books_agree"] and outcome["budget_held"] for outcome in page)
    assert [outcome["receipt"]["refused"] for outcome in (research, notes)] == [[], []]
    receipt: Any = runaway["receipt"]
    assert receipt["refused"][0]["code"] == "over_budget"
    assert 0 < receipt["spent_nano_usd"] <= receipt["budget_nano_usd"] == 250_000_000


async def test_the_demo_overwrites_nothing(shell: Shell) -> None:
    path = shell.write("callgate.toml", "# mine\n")
    done = await shell.run("demo", "--folder", ".")
    assert (done.status, "is not empty" in done.err) == (2, True)
    assert path.read_text() == "# mine\n"
