"""``callgate route explain``: who would be asked, in words and as JSON."""

from __future__ import annotations

import json

import pytest

from tests.cli.shell import Shell

pytestmark = pytest.mark.slow

SETTINGS = """\
[providers.openai]
api = "openai"
[providers.anthropic]
api = "anthropic"
[models.smart]
use = ["anthropic:claude-sonnet-5", "openai:gpt-5.5"]
[agents.a]
models = ["smart", "openai:*"]
"""
MORE = '[agents.b]\nmodels = ["smart"]\n'


async def test_the_candidates_of_a_route_are_listed_in_order(shell: Shell) -> None:
    shell.write("callgate.toml", SETTINGS)
    done = await shell.run("route", "explain", "smart")
    lines = [line.split() for line in done.out.splitlines()]
    assert [line[:3] for line in lines[1:]] == [
        ["1", "anthropic:claude-sonnet-5", "yes"], ["2", "openai:gpt-5.5", "yes"],
    ]  # fmt: skip
    assert "smart is asked for by order" in done.err
    # Who only asks makes no store, in which no limits would hold yet.
    assert not (shell.folder / "callgate.db").exists()


async def test_a_request_of_ones_own_is_explained_with_every_figure(shell: Shell) -> None:
    shell.write("callgate.toml", SETTINGS)
    messages = [{"role": "user", "content": "hi"}]
    shell.write("asked.json", json.dumps({"model": "x", "messages": messages, "seed": 4}))
    done = await shell.run("route", "explain", "smart", "--request", "asked.json", "--format",
                           "openai_chat", "--json")  # fmt: skip
    claude, gpt = done.page["candidates"]
    assert (claude["asked"], gpt["asked"]) == ("no", "yes")
    assert "would lose seed=4" in claude["refused"]
    assert gpt["cost_at_most_nano_usd"] > 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("smart", "--agent", "c"), "say which agent asks"),
        (("smart", "--format", "telex", "--agent", "a"), "there is no format 'telex'"),
        (("smart", "--request", "none.json", "--agent", "a"), "none.json holds no request"),
        (("nope", "--agent", "b"), "the agent 'b' may not use 'nope'"),
    ],
)
async def test_what_cannot_be_explained_is_told_in_words(
    shell: Shell, arguments: tuple[str, ...], told: str
) -> None:
    shell.write("callgate.toml", SETTINGS + MORE)
    done = await shell.run("route", "explain", *arguments)
    assert (done.status, told in done.err) == (2, True)
