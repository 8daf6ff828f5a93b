"""A server that runs as a process of this gate: started alone, heard, and ended with all it started."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar, cast

import msgspec

from callgate.clock import Clock
from callgate.tools.mcp.disguise import Disguise
from callgate.tools.mcp.valve import Valve

INHERITED: Final = ("HOME", "LANG", "LC_ALL", "PATH", "TZ")
"""What a server gets of the gate's environment; everything else is named in the settings."""

GRACE_SECONDS: Final = 2.0
"""How long a server may take to end by itself when its input ends, and again when it is told to.

Source: specification of MCP 2025-11-25, basic/lifecycle, "Shutdown" of stdio: close its input,
wait, SIGTERM, wait, SIGKILL.
"""

POLL_SECONDS: Final = 0.02

LINES_PER_PERIOD: Final = 20
PERIOD_SECONDS: Final = 10.0
"""Of what a server writes to its standard error, so many lines are logged in so much time."""

LONGEST_LINE: Final = 2_000
STDERR_BYTES_PER_SECOND: Final = 1_000_000
CHUNK_BYTES: Final = 65_536

Pipe = TypeVar("Pipe")

log = logging.getLogger("callgate.mcp")


class CannotStart(Exception):
    """There is no such program, or it may not be run."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What to start, and in which surroundings."""

    server: str
    """The server's name, for the log."""
    program: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    """The whole environment."""
    cwd: Path


def least_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the little of the gate's environment that every program may know."""
    return {name: environ[name] for name in INHERITED if name in environ}


class ServerProcess:
    """A running server, with every process below it.

    Args:
        process: The leader of its process group.
        command: What was started.
        disguise: Hides its credentials from the log.
        clock: What time it is.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        command: Command,
        *,
        disguise: Disguise,
        clock: Clock,
    ) -> None:
        self._process = process
        self._clock = clock
        self._ear = _Ear(command.server, disguise, clock)
        self._listener = asyncio.create_task(self._ear.listen(_pipe(process.stderr)))

    @classmethod
    async def start(cls, command: Command, *, disguise: Disguise, clock: Clock) -> ServerProcess:
        """Start a server in a session, and so a process group, of its own.

        Raises:
            CannotStart: There is no such program, or it may not be run.
        """
        program = _find(command)
        try:
            process = await asyncio.create_subprocess_exec(
                *await _tied(program, command),
                *command.args,
                env=dict(command.env),
                cwd=command.cwd,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            msg = f"{program} cannot be started: {error}"
            raise CannotStart(msg) from error
        return cls(process, command, disguise=disguise, clock=clock)

    @property
    def pid(self) -> int:
        """The number of the leader, and of its group."""
        return self._process.pid

    @property
    def status(self) -> str:
        """How it ended, in words; or that it did not."""
        code = self._process.returncode
        if code is None:
            return "still running"
        return f"ended by signal {-code}" if code < 0 else f"ended with status {code}"

    @property
    def last_words(self) -> str:
        """What it wrote last to its standard error, to be put after how it ended."""
        return f", and said last: {self._ear.last}" if self._ear.last else ""

    @property
    def output(self) -> asyncio.StreamReader:
        """What it says."""
        return _pipe(self._process.stdout)

    @property
    def input(self) -> asyncio.StreamWriter:
        """What is said to it."""
        return _pipe(self._process.stdin)

    async def end(self) -> None:
        """Close its input, wait, and end whatever is left of its group."""
        with suppress(OSError):
            self.input.close()
        if not await self._gone(GRACE_SECONDS, group=False):
            self._signal(signal.SIGTERM)
            await self._gone(GRACE_SECONDS, group=True)
        # A wrapper such as npx may be gone, and what it started not.
        self._signal(signal.SIGKILL)
        await self._gone(GRACE_SECONDS, group=True)
        self._listener.cancel()
        await asyncio.wait([self._listener])

    async def _gone(self, seconds: float, *, group: bool) -> bool:
        """Return whether it ends in time; with its whole group, or by itself.

        It is looked at now and then: waiting for its end would wait for its pipes too, which
        another process may hold.
        """
        until = self._clock.monotonic() + seconds
        while self._process.returncode is None or (group and self._signal(0)):
            if self._clock.monotonic() >= until:
                return False
            await self._clock.sleep(POLL_SECONDS)
        return True

    def _signal(self, number: int) -> bool:
        """Send a signal to the whole group, and return whether there is one."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            # macOS says so of a group in which nobody lives.
            return False
        return True


