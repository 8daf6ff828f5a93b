from __future__ import annotations

import csv
from typing import Any

import pytest

from callgate.testing.simulator import Simulator
from tests.cli.agents import ASK, ONE_CALL
from tests.cli.shell import PYTHON, SECRETS, Shell, breaks_field_rules, settings_of

pytestmark = pytest.mark.slow

LIMITS = """
[tasks.mail]
[users]
budget_per_day = "$2"
[caps]
day = "$50"
month = "$500"
"""
BY = {
    "type": {"default", "mail"},
    "model": {"openai:gpt-5.5"},
    "user": {"u1", "=u2"},
    "agent": {"worker"},
    "provider": {"openai"},
}
TWO_CALLS = ASK + "print(ask()[0], ask()[0])"


@pytest.fixture
async def worked(shell: Shell, simulator: Simulator) -> Shell:
    """Somebody whose agents have made two calls for one task type and one for another."""
    shell.write("callgate.toml", settings_of(simulator, LIMITS))
    await run(shell, "--user", "u1", program=TWO_CALLS)
    await run(shell, "--type", "mail", "--user", "=u2", program=ONE_CALL)
    return shell


async def run(shell: Shell, *args: str, program: str) -> None:
    done = await shell.run("run", *args, "--", PYTHON, "-c", program, environ=SECRETS)
    assert done.status == 0, done.err


async def spent(shell: Shell, *args: str) -> Any:
    return (await shell.run("spend", *args, "--json")).page


async def test_spending_adds_up_to_the_bill_however_it_is_told_apart(
    worked: Shell, simulator: Simulator
) -> None:
    bill = simulator.bill().total_nano_usd
    for by, names in BY.items():
        page = await spent(worked, "--by", by)
        assert breaks_field_rules(page) == []
        assert {row["name"] for row in page["rows"]} == names
        assert sum(row["cost_nano_usd"] for row in page["rows"]) == bill
        assert page["total"]["cost_nano_usd"] == bill == page["month"]["spent_nano_usd"]


async def test_calls_of_models_are_none_of_a_tool(worked: Shell) -> None:
    page = await spent(worked, "--by", "tool")
    assert (page["rows"], page["total"]) == ([], None)


async def test_caps_tell_what_is_spent_and_where_it_leads(
    worked: Shell, simulator: Simulator
) -> None:
    caps = (await spent(worked))["caps"]
    assert [(cap["scope"], cap["window"]) for cap in caps] == [
        ("gate", "day"),
        ("gate", "month"),
        ("user:u1", "day"),
    ]
    bill = simulator.bill().total_nano_usd
    assert (caps[0]["spent_nano_usd"], caps[0]["lately_nano_usd"]) == (bill, bill)
    assert (caps[0]["lately_seconds"], caps[0]["crossed"]) == (3600.0, [])
    assert caps[0]["forecast_nano_usd"] >= bill


async def test_a_threshold_that_is_crossed_is_a_warning(worked: Shell) -> None:
    (cap, *_) = (await spent(worked))["caps"]
    for share, line in ((0.85, "over 80%"), (0.97, "over 95%")):
        nano = round(cap["spent_nano_usd"] / share)
        await worked.run("budget", "set", "gate", "day", f"{nano / 10**9:.9f}")
        done = await worked.run("spend")
        assert f"of the whole gate in this day is spent, {line}" in done.err
        assert "callgate budget set gate day AMOUNT raises it" in done.err
    assert [one["percent"] for one in (await spent(worked))["caps"][0]["crossed"]][:2] == [80, 95]


async def test_shares_of_the_settings_are_the_thresholds(worked: Shell) -> None:
    (cap, *_) = (await spent(worked))["caps"]
    text = (worked.folder / "callgate.toml").read_text()
    worked.write("callgate.toml", text.replace("[caps]", "[caps]\nalert_at = [0.3]"))
    await worked.run("budget", "set", "gate", "day", f"{cap['spent_nano_usd'] / 4 / 10**8:.9f}")
    assert [one["percent"] for one in (await spent(worked))["caps"][0]["crossed"]][:1] == [30]


