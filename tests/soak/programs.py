"""Programs of Callgate as real processes, which a test may kill."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Mapping
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
    async def start(cls, *arguments: str, folder: Path, environ: Mapping[str, str]) -> Program:
        """Start it; it may be killed before it serves."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "callgate", *arguments, cwd=folder, stdout=PIPE, stderr=STDOUT,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), **environ},
        )  # fmt: skip
        return cls(process)

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
        self._process.terminate()
        await self._listening
        return await self._process.wait()

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.said.append(line.decode(errors="replace"))
            found = SERVES_AT.search(line)
            if found and not self._url.done():
                self._url.set_result(found[1].decode())
