"""``callgate credit``: what is left at providers and platforms that are paid in advance."""

from __future__ import annotations

import pytest

from callgate.testing.simulator import Simulator
from tests.cli.agents import ONE_CALL
from tests.cli.shell import PYTHON, SECRETS, Shell, breaks_field_rules, settings_of

pytestmark = pytest.mark.slow


async def test_a_provider_with_credit_is_counted_down(shell: Shell, simulator: Simulator) -> None:
    text = settings_of(simulator)
    assert text.count('api = "openai"\n') == 1
    shell.write(
        "callgate.toml", text.replace('api = "openai"\n', 'api = "openai"\ncredit = "$3"\n')
    )
    await shell.run("run", "--", PYTHON, "-c", ONE_CALL, environ=SECRETS)
    (row,) = (await shell.run("credit", "--json")).page
    assert list(breaks_field_rules(row)) == []
    billed = simulator.bill().total_nano_usd
    assert (row["source"], row["spent_since_nano_usd"]) == ("settings", billed)
    assert row["left_nano_usd"] == 3_000_000_000 - billed
    assert row["account"] in (await shell.run("credit")).out


async def test_somebody_may_say_what_an_account_has(shell: Shell, simulator: Simulator) -> None:
    text = settings_of(simulator)
    shell.write(
        "callgate.toml", text.replace('api = "openai"\n', 'api = "openai"\ncredit = "$3"\n')
    )
    await shell.run("run", "--", PYTHON, "-c", "", environ=SECRETS)
    (row,) = (await shell.run("credit", "--json")).page
    done = await shell.run("credit", "set", row["account"], "7")
    assert "has $7.00" in done.err
    (told,) = (await shell.run("credit", "--json")).page
    assert (told["left_nano_usd"], told["source"]) == (7_000_000_000, "operator")
    wrong = await shell.run("credit", "set", "provider:nobody", "7")
    assert wrong.status == 2
    assert row["account"] in wrong.err


async def test_without_such_an_account_it_says_how_to_have_one(
    shell: Shell, simulator: Simulator
) -> None:
    shell.write("callgate.toml", settings_of(simulator))
    await shell.run("run", "--", PYTHON, "-c", "", environ=SECRETS)
    done = await shell.run("credit")
    assert "no account is paid in advance; a platform under [platforms] is" in done.err
