"""A PostgreSQL server of a test's own, which it may kill."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import psycopg
import pytest

from tests.contract.store.places import REQUIRE
from tests.soak.watch import until

HOMES: Final = Path("/usr/lib/postgresql")
"""Where Debian keeps the programs of each version."""

OWNERS: Final = ("postgres", "nobody")
"""Who runs a server where the test is root, which no server does."""


class Server:
    """A server in a folder, reached by a socket there.

    Args:
        programs: Where ``initdb`` and ``postgres`` are.
        folder: An empty folder of the owner's.
        owner: Who runs it; None for whoever runs the test.
    """

    def __init__(self, programs: Path, folder: Path, owner: str | None) -> None:
        self._programs = programs
        self._folder = folder
        self._owner = owner
        self._process: Process | None = None
        self.url = f"postgresql://callgate@/postgres?host={folder}"

    async def make(self) -> None:
        """Make an empty database."""
        child = await self._run(
            "initdb", "-D", "data", "-A", "trust", "-E", "UTF8", "--no-locale", "-U", "callgate"
        )
        assert await child.wait() == 0

    async def start(self) -> None:
        """Start it, and wait until it answers; it repairs what a crash has left."""
        self._process = await self._run(
            "postgres", "-D", "data", "-k", str(self._folder), "-c", "listen_addresses=",
            "-c", "fsync=on", "-c", "max_connections=100",
        )  # fmt: skip
        await self.answers()

    async def answers(self) -> None:
        """Wait until it answers."""
        async with asyncio.timeout(30):
            await until(self._answers)

    async def kill(self) -> None:
        """Kill the server; its children see it and go too."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()

    async def crash(self) -> None:
        """Kill one of its children, as a system does that is out of memory: it begins anew."""
        with psycopg.connect(self.url, autocommit=True) as victim:
            os.kill(victim.info.backend_pid, signal.SIGKILL)
            with suppress(psycopg.Error):
                victim.execute("SELECT pg_sleep(10)")
        await self.answers()

    async def stop(self) -> None:
        """Stop it at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGQUIT)
            await self._process.wait()

    async def _run(self, program: str, *arguments: str) -> Process:
        return await asyncio.create_subprocess_exec(
            str(self._programs / program), *arguments, cwd=self._folder, user=self._owner,
            stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL,
        )  # fmt: skip

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url).close()
        except psycopg.Error:
            return False
        return True


@asynccontextmanager
async def own_server() -> AsyncGenerator[Server]:
    """Start a server; skip where its programs are missing, unless it is required."""
    programs = find_programs()
    # Not the test's own folder, which nobody else may enter.
    folder = Path(tempfile.mkdtemp(prefix="callgate-postgresql-"))
    owner = find_owner()
    if owner is not None:
        shutil.chown(folder, owner)
    server = Server(programs, folder, owner)
    try:
        await server.make()
        await server.start()
        yield server
    finally:
        await server.stop()
        shutil.rmtree(folder)


def find_programs() -> Path:
    """Return where the newest server of this machine has its programs."""
    found = shutil.which("initdb")
    homes: Sequence[Path] = sorted(HOMES.glob("*/bin"), key=lambda path: int(path.parent.name))
    if found is not None:
        return Path(found).parent
    if homes:
        return homes[-1]
    told = "no PostgreSQL to start: initdb is not there"
    if "postgresql" in os.environ.get(REQUIRE, "").split(","):
        pytest.fail(f"{told}, and {REQUIRE} requires it")
    pytest.skip(told)


def find_owner() -> str | None:
    """Return who is to run a server; None for whoever runs the test."""
    if os.getuid() != 0:
        return None
    return next(name for name in OWNERS if _is_known(name))


def _is_known(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