class _Ear:
    """Logs what a server writes to its standard error: redacted, and not more than somebody reads."""

    def __init__(self, server: str, disguise: Disguise, clock: Clock) -> None:
        self._server = server
        self._disguise = disguise
        self._clock = clock
        self._valve = Valve(clock, STDERR_BYTES_PER_SECOND)
        self._began_at = clock.monotonic()
        self._told = 0
        self._untold = 0
        self.last = ""

    async def listen(self, stream: asyncio.StreamReader) -> None:
        line = b""
        while chunk := await stream.read(CHUNK_BYTES):
            await self._valve.let_through(len(chunk))
            *lines, line = (line + chunk).split(b"\n")
            for each in lines:
                self._hear(each)
            line = line[:CHUNK_BYTES]
        if line:
            self._hear(line)
        self._sum_up()

    def _hear(self, line: bytes) -> None:
        text = self._disguise.text(line[:LONGEST_LINE].decode(errors="replace").rstrip())
        # What a server writes may try to look like a line of somebody else.
        text = text.encode("unicode_escape").decode()
        self.last = text or self.last
        now = self._clock.monotonic()
        if now - self._began_at >= PERIOD_SECONDS:
            self._sum_up()
            self._began_at, self._told = now, 0
        if self._told >= LINES_PER_PERIOD:
            self._untold += 1
            return
        self._told += 1
        log.info("%s says: %s", self._server, text)

    def _sum_up(self) -> None:
        if self._untold:
            log.info("%s said %d lines more, which are not shown", self._server, self._untold)
            self._untold = 0


def _pipe(pipe: Pipe | None) -> Pipe:
    """Return a pipe that was asked for, and so is there."""
    return cast("Pipe", pipe)


def _find(command: Command) -> str:
    """Return the file of the program; one that is written as a path is below the server's folder."""
    if not command.cwd.is_dir():
        msg = f"there is no folder {command.cwd}"
        raise CannotStart(msg)
    path = _search_path(command)
    is_path = os.sep in command.program
    wanted = str(command.cwd / command.program) if is_path else command.program
    found = shutil.which(wanted, path=path)
    if found is None:
        where = wanted if is_path else f"{command.program!r} in {path}"
        msg = f"there is no program {where}"
        raise CannotStart(msg)
    return found


def _search_path(command: Command) -> str:
    return command.env.get("PATH") or os.defpath


_ties: dict[str, tuple[str, ...]] = {}


async def _tied(program: str, command: Command) -> tuple[str, ...]:
    """Return what to run so that the server dies when the gate is killed, where that is possible.

    Source: setpriv(1) of util-linux 2.33, ``--pdeathsig``; busybox has one of that name without it.
    """
    path = _search_path(command)
    if path not in _ties:
        _ties[path] = await _tie(path) if sys.platform == "linux" else ()
    return (*_ties[path], program)


async def _tie(path: str) -> tuple[str, ...]:
    setpriv = shutil.which("setpriv", path=path)
    if setpriv is None:
        return ()
    tie = (setpriv, "--pdeathsig", "KILL", "--")
    silent = asyncio.subprocess.DEVNULL
    trial = await asyncio.create_subprocess_exec(
        *tie, setpriv, "--version", stdin=silent, stdout=silent, stderr=silent
    )
    return tie if await trial.wait() == 0 else ()
