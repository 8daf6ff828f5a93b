"""Platforms in the settings: what is read, and every mistake with its line and its remedy."""

from __future__ import annotations

import pytest

from callgate.config.platform_policies import PlatformPolicy
from callgate.money import Money
from tests.unit.config.files import problem_of, read

USUAL = """
[platforms.patch]
profile = "agentpatch"
key = "env:AGENTPATCH_API_KEY"
tools = ["google-search", "ann/deep.research"]
"""


def test_a_platform_is_read_with_all_its_defaults() -> None:
    assert read(USUAL).platforms["patch"] == PlatformPolicy(
        name="patch",
        profile="agentpatch",
        key="env:AGENTPATCH_API_KEY",
        tools=("google-search", "ann/deep.research"),
    )


def test_what_a_platform_says_otherwise_is_kept() -> None:
    more = (
        'low_balance = "$2"\ntimeout = "5m"\nmax_result = "2MB"\nbase_url = "http://127.0.0.1:1/"'
    )
    policy = read(USUAL + more).platforms["patch"]
    assert (policy.low_balance, policy.timeout_seconds) == (Money.dollars("2"), 300.0)
    assert (policy.max_result_bytes, policy.base_url) == (2_000_000, "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("old", "new", "key", "words"),
    [
        ('"agentpatch"', '"agentpach"', "platforms.patch.profile", "agentpatch"),
        ('"env:AGENTPATCH_API_KEY"', '"ap_secret"', "platforms.patch.key", "never a key"),
        ('key = "env:AGENTPATCH_API_KEY"', "", "platforms.patch.key", "Where its key is"),
        ('"google-search"', '"../jobs"', "platforms.patch.tools[0]", "owner/tool"),
        ('"google-search"', '"a/b/c"', "platforms.patch.tools[0]", "owner/tool"),
        ('"google-search"', '"bob/deep.research"', "platforms.patch.tools[1]", "is called patch.deep.research already"),
        ("tools =", "time_out = 1\ntools =", "platforms.patch.time_out", "timeout"),
    ],
)  # fmt: skip
def test_a_mistake_names_its_line_and_what_is_allowed(
    old: str, new: str, key: str, words: str
) -> None:
    problem = problem_of(USUAL.replace(old, new))
    assert (problem.key, problem.line is not None) == (key, True)
    assert words in f"{problem.allowed} {problem.nearest}"


@pytest.mark.parametrize("url", ["http://example.com", "https://me:pw@host", "https://host?key=1"])
def test_a_key_goes_nowhere_in_the_clear(url: str) -> None:
    problem = problem_of(f'{USUAL}base_url = "{url}"')
    assert (problem.key, url in repr(problem)) == ("platforms.patch.base_url", False)


def test_no_message_shows_what_may_be_a_key() -> None:
    wrong = USUAL.replace("env:AGENTPATCH_API_KEY", "ap_very_secret")
    assert "ap_very_secret" not in repr(problem_of(wrong))


def test_a_tool_of_a_platform_may_be_told_more_about() -> None:
    tools = read(USUAL + '[tools."patch.google-search"]\neffect = "read"').tools
    assert tools["patch.google-search"].effect == "read"


@pytest.mark.parametrize(
    "lines",
    ['[tools."patch.gogle-search"]\neffect = "read"', '[agents.a]\ntools = ["patch.gogle-search"]'],
)
def test_a_tool_that_its_platform_does_not_name_is_a_mistake(lines: str) -> None:
    problem = problem_of(USUAL + lines)
    assert (problem.nearest, problem.found) == ("patch.google-search", "'patch.gogle-search'")


def test_patterns_and_tools_that_are_named_are_none() -> None:
    agents = (
        '[agents.a]\ntools = ["patch.*", "patch.google-search", "patch.deep.research", "other"]'
    )
    assert read(USUAL + agents).agents["a"].tools[0] == "patch.*"


def test_a_platform_and_a_server_may_not_share_a_name() -> None:
    problem = problem_of(USUAL + '[mcp.patch]\ncommand = "mcp-server-time"')
    assert (problem.key, problem.line) == ("platforms.patch", 2)
    assert "the name of [mcp.patch] too" in problem.found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('[mcp.python]\ncommand = "x"', "the name of the tools of the settings themselves too"),
        ('[mcp.o]\ncommand = "x"\n[providers.o]\napi = "openai"', "the name of [providers.o] too"),
    ],
)
def test_a_server_has_a_name_that_nobody_else_has(text: str, found: str) -> None:
    problem = problem_of(text)
    assert (problem.found, problem.line) == (found, 1)
