"""MCP servers in the settings: what is read, and every mistake with its line and its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from callgate.config.mcp_policies import McpPolicy, OAuthPolicy
from callgate.money import Money
from tests.unit.config.files import PLACE, problem_of, read

PROGRAM = """
[mcp.git]
command = "uvx"
args = ["mcp-server-git"]
"""
PLACED = """
[mcp.far]
url = "https://host/mcp"
key = "env:FAR_KEY"
"""


def test_a_program_is_read_with_all_its_defaults() -> None:
    assert read(PROGRAM).mcp["git"] == McpPolicy(
        name="git", command="uvx", args=("mcp-server-git",)
    )


def test_a_server_elsewhere_is_read_with_all_its_defaults() -> None:
    assert read(PLACED).mcp["far"] == McpPolicy(
        name="far", url="https://host/mcp", key="env:FAR_KEY"
    )


def test_what_a_server_says_otherwise_is_kept() -> None:
    more = (
        'cwd = "servers"\nenv = { MODE = "x", TOKEN = "env:TOKEN" }\ntrust = true\neffect = "write"\n'
        'idempotent = true\ncost = "$0.01"\ntimeout = "5m"\nstart_timeout = "5s"\nmax_result_bytes = "2MB"'
    )
    policy = read(PROGRAM + more).mcp["git"]
    assert policy.cwd == Path(PLACE.parent / "servers")
    assert policy.env == {"MODE": "x", "TOKEN": "env:TOKEN"}
    assert (policy.trust, policy.effect, policy.is_idempotent) == (True, "write", True)
    assert (policy.cost, policy.timeout_seconds) == (Money.dollars("0.01"), 300.0)
    assert (policy.start_timeout_seconds, policy.max_result_bytes) == (5.0, 2_000_000)


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("[mcp.git]\ntrust = true", "mcp.git", "one of the two: a program to start"),
        (PROGRAM + 'url = "https://host/mcp"', "mcp.git", "one of the two"),
        (PROGRAM + 'key = "env:KEY"', "mcp.git.key", "nothing for a server with a command"),
        (PLACED + 'args = ["x"]', "mcp.far.args", "nothing for a server with a url"),
        (PROGRAM + 'env = { API_KEY = "abcdef123456" }', "mcp.git.env.API_KEY", "env:NAME or file:PATH"),
        (PROGRAM + 'env = { X = "sk-0123456789abcdef" }', "mcp.git.env.X", "env:NAME or file:PATH"),
        (PROGRAM.replace('"mcp-server-git"', '"--api-key=abcdef123456"'), "mcp.git.args[0]", "everybody on the machine"),
        (PLACED + 'headers = { x-api-key = "abcdef123456" }', "mcp.far.headers.x-api-key", "env:NAME"),
        (PLACED + 'headers = { Authorization = "env:OTHER" }', "mcp.far.headers.Authorization", "one of both"),
        (PLACED + 'headers = { Mcp-Session-Id = "1" }', "mcp.far.headers.Mcp-Session-Id", "nothing else decides"),
        (PROGRAM + 'env = { "A B" = "x" }', 'mcp.git.env."A B"', "name of a variable"),
        (PROGRAM + "time_out = 1", "mcp.git.time_out", "timeout"),
        (PROGRAM + 'effect = "none"', "mcp.git.effect", "destructive"),
    ],
)  # fmt: skip
def test_a_mistake_names_its_line_and_what_is_allowed(text: str, key: str, words: str) -> None:
    problem = problem_of(text)
    assert (problem.key, problem.line is not None) == (key, True)
    assert words in f"{problem.allowed} {problem.nearest}"


def test_no_message_shows_what_may_be_a_key() -> None:
    wrong = PROGRAM + 'env = { API_KEY = "abcdef123456" }'
    assert "abcdef123456" not in repr(problem_of(wrong))


def test_a_server_is_called_so_that_its_tools_can_be_told_apart() -> None:
    assert 'mcp."a.b"' in problem_of('[mcp."a.b"]\ncommand = "x"').key


def test_a_tool_of_a_server_may_have_a_table_of_its_own() -> None:
    settings = read(PROGRAM + '[tools."git.git_log"]\neffect = "read"')
    assert settings.tools["git.git_log"].effect == "read"


def test_a_server_may_want_tokens() -> None:
    oauth = read('[mcp.far]\nurl = "https://host/mcp"\noauth = {}').mcp["far"].oauth
    assert oauth == OAuthPolicy(grant="authorization_code")


@pytest.mark.parametrize(
    ("oauth", "key"),
    [
        ('key = "env:K"\noauth = {}', "mcp.far.oauth"),
        ('oauth = { grant = "client_credentials", client_id = "x", client_secret = "env:X" }', "mcp.far.oauth.issuer"),
        ('oauth = { client_secret = "s3cret" }', "mcp.far.oauth.client_secret"),
    ],
)  # fmt: skip
def test_a_token_that_could_not_be_got_is_a_mistake(oauth: str, key: str) -> None:
    assert problem_of(f'[mcp.far]\nurl = "https://host/mcp"\n{oauth}').key == key