async def test_csv_has_the_rows_and_no_formula(worked: Shell) -> None:
    done = await worked.run("spend", "--by", "user", "--csv")
    rows = list(csv.DictReader(done.out.splitlines()))
    assert [row["name"] for row in rows] == ["u1", "'=u2"]
    page = await spent(worked, "--by", "user")
    assert [int(row["cost_nano_usd"]) for row in rows] == [
        row["cost_nano_usd"] for row in page["rows"]
    ]
    assert list(rows[0]) == list(page["rows"][0])


async def test_a_table_has_the_rows_the_total_the_caps_and_the_month(worked: Shell) -> None:
    table, caps, month = (await worked.run("spend")).out.strip().split("\n\n")
    head, *rows = [line.split()[0] for line in table.splitlines()]
    assert (head, rows) == ("type", ["default", "mail", "total"])
    assert caps.splitlines()[1].startswith("gate day")
    assert month.startswith("This month $0.0")
    assert "if it goes on like the last hour" in month


async def test_a_time_in_which_nothing_left_is_empty(worked: Shell) -> None:
    page = await spent(worked, "--since", "2020-01-01", "--until", "2020-01-31")
    assert (page["rows"], page["total"]) == ([], None)
    assert (page["since_at"], page["until_at"]) == (
        "2020-01-01T00:00:00.000000Z",
        "2020-02-01T00:00:00.000000Z",
    )
    done = await worked.run("spend", "--since", "2020-01-01", "--until", "2020-01-31")
    assert "nothing was spent since 2020-01-01 00:00:00" in done.err


async def test_days_are_told_where_the_gate_is(worked: Shell) -> None:
    text = (worked.folder / "callgate.toml").read_text()
    worked.write("callgate.toml", f'[gate]\ntimezone = "Pacific/Kiritimati"\n{text}')
    there = await spent(worked, "--by", "day", "--since", "2020-01-01T00:00")
    worked.write("callgate.toml", f'[gate]\ntimezone = "Pacific/Midway"\n{text}')
    here = await spent(worked, "--by", "day", "--since", "7d")
    # 25 hours apart, so that it is never the same day.
    assert there["rows"][-1]["name"] > here["rows"][-1]["name"]
    assert there["since_at"] == "2019-12-31T10:00:00.000000Z"


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--since", "monday"), "is not a point in time"),
        (("--since", "1h", "--until", "2h"), "is not before --until"),
        (("--by", "colour"), "is not one of"),
        (("--json", "--csv"), "choose one"),
    ],
)
async def test_what_cannot_be_meant_is_refused(
    shell: Shell, args: tuple[str, ...], told: str
) -> None:
    await shell.run("budget", "set", "gate", "day", "5")
    done = await shell.run("spend", *args)
    assert (done.status, done.out) == (2, "")
    assert told in " ".join(done.err.replace("│", " ").split())


async def test_what_nobody_knows_the_cost_of_is_told_and_in_no_sum(
    shell: Shell, simulator: Simulator
) -> None:
    text = settings_of(simulator).replace('budget = "$0.50"\n', "")
    shell.write("callgate.toml", text.replace('"openai:gpt-*"', '"openai:*"'))
    environ = {**SECRETS, "MODEL": "openai:in-house"}
    await shell.run("run", "--", PYTHON, "-c", ONE_CALL, environ=environ)
    (row,) = (await spent(shell))["rows"]
    assert (row["cost_nano_usd"], row["unknown_costs"], row["p50_nano_usd"]) == (0, 1, None)
    shown = (await shell.run("spend")).out
    assert "nobody knows what 1 attempt cost" in shown
    assert shown.splitlines()[1].split()[5] == "unknown"
