"""``callgate prices``: listed, shown, updated by hand, and put on history."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from callgate.testing.simulator import Simulator
from tests.cli.shell import AGENT_KEY, SECRETS, Done, Shell, breaks_field_rules, settings_of
from tests.cli.test_serve import ask

pytestmark = pytest.mark.slow

MORE = """
[providers.local]
api = "openai"
base_url = "http://127.0.0.1:9/v1"
price_source = "none"
[models.home]
use = ["local:llama"]
"""


@pytest.fixture
def settled(shell: Shell, simulator: Simulator) -> Shell:
    """Somebody with settings, one of whose models has no price."""
    shell.write("callgate.toml", settings_of(simulator, MORE))
    return shell


def listing(*models: tuple[str, Any]) -> str:
    """A price list as it is published, with dollars for a million tokens of input."""
    others = {"cache_read_mtok": 0.5, "output_mtok": 30}
    entries: list[Any] = [
        {"id": name, "match": {"equals": name}, "prices": {"input_mtok": dollars, **others}}
        for name, dollars in models
    ]
    return json.dumps([{"id": "openai", "name": "OpenAI", "models": entries}])


def taken(settled: Shell, dollars: Any, *, name: str = "gpt-5.5") -> Path:
    return settled.write("data.json", listing((name, dollars)))


async def update(settled: Shell, dollars: Any, *more: str, name: str = "gpt-5.5") -> Done:
    path = taken(settled, dollars, name=name)
    return await settled.run("prices", "update", "--from", str(path), *more)


def own_list(settled: Shell) -> Path:
    return settled.folder / "callgate.prices.json"


async def test_the_models_of_the_settings_are_listed_with_all_that_they_may_cost(
    settled: Shell,
) -> None:
    done = await settled.run("prices", "list")
    rows = [line.split() for line in done.out.splitlines()]
    assert rows[1][:3] == ["openai:gpt-5.5", "(smart)", "$5.00"]
    assert any("flex" in row for row in rows)
    assert any(row[2:5] == ["over", "272,000", "in"] for row in rows)
    assert rows[-1] == ["local:llama", "(home)", "no", "price"]
    assert '[prices."local:llama"]' in done.err
    assert "the list that ships with Callgate" in done.err


async def test_a_pattern_finds_all_of_the_providers_lists(settled: Shell) -> None:
    page = (await settled.run("prices", "list", "GPT-5.4*", "--json")).page
    names = [one["model"] for one in page]
    assert names[0] == "openai:gpt-5.4"
    assert "openai:gpt-5.4-mini" in names
    assert breaks_field_rules(page) == []
    standard = page[0]["prices"][0]
    assert (standard["service_tier"], standard["input_femto_usd"]) == (None, 2_500_000_000)
    other = await settled.run("prices", "list", "argon", "--provider", "gemini")
    assert "from 2026-12-01" in other.out
    assert (await settled.run("prices", "list", "no-such-model")).out == ""
    unknown = await settled.run("prices", "list", "--provider", "nobody")
    assert (unknown.status != 0, "nor a price list of that name" in unknown.err) == (True, True)


async def test_one_model_is_shown_with_its_version_and_what_it_holds(settled: Shell) -> None:
    done = await settled.run("prices", "show", "smart")
    assert "genai-prices" in done.out
    assert "openai/gpt-5.5" in done.out
    assert "a request of 10 kB that names no output limit holds $0.3" in done.out
    (page,) = (await settled.run("prices", "show", "openai:gpt-5.5", "--json")).page
    assert breaks_field_rules(page) == []
    held = page["typical_request"]
    assert held["held_nano_usd"] == held["input_tokens"] * 5_000 + held["output_tokens"] * 30_000
    unpriced = await settled.run("prices", "show", "home")
    assert ("no price" in unpriced.out, '[prices."local:llama"]' in unpriced.err) == (True, True)
    assert (await settled.run("prices", "show", "nobody")).status != 0


async def test_a_list_that_says_the_same_differs_in_nothing(settled: Shell) -> None:
    done = await settled.run("prices", "update")
    assert (done.status, done.out) == (0, "")
    assert "no price differs" in done.err
    assert not own_list(settled).exists()


async def test_a_list_is_shown_first_and_taken_only_by_hand(settled: Shell) -> None:
    done = await update(settled, 6)
    lines = [line.split() for line in done.out.splitlines()]
    assert ["openai/gpt-5.5", "smart", "input", "$5.00", "$6.00"] in lines[1:4]
    assert done.status == 1
    assert "there is nobody to ask; --yes takes it; nothing is written" in done.err
    assert not own_list(settled).exists()
    assert (await update(settled, 6, "--yes")).status == 0
    assert own_list(settled).exists()
    listed = await settled.run("prices", "list")
    assert ("$6.00" in listed.out, str(own_list(settled)) in listed.err) == (True, True)


async def test_what_looks_like_a_mistake_is_not_taken_with_the_rest(settled: Shell) -> None:
    for dollars, told in ((60, "input rises 12 times"), (-5, "input_mtok is -5")):
        done = await update(settled, dollars, "--yes")
        assert (done.status, told in done.err) == (1, True)
        assert "--accept-suspicious takes it all the same; nothing is written" in done.err
    lost = await update(settled, 5, "--yes", name="gpt-6")
    assert (lost.status, "openai:gpt-5.5 has no price any more" in lost.err) == (1, True)
    assert not own_list(settled).exists()


async def test_a_comparison_for_machines_says_whether_anything_was_written(settled: Shell) -> None:
    asked = await update(settled, 6, "--json")
    assert (asked.status, asked.page["written"], breaks_field_rules(asked.page)) == (1, False, [])
    first = asked.page["differences"][0]
    assert (first["model"], first["used_as"], first["kind"]) == ("gpt-5.5", "smart", "changed")
    done = await update(settled, 6, "--json", "--yes", "--accept-suspicious")
    assert (done.status, done.page["written"]) == (0, True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]x", "is no price list of genai-prices"),
        (listing(("m", "EUR 3")), "is no price list of genai-prices"),
        (listing(("m", 1)).replace("equals", "likes"), "'likes' recognises no names"),
    ],
)
async def test_what_is_no_list_is_refused_whole(settled: Shell, text: str, told: str) -> None:
    path = settled.write("data.json", text)
    done = await settled.run("prices", "update", "--from", str(path), "--yes")
    assert (done.status != 0, told in done.err) == (True, True)
    assert not own_list(settled).exists()


async def test_a_list_of_ones_own_holds_in_a_gate_from_the_next_reload_on(settled: Shell) -> None:
    async with settled.serving(environ=SECRETS) as gate:
        assert await ask(gate, AGENT_KEY, max_tokens=50) == 200
        await update(settled, 50, "--yes", "--accept-suspicious")
        assert (await settled.run("reload")).status == 0
        assert await ask(gate, AGENT_KEY, max_tokens=50) == 200
    new, old = (await settled.run("calls", "--json")).page
    numbers = [call["attempts"][0]["unit_prices"]["input_femto_usd"] for call in (old, new)]
    assert numbers == [5 * 10**9, 50 * 10**9]
    assert new["attempts"][0]["price_version"].startswith("genai-prices sha256:")


async def test_a_broken_list_stops_a_gate_and_a_reload_with_the_remedy(settled: Shell) -> None:
    async with settled.serving(environ=SECRETS) as gate:
        own_list(settled).write_text("{")
        reloaded = await settled.run("reload")
        assert reloaded.status != 0
        assert "callgate prices update writes them again" in reloaded.err
        assert await ask(gate, AGENT_KEY, max_tokens=50) == 200
    started = await settled.run("serve", "--port", "0", environ=SECRETS)
    assert started.status != 0
    assert "callgate prices update writes them again" in started.err
    mended = await update(settled, 6, "--yes", "--accept-suspicious")
    assert (mended.status, (await settled.run("prices", "list")).status) == (0, 0)


async def test_history_is_priced_anew_by_hand_and_its_books_balance(settled: Shell) -> None:
    async with settled.serving(environ=SECRETS) as gate:
        await ask(gate, AGENT_KEY, max_tokens=50)
    same = await settled.run("prices", "reprice")
    assert "every attempt costs what it is booked at" in same.err
    await update(settled, 50, "--yes", "--accept-suspicious")
    asked = await settled.run("prices", "reprice")
    assert ("openai:gpt-5.5" in asked.out, "--apply books it" in asked.err) == (True, True)
    done = await settled.run("prices", "reprice", "--apply", "--yes", "--json")
    assert (done.page["booked"], breaks_field_rules(done.page)) == (1, [])
    (call,) = (await settled.run("calls", "--json")).page
    first = call["attempts"][0]["first"]
    total = done.page["total"]
    assert (first["cost_nano_usd"], call["cost_nano_usd"]) == (
        total["old_nano_usd"],
        total["new_nano_usd"],
    )
    assert (await settled.run("ledger", "verify")).status == 0
    again = await settled.run("prices", "reprice", "--apply", "--yes", "--json")
    assert again.page["booked"] is None
    nobody = await settled.run("prices", "reprice", "--apply")
    assert nobody.status == 0


async def test_who_is_not_asked_does_not_book_anything(settled: Shell) -> None:
    async with settled.serving(environ=SECRETS) as gate:
        await ask(gate, AGENT_KEY, max_tokens=50)
    await update(settled, 50, "--yes", "--accept-suspicious")
    refused = await settled.run("prices", "reprice", "--apply")
    assert refused.status != 0
    by_settings = await settled.run("prices", "reprice", "--with", "settings")
    assert "nobody tells a price for them" in by_settings.err
    with closing(sqlite3.connect(settled.folder / "callgate.db")) as books:
        assert books.execute("SELECT count(*) FROM repriced").fetchone() == (0,)


@pytest.mark.parametrize(
    ("span", "told"),
    [
        (("--since", "2026-11-25", "--until", "2026-11-24"), "is not before --until"),
        (("--until", "2020-01-01"), "no attempt of a model in that time"),
        (("--model", "claude-opus-5"), "no attempt of a model in that time"),
    ],
)
async def test_a_span_without_history_is_told_so(
    settled: Shell, span: tuple[str, ...], told: str
) -> None:
    async with settled.serving(environ=SECRETS) as gate:
        await ask(gate, AGENT_KEY, max_tokens=50)
    assert told in (await settled.run("prices", "reprice", *span)).err
