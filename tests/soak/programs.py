"""Programs of Callgate as real processes, which a test may kill."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SERVES_AT = re.compile(rb"serves at (http://\S+)")


class Program:
    """A command of ``callgate`` that serves at a URL, and what it has said."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._listening = asyncio.ensure_future(self._listen())
        self.said: list[str] = []

    @classmethod
    async def start(
        cls,
        *arguments: str,
        folder: Path,
        environ: Mapping[str, str],
        under: Sequence[str] = (),
        module: str = "callgate",
    ) -> Program:
        """Start it, perhaps under another program; it may be killed before it serves."""
        process = await asyncio.create_subprocess_exec(
            *under, sys.executable, "-m", module, *arguments,
            cwd=folder, stdout=PIPE, stderr=STDOUT,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), **environ},
        )  # fmt: skip
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.returncode is None

    async def url(self) -> str:
        """Wait until it serves, and return where."""
        either: list[asyncio.Future[Any]] = [self._url, self._listening]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        assert self._url.done(), f"it ended before it served: {self.said}"
        return self._url.result()

    async def kill(self) -> None:
        """End it by SIGKILL, in the middle of whatever it does."""
        self._process.kill()
        await self._listening
        await self._process.wait()

    async def stop(self) -> int:
        """End it by SIGTERM; return its exit status."""
        self._process.send_signal(signal.SIGTERM)
        return await self.end()

    async def end(self) -> int:
        """Wait until it has ended; return its exit status."""
        await self._listening
        return await self._process.wait()

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.said.append(line.decode(errors="replace"))
            found = SERVES_AT.search(line)
            if found and not self._url.done():
                self._url.set_result(found[1].decode())


class Programs:
    """Starts programs in a folder, and sees to it that none outlives its test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._all: list[Program] = []

    async def start(
        self,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        under: Sequence[str] = (),
        module: str = "callgate",
    ) -> Program:
        """Start one."""
        program = await Program.start(
            *arguments, folder=self.folder, environ=environ or {}, under=under, module=module
        )
        self._all.append(program)
        return program

    async def run(self, *arguments: str) -> str:
        """Run one to its end, and return what it said."""
        program = await self.start(*arguments)
        status = await program.end()
        said = "".join(program.said)
        assert status == 0, said
        return said

    async def kill_all(self) -> None:
        """Kill what still runs."""
        for program in self._all:
            if program.runs:
                await program.kill()
