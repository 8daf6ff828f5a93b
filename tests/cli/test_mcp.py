"""``callgate mcp``: servers are found, added to the settings without losing a comment, and looked at."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.cli.shell import Shell, ended
from tests.contract.mcp.authority import Authority, guarded

PEER = Path(__file__).parents[1] / "contract" / "mcp" / "peer.py"

BEFORE = """\
# What we allow.
[agents.worker]   # the only one
models = ["*"]
"""

WEATHER: dict[str, Any] = {
    "name": "io.github.ann/weather",
    "description": "Tells the weather\x1b[31m",
    "version": "1.2.0",
    "packages": [
        {
            "registryType": "pypi",
            "identifier": "weather-mcp",
            "version": "1.2.0",
            "transport": {"type": "stdio"},
            "packageArguments": [
                {"type": "named", "name": "--units", "default": "metric"},
                {"type": "positional", "valueHint": "city", "isRequired": True},
            ],
            "environmentVariables": [
                {"name": "WEATHER_KEY", "isSecret": True, "isRequired": True},
                {"name": "LEVEL", "default": "info"},
                {"name": "UNUSED"},
            ],
        },
        {"registryType": "npm", "identifier": "@ann/weather", "version": "1.2.0", "transport": {"type": "stdio"}},
    ],
    "remotes": [
        {"type": "sse", "url": "https://weather.example/sse"},
        {"type": "streamable-http", "url": "https://weather.example/mcp", "headers": [{"name": "X-Key", "isSecret": True}]},
    ],
}  # fmt: skip


@pytest.fixture
async def registry() -> AsyncIterator[str]:
    """A registry with one server, as the specification of its API has it."""
    meta = {"io.modelcontextprotocol.registry/official": {"status": "active", "isLatest": True}}
    entry = {"server": WEATHER, "_meta": meta}

    async def search(request: web.Request) -> web.Response:
        assert request.query["version"] == "latest"
        found = [entry] if request.query["search"] in WEATHER["name"] else []
        return web.json_response({"servers": found, "metadata": {"count": len(found)}})

    async def find(request: web.Request) -> web.Response:
        if request.match_info["name"] == WEATHER["name"] and request.match_info["version"] in {
            "latest",
            "1.2.0",
        }:
            return web.json_response(entry)
        return web.json_response({"error": "Server not found"}, status=404)

    app = web.Application()
    app.add_routes(
        [web.get("/v0.1/servers", search), web.get("/v0.1/servers/{name}/versions/{version}", find)]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    yield f"http://{host}:{port}"
    await runner.cleanup()


class Settings:
    """The settings file of a test."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self.write(BEFORE)

    def write(self, text: str) -> None:
        self._shell.write("callgate.toml", text)

    @property
    def text(self) -> str:
        return (self._shell.folder / "callgate.toml").read_text()

    @property
    def servers(self) -> Any:
        return tomllib.loads(self.text)["mcp"]


@pytest.fixture
def settings(shell: Shell) -> Settings:
    return Settings(shell)


def peer_table() -> str:
    told = [json.dumps(each) for each in (sys.executable, str(PEER), json.dumps({"list": "odd"}))]
    return f"\n[mcp.peer]\ncommand = {told[0]}\nargs = [{told[1]}, {told[2]}]\n"


async def test_a_search_shows_what_there_is(shell: Shell, registry: str) -> None:
    done = await shell.run("mcp", "search", "weather", "--registry", registry)
    assert "io.github.ann/weather" in done.out
    assert "pypi, npm, sse, streamable-http" in done.out
    assert "\x1b" not in done.out


async def test_a_server_is_added_and_every_comment_stays(
    shell: Shell, registry: str, settings: Settings
) -> None:
    done = await shell.run("mcp", "add", "io.github.ann/weather", "--registry", registry)
    assert settings.text.startswith(BEFORE)
    assert settings.servers["weather"] == {
        "command": "uvx",
        "args": ["weather-mcp@1.2.0", "--units", "metric", "FILL IN: city"],
        "env": {"WEATHER_KEY": "env:WEATHER_KEY", "LEVEL": "info"},
    }
    assert "say what stands at FILL IN" in done.err
    assert 'tools = ["weather.*"]' in done.err


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        ("npm", {"command": "npx", "args": ["-y", "@ann/weather@1.2.0"]}),
        (
            "remote",
            {"url": "https://weather.example/mcp", "headers": {"X-Key": "env:HEADER_X_KEY"}},
        ),
    ],
)
async def test_one_of_several_ways_is_chosen(
    shell: Shell, registry: str, settings: Settings, kind: str, table: dict[str, Any]
) -> None:
    await shell.run(
        "mcp", "add", "io.github.ann/weather", "--kind", kind, "--as", "sky", "--registry", registry
    )
    assert settings.servers == {"sky": table}


