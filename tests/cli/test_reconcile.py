"""The ledger of a real gate against what a simulated provider charged, in the provider's formats."""

from __future__ import annotations

import json
import re
import signal
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from tests.cli.shell import PYTHON, SECRETS, Shell, breaks_field_rules

pytestmark = pytest.mark.slow

SCRIPT = """
[[rules]]
match = { text = "cut$" }
steps = [{ answer = { words = 400 }, fault = { how = "end", after_events = 200 }, times = 9 }]
[[rules]]
steps = [{ answer = { words = 2000 }, times = 99 }]
"""
"""Every call costs cents; a stream that asks for it ends before its usage is told."""

AGENT = """
import json, os, sys, urllib.request
for spec in sys.argv[1:]:
    model, _, how = spec.partition("=")
    text = "word " * 8000 + how
    body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 3000,
        "stream": how == "cut"}
    request = urllib.request.Request(
        os.environ["OPENAI_BASE_URL"] + "/chat/completions", json.dumps(body).encode(),
        {"authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "content-type": "application/json"})
    with urllib.request.urlopen(request) as reply:
        reply.read()
"""

SETTINGS = """
[providers.cloud]
api = "openai"
base_url = "{url}/v1"
key = "env:MY_OPENAI"
[agents.worker]
models = ["cloud:gpt-*"]
[tasks.default]
budget = "$50"
"""

PRICES = {
    "gpt-5.5": {"input": "5", "output": "30"},
    "gpt-5-mini": {"input": "0.25", "output": "2"},
    "gpt-5": {"input": "1.25", "output": "10"},
}
"""Dollars for a million tokens, as the provider's page has them."""

HEADER = (
    "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_id,api_key_id,"
    "model,batch,service_tier,input_tokens,output_tokens,input_cached_tokens,input_uncached_tokens"
)


@dataclass
class Provider:
    """A simulated provider, and the exports that it would give of today."""

    url: str

    async def fetch(self, path: str, **sent: Any) -> Any:
        async with aiohttp.ClientSession() as session:
            if not sent:
                async with session.get(f"{self.url}{path}") as reply:
                    return await reply.json()
            async with session.post(f"{self.url}{path}", **sent) as reply:
                return await reply.json()

    async def ask(self, key: str, model: str) -> None:
        """Send a request of an application that does not know the gate."""
        body = {"model": model, "messages": [{"role": "user", "content": "word " * 8000}]}
        headers = {"authorization": f"Bearer {key}"}
        await self.fetch("/v1/chat/completions", json=body, headers=headers)

    async def used(self) -> Counter[tuple[str, str, str]]:
        """Return what was used: by key, model and kind, as providers add it up."""
        used: Counter[tuple[str, str, str]] = Counter()
        for line in (await self.fetch("/sim/bill"))["lines"]:
            counts = {kind: line["usage"][f"{kind}_tokens"] for kind in ("input", "output")}
            for kind, count in {"requests": 1, **counts}.items():
                used[line["key"], line["model"], kind] += count
        return used

    async def activity(self) -> str:
        """Return the dashboard's export of the activity, CSV."""
        used = await self.used()
        times = f"{start_of_today()},{start_of_today() + 86_400},x,x"
        rows: list[str] = []
        for key, model in sorted({(key, model) for key, model, _ in used}):
            requests, read, written = (
                used[key, model, kind] for kind in ("requests", "input", "output")
            )
            row = f"{times},proj_1,{requests}.0,user-1,key_{key},{model},FALSE,default"
            rows.append(f"{row},{read}.0,{written}.0,0.0,{read}.0")
        return "\n".join([HEADER, *rows, ""])

    async def costs(self, dearer: str | None = None) -> str:
        """Return the answer of the costs API, in which one model may be five times as dear."""
        used = await self.used()
        results: list[dict[str, Any]] = []
        for model, kind in sorted({(model, kind) for _, model, kind in used if kind != "requests"}):
            tokens = sum(used[key, model, kind] for key in {key for key, *_ in used})
            dollars = (
                Decimal(PRICES[model][kind]) * tokens / 1_000_000 * (5 if model == dearer else 1)
            )
            amount = {"value": float(dollars), "currency": "usd"}
            results.append(
                {"amount": amount, "line_item": f"{model}, {kind}", "project_id": "proj_1"}
            )
        times = {"start_time": start_of_today(), "end_time": start_of_today() + 86_400}
        bucket = {"object": "bucket", **times, "results": results}
        return json.dumps({"object": "page", "data": [bucket], "has_more": False})


def start_of_today() -> int:
    return int(datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp())


@pytest.fixture
async def provider(shell: Shell) -> AsyncGenerator[Provider]:
    """``callgate sim``, and somebody whose settings name it as a provider."""
    shell.write("script.toml", SCRIPT)
    process = await shell.start("sim", "script.toml", "--port", "0")
    assert process.stderr is not None
    announced = (await process.stderr.readline()).decode()
    found = re.search(r"http://\S+", announced)
    assert found is not None, announced
    shell.write("callgate.toml", SETTINGS.format(url=found[0]))
    yield Provider(found[0])
    process.send_signal(signal.SIGINT)
    await process.communicate()


