"""The official SDKs in unedited programs, behind the gate, without any settings file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from callgate.testing.simulator import Simulator
from tests.cli.shell import PYTHON, Done, Shell, keys_of

pytestmark = pytest.mark.slow

TOOL_CALL = {"name": "web_search", "arguments": {"query": "ports"}}
NOTE = {"name": "file_note", "arguments": {"heading": "Release", "text": "On Thursday."}}
SCRIPT = {
    "rules": [
        {"match": {"api": api, "last": "user", "text": text}, "steps": [{"answer": {"tool_calls": [call]}}]}
        for api, text, call in [("openai", "harbours", TOOL_CALL), ("anthropic", "release", NOTE)]
    ]
}  # fmt: skip


async def run_example(
    shell: Shell, simulator: Simulator, example: Path, *args: str
) -> tuple[Done, Any]:
    """Run an example behind the gate; return how it ended, and its receipt."""
    file = ("--receipt", "json", "--receipt-file", "receipt.json")
    command = ("run", *file, *args, "--", PYTHON, str(example))
    done = await shell.run(*command, environ=keys_of(simulator))
    assert done.status == 0, done.err
    return done, json.loads((shell.folder / "receipt.json").read_bytes())


@pytest.mark.parametrize("name", ["research_openai.py", "notes_anthropic.py"])
async def test_an_sdk_works_unedited_and_is_governed(
    shell: Shell, simulator: Simulator, repository: Path, name: str
) -> None:
    simulator.play(SCRIPT)
    done, receipt = await run_example(shell, simulator, repository / "examples" / name)
    assert ("searching: ports" in done.out) or ("filing: Release" in done.out)
    assert (receipt["settings"], receipt["budget_nano_usd"]) == ("built in", 1_000_000_000)
    assert (receipt["calls"], receipt["ok"]) == (3, 3)
    assert receipt["spent_nano_usd"] == simulator.bill().total_nano_usd > 0
    limits = [json.loads(request.body).keys() & LIMITS for request in simulator.requests]
    assert all(len(limit) == 1 for limit in limits)


LIMITS = {"max_tokens", "max_completion_tokens"}


async def test_an_agent_gone_wrong_is_stopped_at_its_budget(
    shell: Shell, simulator: Simulator, repository: Path
) -> None:
    simulator.play({"rules": [{"steps": [{"answer": {"words": 150}, "times": 1_000_000}]}]})
    example = repository / "examples" / "runaway.py"
    _, receipt = await run_example(shell, simulator, example, "--task", "t", "--budget", "0.1")
    (row,) = (await shell.run("tasks", "--json")).page
    bill = simulator.bill().total_nano_usd
    assert receipt["spent_nano_usd"] == row["spent_nano_usd"] == bill
    assert 0 < bill <= 100_000_000
    assert (receipt["calls"], receipt["refused"][0]["code"]) == (1000, "over_budget")
