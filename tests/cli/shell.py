"""The real program, started as a process in an empty folder with an empty home."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from callgate.testing.simulator import Simulator

PYTHON = sys.executable
CALLGATE = (PYTHON, "-m", "callgate")

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def page(self) -> Any:
        """The JSON that it printed."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Shell:
    """Somebody who types commands."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict[str, str])

    def write(self, name: str, text: str) -> Path:
        """Write a file into the folder."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    async def start(
        self, *args: str, environ: Mapping[str, str] | None = None, via: tuple[str, ...] = ()
    ) -> Process:
        """Start a command of callgate, without a terminal, in a group of its own.

        Args:
            args: The command's arguments.
            environ: Variables besides those of the shell.
            via: A program that starts it.
        """
        return await asyncio.create_subprocess_exec(
            *via, *CALLGATE, *args,
            cwd=self.folder, env={**self.environ, **(environ or {})},
            stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True,
        )  # fmt: skip

    async def run(
        self, *args: str, environ: Mapping[str, str] | None = None, typed: bytes = b""
    ) -> Done:
        """Run a command of callgate to its end.

        Args:
            args: The command's arguments.
            environ: Variables besides those of the shell.
            typed: What it reads from standard input.
        """
        return await ended(await self.start(*args, environ=environ), typed=typed)

    @asynccontextmanager
    async def serving(
        self, *args: str, environ: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Serving]:
        """Run ``callgate serve`` at a free port; it is stopped at the end of the block."""
        process = await self.start("serve", "--port", "0", *args, environ=environ)
        assert process.stderr is not None
        said, found = "", None
        while found is None:
            line = (await process.stderr.readline()).decode()
            said += line
            assert line, f"it never said where it serves:\n{said}"
            found = re.search(r"serves at (http://\S+)", line)
        try:
            yield Serving(process, found[1])
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await process.communicate()


@dataclass(frozen=True)
class Serving:
    """A gate that is being served."""

    process: Process
    url: str

    async def says(self, text: str) -> str:
        """Read what it says on standard error up to a line with ``text`` in it."""
        assert self.process.stderr is not None
        read = ""
        while text not in read:
            line = await self.process.stderr.readline()
            assert line, f"{text!r} was never said:\n{read}"
            read += line.decode()
        return read


async def ended(process: Process, *, typed: bytes = b"") -> Done:
    """Wait for the end of a process, and return what it printed."""
    out, err = await process.communicate(typed)
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of somebody who has nothing but the program."""
    return {"HOME": str(folder), "PATH": f"{Path(PYTHON).parent}{os.pathsep}{os.defpath}"}


def keys_of(simulator: Simulator) -> dict[str, str]:
    """Return the variables that make the simulator one's provider."""
    return {
        "OPENAI_API_KEY": "sk-real-openai",
        "OPENAI_BASE_URL": simulator.openai_url,
        "ANTHROPIC_API_KEY": "sk-real-anthropic",
        "ANTHROPIC_BASE_URL": simulator.anthropic_url,
    }


AGENT_KEY = "the-workers-key"
SECRETS = {"MY_OPENAI": "sk-real-openai", "WORKER": AGENT_KEY}
"""What the settings below refer to."""


def settings_of(simulator: Simulator, more: str = "") -> str:
    """Return a settings file whose provider is the simulator."""
    return f"""
[providers.openai]
api = "openai"
base_url = "{simulator.openai_url}"
key = "env:MY_OPENAI"
[models.smart]
use = ["openai:gpt-5.5"]
[agents.worker]
key = "env:WORKER"
models = ["smart", "openai:gpt-*"]
[tasks.default]
budget = "$0.50"
timeout = "10m"
{more}"""


Page = dict[str, "Page"] | list["Page"] | str | int | float | None


def breaks_field_rules(page: Page, name: str = "") -> list[str]:
    """Return the fields of a JSON page that are not as every listing promises."""
    if isinstance(page, dict):
        return [bad for key, value in page.items() for bad in breaks_field_rules(value, key)]
    if isinstance(page, list):
        return [bad for value in page for bad in breaks_field_rules(value, name)]
    if name.endswith("_nano_usd"):
        holds = isinstance(page, int)
    elif name.endswith("_at"):
        holds = isinstance(page, str) and INSTANT.fullmatch(page) is not None
    elif name.endswith("_seconds"):
        holds = isinstance(page, float)
    else:
        holds = not isinstance(page, float)
    return [] if holds or page is None else [f"{name} = {page!r}"]