async def work(shell: Shell, *specs: str) -> None:
    """Have an agent make calls through a gate: the model of each, and whether it is cut."""
    done = await shell.run("run", "--", PYTHON, "-c", AGENT, *specs, environ=SECRETS)
    assert done.status == 0, done.err


async def test_a_ledger_that_is_the_bill_agrees_to_the_nano_dollar(
    shell: Shell, provider: Provider
) -> None:
    await work(shell, "gpt-5.5", "gpt-5.5", "gpt-5-mini")
    shell.write("usage.csv", await provider.activity())
    shell.write("costs.json", await provider.costs())
    done = await shell.run(
        "spend", "reconcile", "usage.csv", "costs.json", "--provider", "cloud", "--json"
    )
    assert (done.status, breaks_field_rules(done.page)) == (0, [])
    bill = await provider.fetch("/sim/bill")
    rows = done.page["rows"]
    assert [(row["model"], row["ledger"]["requests"]) for row in rows] == [
        ("gpt-5-mini", 1),
        ("gpt-5.5", 2),
    ]
    assert sum(row["export"]["cost_nano_usd"] for row in rows) == bill["total_nano_usd"]
    assert [set(row["difference"].values()) for row in rows] == [{0}, {0}]


async def test_each_difference_says_why_and_those_that_need_somebody_are_open(
    shell: Shell, provider: Provider
) -> None:
    await work(shell, "gpt-5.5", "gpt-5.5=cut", "gpt-5-mini")
    await provider.ask("sk-of-another-app", "gpt-5")
    shell.write("usage.csv", await provider.activity())
    shell.write("costs.json", await provider.costs(dearer="gpt-5-mini"))
    args = ("spend", "reconcile", "usage.csv", "costs.json", "--provider", "cloud")
    found = await shell.run(*args, "--json")
    assert (found.status, found.page["is_open"]) == (1, True)
    told = {
        row["model"]: (row["is_open"], [reason["kind"] for reason in row["reasons"]])
        for row in found.page["rows"]
    }
    assert told == {
        "gpt-5": (True, ["not_in_ledger"]),
        "gpt-5-mini": (True, ["other_price"]),
        "gpt-5.5": (False, ["estimated"]),
    }
    (estimated,) = (row for row in found.page["rows"] if row["model"] == "gpt-5.5")
    assert (
        estimated["reasons"][0]["accounts_for"]["cost_nano_usd"]
        == estimated["difference"]["cost_nano_usd"]
        < 0
    )
    text = (await shell.run(*args)).out
    assert "it is just what the export has for key_***-app of proj_1 of user-1" in text
    assert 'write what you pay: [prices."cloud:gpt-5-mini"] input = "$1.25", output = "$10"' in text
    assert "1 attempt is booked at what was held" in text


async def test_a_price_that_is_put_right_needs_nobody_any_more(
    shell: Shell, provider: Provider
) -> None:
    await work(shell, "gpt-5-mini")
    shell.write("usage.csv", await provider.activity())
    shell.write("costs.json", await provider.costs(dearer="gpt-5-mini"))
    args = ("spend", "reconcile", "usage.csv", "costs.json", "--provider", "cloud")
    assert (await shell.run(*args)).status == 1
    lines = '[prices."cloud:gpt-5-mini"]\ninput = "$1.25"\noutput = "$10"\n'
    shell.write("callgate.toml", (shell.folder / "callgate.toml").read_text() + lines)
    done = await shell.run(*args)
    assert done.status == 0, done.out
    assert "the price is another now" in done.out
    assert "or every difference has its reason" in done.err


async def test_a_file_may_come_from_the_input(shell: Shell, provider: Provider) -> None:
    await work(shell, "gpt-5-mini")
    usage = (await provider.activity()).encode()
    done = await shell.run(
        "spend", "reconcile", "-", "--provider", "cloud", "--tolerance", "1%", typed=usage
    )
    assert done.status == 0, done.err
    head, row, total = done.out.splitlines()
    assert head.split()[:3] == ["day", "(UTC)", "model"]
    assert (row.split()[1], row.split()[-1], total.split()[0]) == ("gpt-5-mini", "agrees", "total")
    assert "not told" in row


@pytest.mark.parametrize(
    ("args", "typed", "told"),
    [
        (("-",), b"", "-: it is empty"),
        (("-",), b"date,cost\n2026-01-01,1\n", "Its fields are: date, cost. Formats that are known: OpenAI usage"),
        (("nowhere.csv",), b"", "nowhere.csv cannot be read: No such file or directory"),
        (("-", "--tolerance", "5"), b"", "-: it is empty"),
        (("-", "--tolerance", "many"), b"", "'many' is not a share from 0% to 100%"),
        (("-",), f"{HEADER}\n1,2".encode(), "- line 2: it has 2 columns where the header has 15"),
        ((), b"", "Missing argument 'FILE...'"),
    ],
)  # fmt: skip
async def test_what_is_no_export_is_refused(
    shell: Shell, args: tuple[str, ...], typed: bytes, told: str
) -> None:
    done = await shell.run("spend", "reconcile", *args, typed=typed)
    assert (done.status, done.out) == (2, "")
    assert told in " ".join(done.err.replace("│", " ").split())


async def test_options_stand_behind_the_command_that_they_are_for(shell: Shell) -> None:
    done = await shell.run("spend", "--json", "reconcile", "-")
    assert done.status == 2
    assert "options stand behind reconcile" in done.err
