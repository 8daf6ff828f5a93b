"""Other gateways, at pinned versions, installed on request into folders of their own.

None of them holds a budget here, writes a durable record, or talks to a database: they run as their
quick start says, which is their cheapest.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from bench.gateways import AGENT_KEY, ROOT, Gateway, answering, free_port

HOMES: Final = ROOT / ".venvs"

LITELLM: Final = "1.106.2"
"""The newest that installs from the usual index, with ``mcp``, which its proxy needs besides."""

PORTKEY: Final = "1.15.2"

LITELLM_SETTINGS: Final = """\
model_list:
  - model_name: gpt-5.5
    litellm_params:
      model: openai/gpt-5.5
      api_base: {upstream}/v1
      api_key: key
general_settings:
  master_key: {key}
"""


async def install() -> None:
    """Install what is not there; it takes some minutes and a network.

    Raises:
        RuntimeError: An installation failed; its own output says why.
    """
    await install_litellm()
    home = HOMES / f"portkey-{PORTKEY}"
    if not (home / "ready").exists():
        print(f"installing portkey {PORTKEY} ...", flush=True)
        home.mkdir(parents=True, exist_ok=True)
        npm = ("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(home))
        await _run(*npm, f"@portkey-ai/gateway@{PORTKEY}")
        (home / "ready").touch()


async def install_litellm() -> None:
    """Install LiteLLM's proxy if it is not there.

    Raises:
        RuntimeError: It failed; its own output says why.
    """
    home = HOMES / f"litellm-{LITELLM}"
    if not (home / "ready").exists():
        print(f"installing litellm {LITELLM} ...", flush=True)
        await _run(sys.executable, "-m", "venv", str(home))
        pip = (str(home / "bin/pip"), "install", "--quiet", "--disable-pip-version-check")
        await _run(*pip, f"litellm[proxy]=={LITELLM}", "mcp")
        (home / "ready").touch()


@asynccontextmanager
async def litellm(upstream: str) -> AsyncGenerator[Gateway]:
    """Run LiteLLM's proxy with one worker and no database."""
    home, port = HOMES / f"litellm-{LITELLM}", free_port()
    config = home / "bench.yaml"
    config.write_text(LITELLM_SETTINGS.format(upstream=upstream, key=AGENT_KEY))
    command = (str(home / "bin/litellm"), "--config", str(config), "--port", str(port))
    headers = (("authorization", f"Bearer {AGENT_KEY}"),)
    async with _serving((*command, "--num_workers", "1"), port) as child:
        name = f"LiteLLM {LITELLM}"
        yield Gateway(name=name, origin=_origin(port), headers=headers, pid=child.pid)


@asynccontextmanager
async def portkey(upstream: str) -> AsyncGenerator[Gateway]:
    """Run Portkey's gateway."""
    home, port = HOMES / f"portkey-{PORTKEY}", free_port()
    start = home / "node_modules/@portkey-ai/gateway/build/start-server.js"
    node = shutil.which("node")
    if node is None:
        msg = "Portkey's gateway needs node on the PATH"
        raise RuntimeError(msg)
    headers = (
        ("authorization", "Bearer key"),
        ("x-portkey-provider", "openai"),
        ("x-portkey-custom-host", f"{upstream}/v1"),
    )
    async with _serving((node, str(start), f"--port={port}", "--headless"), port) as child:
        name = f"Portkey {PORTKEY}"
        yield Gateway(name=name, origin=_origin(port), headers=headers, pid=child.pid)


@asynccontextmanager
async def _serving(command: Sequence[str], port: int) -> AsyncGenerator[Process]:
    environ = {**os.environ, "LITELLM_TELEMETRY": "False", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    child = await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, env=environ, cwd=HOMES
    )
    try:
        await answering(_origin(port))
        yield child
    finally:
        child.terminate()
        await child.wait()


def _origin(port: int) -> str:
    return f"http://127.0.0.1:{port}"


async def _run(*command: str) -> None:
    child = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL)
    if await child.wait():
        msg = f"{Path(command[0]).name} could not install what the comparison needs"
        raise RuntimeError(msg)
