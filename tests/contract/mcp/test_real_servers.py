"""Servers as they are published, each started by its usual command."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callgate.tools.mcp.toolset import McpToolset
from tests.contract.mcp.conftest import Bench, eventually, invocation
from tests.contract.mcp.installed import node_servers, python_servers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def path(pipes: Bench) -> None:
    """Let the servers find Node and git, as they would at anybody's."""
    pipes.environ["PATH"] = os.environ["PATH"]


async def node(bench: Bench, package: str, *args: str) -> McpToolset:
    """Return the tools of a server in JavaScript, started by npx as its page says."""
    toolset = bench.toolset(
        command="npx",
        args=("--offline", f"@modelcontextprotocol/{package}", *args),
        cwd=node_servers(),
        trust=True,
    )
    await toolset.ready()
    return toolset


async def python(
    bench: Bench, program: str, *args: str, pins: str = "python", **policy: str
) -> McpToolset:
    """Return the tools of a server in Python."""
    toolset = bench.toolset(
        command=str(python_servers(pins) / program), args=args, trust=True, **policy
    )
    await toolset.ready()
    return toolset


def version(toolset: McpToolset) -> str | None:
    return toolset.states[0].protocol_version


async def test_time_tells_the_time(pipes: Bench) -> None:
    toolset = await python(pipes, "mcp-server-time", "--local-timezone", "UTC")
    result = await toolset.call(invocation(toolset, "get_current_time", timezone="Europe/Zurich"))
    assert version(toolset) == "2026-07-28"
    assert result.structured["timezone"] == "Europe/Zurich"


async def test_time_says_what_is_wrong_with_an_argument(pipes: Bench) -> None:
    toolset = await python(pipes, "mcp-server-time")
    result = await toolset.call(invocation(toolset, "get_current_time", timezone="Mars/Olympus"))
    assert result.is_error
    assert "pydantic.dev" not in result.text


async def test_the_same_server_in_another_time_zone_has_other_definitions(pipes: Bench) -> None:
    digests: set[str] = set()
    for zone in ("UTC", "Asia/Tokyo"):
        toolset = await python(pipes, "mcp-server-time", "--local-timezone", zone)
        assert toolset.listing is not None
        digests.add(toolset.listing.digest)
    assert len(digests) == 2


@pytest.fixture
def repository(pipes: Bench) -> Path:
    subprocess.run(["git", "init", "-q", str(pipes.folder / "repo")], check=True)
    return pipes.folder / "repo"


async def test_git_reads_a_repository(pipes: Bench, repository: Path) -> None:
    toolset = await python(pipes, "mcp-server-git")
    result = await toolset.call(invocation(toolset, "git_status", repo_path=str(repository)))
    assert "No commits yet" in result.text
    effects = {tool.remote_name: tool.effect for tool in toolset.tools()}
    assert (effects["git_log"], effects["git_reset"]) == ("read", "destructive")


async def test_sqlite_of_the_older_generation_writes_and_reads(pipes: Bench) -> None:
    toolset = await python(
        pipes, "mcp-server-sqlite", "--db-path", str(pipes.folder / "x.db"), pins="python-2025"
    )
    for query in ("CREATE TABLE t (a)", "INSERT INTO t VALUES (7)"):
        tool = "create_table" if query.startswith("CREATE") else "write_query"
        await toolset.call(invocation(toolset, tool, query=query))
    result = await toolset.call(invocation(toolset, "read_query", query="SELECT a FROM t"))
    assert (version(toolset), "7" in result.text) == ("2025-11-25", True)
    assert {tool.effect for tool in toolset.tools()} == {"destructive"}


async def test_filesystem_reads_where_it_may_and_nowhere_else(pipes: Bench) -> None:
    (pipes.folder / "note.txt").write_text("remember")
    toolset = await node(pipes, "server-filesystem", str(pipes.folder))
    inside = invocation(toolset, "read_text_file", path=str(pipes.folder / "note.txt"))
    outside = invocation(toolset, "read_text_file", path="/etc/hostname")
    assert (await toolset.call(inside)).text == "remember"
    assert (await toolset.call(outside)).is_error


async def test_memory_remembers(pipes: Bench) -> None:
    toolset = await node(pipes, "server-memory")
    entity = {"name": "Ann", "entityType": "person", "observations": ["likes tea"]}
    await toolset.call(invocation(toolset, "create_entities", entities=[entity]))
    result = await toolset.call(invocation(toolset, "open_nodes", names=["Ann"]))
    assert result.structured["entities"][0]["observations"] == ["likes tea"]


async def test_everything_over_pipes(pipes: Bench) -> None:
    told: list[float] = []

    async def note(progress: float, _total: float | None, _word: str | None) -> None:
        told.append(progress)

    toolset = await node(pipes, "server-everything")
    long = invocation(
        toolset, "trigger-long-running-operation", duration=0.2, steps=4, on_progress=note
    )
    assert "completed" in (await toolset.call(long)).text
    assert told == [1.0, 2.0, 3.0, 4.0]
    assert (await toolset.call(invocation(toolset, "get-sum", a=2, b=3))).text.startswith(
        "The sum of 2 and 3 is 5"
    )
    picture = await toolset.call(invocation(toolset, "get-tiny-image"))
    assert "image" in {block["type"] for block in picture.content}


async def test_everything_tells_its_environment_without_secrets(pipes: Bench) -> None:
    pipes.environ["TOKEN"] = "s3cret-canary-0123456789"
    toolset = pipes.toolset(
        command="npx", args=("--offline", "@modelcontextprotocol/server-everything"), cwd=node_servers(),
        env={"SERVICE_TOKEN": "env:TOKEN"},
    )  # fmt: skip
    await toolset.ready()
    said = json.loads((await toolset.call(invocation(toolset, "get-env"))).text)
    assert said["SERVICE_TOKEN"] == "***"
    assert "OPENAI_API_KEY" not in said


async def test_nothing_of_npx_is_left_when_the_gate_is_done(pipes: Bench) -> None:
    toolset = await node(pipes, "server-everything")
    assert processes_in(node_servers()) != []
    await toolset.close()
    await eventually(lambda: processes_in(node_servers()) == [])


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """Where server-everything listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    server = await asyncio.create_subprocess_exec(
        "node", "node_modules/@modelcontextprotocol/server-everything/dist/index.js", "streamableHttp",
        cwd=node_servers(), env={**os.environ, "PORT": str(port)}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert server.stderr is not None
    while b"listening" not in await server.stderr.readline():
        pass
    yield f"http://127.0.0.1:{port}/mcp"
    server.kill()
    await server.communicate()


async def test_everything_over_http(pipes: Bench, url: str) -> None:
    toolset = pipes.toolset(url=url)
    await toolset.ready()
    result = await toolset.call(invocation(toolset, "echo", message="over HTTP"))
    assert (version(toolset), result.text) == ("2025-11-25", "Echo: over HTTP")


async def test_everything_asks_over_http_and_is_answered(pipes: Bench, url: str) -> None:
    async def answer(_: object) -> dict[str, object]:
        return {"action": "accept", "content": {"name": "Ann"}}

    toolset = pipes.toolset(url=url)
    await toolset.ready()
    call = invocation(toolset, "trigger-elicitation-request", on_question=answer)
    assert "Ann" in (await toolset.call(call)).text


def processes_in(folder: Path) -> list[str]:
    """Return the processes that run in a folder."""
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found.append(process.name)
        except OSError:
            continue
    return found