async def test_a_server_of_ones_own_is_added_by_its_command(
    shell: Shell, settings: Settings
) -> None:
    await shell.run("mcp", "add", "git", "--", "uvx", "mcp-server-git", "--repository", ".")
    assert settings.servers["git"] == {
        "command": "uvx",
        "args": ["mcp-server-git", "--repository", "."],
    }


async def test_a_server_elsewhere_is_added_by_its_url(shell: Shell, settings: Settings) -> None:
    await shell.run("mcp", "add", "far", "--url", "https://far.example/mcp")
    assert settings.servers["far"] == {"url": "https://far.example/mcp"}


async def test_what_would_be_a_mistake_is_not_written(shell: Shell, settings: Settings) -> None:
    done = await shell.run("mcp", "add", "git", "--", "x", "--api-key=abcdef123456")
    assert (done.status, "mcp.git.args[0]" in done.err) == (2, True)
    assert settings.text == BEFORE


async def test_a_server_that_is_not_published_is_told(
    shell: Shell, registry: str, settings: Settings
) -> None:
    done = await shell.run("mcp", "add", "io.github.bob/none", "--registry", registry)
    assert (done.status, "has no such server" in done.err) == (2, True)
    assert settings.text == BEFORE


async def test_a_server_is_removed_and_nothing_else(shell: Shell, settings: Settings) -> None:
    after = '\n# After.\n[tasks.default]\ntimeout = "1m"\n'
    settings.write(BEFORE + '\n[mcp.a]\ncommand = "x"\n[mcp.a.env]\nX = "1"\n' + after.lstrip("\n"))
    await shell.run("mcp", "remove", "a")
    assert settings.text == BEFORE + '\n[tasks.default]\ntimeout = "1m"\n'


async def test_a_server_that_is_written_inline_is_left_to_a_person(
    shell: Shell, settings: Settings
) -> None:
    settings.write(BEFORE + '[mcp]\na = { command = "x" }\n')
    done = await shell.run("mcp", "remove", "a")
    assert (done.status, "take it out by hand" in done.err) == (2, True)


async def test_servers_are_looked_at(shell: Shell, settings: Settings) -> None:
    settings.write(BEFORE + peer_table())
    done = await shell.run("mcp", "list", "--json")
    (state,) = done.page
    assert (state["status"], state["protocol_version"], state["tools"]) == (
        "running",
        "2026-07-28",
        2,
    )
    assert state["unusable"]["a/b"] == "another tool of the list would be called 'a_b' too"


async def test_servers_that_cannot_be_started_are_shown_with_the_reason(
    shell: Shell, settings: Settings
) -> None:
    settings.write(BEFORE + '[mcp.gone]\ncommand = "no-such-program"\n')
    done = await shell.run("mcp", "list")
    assert "there is no program 'no-such-program'" in done.out


async def test_servers_of_a_running_gate_are_shown_and_restarted(
    shell: Shell, settings: Settings
) -> None:
    worker = '[agents.worker]\nkey = "env:WORKER"\ntools = ["peer.*"]\n'
    settings.write(worker + peer_table())
    async with shell.serving(environ={"WORKER": "the-workers-key"}) as gate:
        environ = {"CALLGATE_URL": gate.url, "CALLGATE_KEY": "the-workers-key"}
        # A restart waits until the server runs.
        again = await shell.run("mcp", "restart", "peer", "--json", environ=environ)
        (state,) = (await shell.run("mcp", "list", "--json", environ=environ)).page
        other = await shell.run("mcp", "restart", "none", environ=environ)
    assert again.page[0]["status"] == "running"
    assert (state["name"], state["tools"]) == ("peer", 2)
    assert "may call no tool of an MCP server 'none'" in other.err


async def test_a_person_logs_in_at_the_address_that_is_shown(
    shell: Shell, settings: Settings
) -> None:
    authority = Authority()
    async with guarded(authority) as url:
        settings.write(f'{BEFORE}[mcp.far]\nurl = "{url}"\noauth = {{}}\n')
        process = await shell.start("mcp", "login", "far")
        assert process.stderr is not None
        address = (await process.stderr.readline()).decode().split()[-1]
        async with aiohttp.ClientSession() as browser, browser.get(address) as reply:
            assert "you can close this page" in await reply.text()
        done = await ended(process)
        (state,) = (await shell.run("mcp", "list", "--json")).page
    assert (done.status, state["status"]) == (0, "running")
    assert "far may be used: 22 tools" in done.err


async def test_a_registry_that_is_not_there_is_told_with_what_to_do_instead(shell: Shell) -> None:
    done = await shell.run("mcp", "search", "git", "--registry", "http://127.0.0.1:9")
    assert done.status == 2
    assert "cannot be reached" in done.err
    assert "callgate mcp add NAME -- PROGRAM" in done.err


async def test_settings_without_servers_say_how_to_add_one(shell: Shell) -> None:
    shell.write("callgate.toml", "")
    done = await shell.run("mcp", "list")
    assert (done.status, done.out) == (0, "")
    assert "callgate mcp add" in done.err
