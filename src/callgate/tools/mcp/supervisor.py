"""Keeps one connection to a server alive: starts it, starts it again, and gives it a rest."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final, Literal, cast

import httpx2
import msgspec
from mcp import MCPError
from mcp.client.auth import OAuthFlowError
from pydantic import ValidationError

from callgate.call import ToolResult
from callgate.clock import Clock
from callgate.errors import BadCredential, Failed, Forbidden, Misconfigured, Transient
from callgate.tools import Invocation
from callgate.tools.mcp.connection import Connection, Given, Unusable, connect
from callgate.tools.mcp.definitions import Listing
from callgate.tools.mcp.http import Trip, trip
from callgate.tools.mcp.oauth import NeedsLogin
from callgate.tools.mcp.process import CannotStart

FIRST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 60.0
"""How long it waits before it starts a server again: twice as long each time, between these."""

EAGER_TRIES: Final = 5
"""After so many failures on end a server rests, and is started again only for a call."""

STEADY_SECONDS: Final = 30.0
"""A server that has run so long has not failed at its start, whatever ends it."""

POLL_SECONDS: Final = 0.05

PATIENCE_SECONDS: Final = 15.0
"""How long a call waits for a server that is starting."""

RELIST_SECONDS: Final = 0.2
"""Changes of a list within so much time are looked at together."""

OF_LOGIN: Final = (NeedsLogin, OAuthFlowError)

WHAT_IT_DOES: Final = {
    CannotStart: "cannot be started",
    Unusable: "is not used",
    httpx2.HTTPError: "cannot be reached",
}

log = logging.getLogger("callgate.mcp")


class State(msgspec.Struct, frozen=True, kw_only=True):
    """How a connection is, for whoever looks after it."""

    status: Literal["stopped", "starting", "running", "waiting", "resting"]
    protocol_version: str | None = None
    """Which version of MCP is spoken, while it runs."""
    calls: int = 0
    """How many are under way."""
    starts: int = 0
    """How often it was started."""
    failure: str | None = None
    """What ended it last."""


class Supervisor:
    """Holds the one connection to a server for one credential.

    Args:
        name: What the settings call the server.
        give: Returns what a connection is made of, with every secret as it is now.
        publish: Takes each list of tools.
        start_timeout_seconds: How long it may take to start, and to tell its tools; one that takes
            longer is taken for dead.
        clock: What time it is.
        rng: Where jitter comes from.
    """

    def __init__(
        self,
        name: str,
        *,
        give: Callable[[], Given],
        publish: Callable[[Listing], None],
        start_timeout_seconds: float,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._name = name
        self._give = give
        self._publish = publish
        self._start_timeout_seconds = start_timeout_seconds
        self._clock = clock
        self._rng = rng
        self._task: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self._status: Literal["stopped", "starting", "running", "waiting", "resting"] = "stopped"
        self._failure: Failed | None = None
        self._failures = 0
        self._has_run = False
        self._is_looking = False
        self._starts = 0
        self._next_at = 0.0
        self._news = asyncio.Event()
        self._wanted = asyncio.Event()

    @property
    def state(self) -> State:
        """How it is now."""
        connection = self._connection
        return State(
            status=self._status,
            protocol_version=None if connection is None else connection.protocol_version,
            calls=0 if connection is None else connection.calls,
            starts=self._starts,
            failure=None if self._failure is None else self._failure.message,
        )

    def start(self) -> None:
        """Begin to connect, unless that has begun, or a rest is not over."""
        self._wanted.set()
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name=f"mcp {self._name}")

    def freshen(self) -> None:
        """Look soon whether the tools are still the same."""
        self.start()
        if self._connection is not None and not self._is_looking:
            self._connection.is_stale.set()

    async def settled(self) -> None:
        """Wait until it runs, or has failed."""
        self.start()
        while self._status not in {"running", "waiting", "resting"}:
            await self._news.wait()

    async def call(self, invocation: Invocation) -> ToolResult:
        """Make one call, once there is a connection.

        Raises:
            Failed: As :meth:`callgate.tools.Toolset.call` says.
        """
        connection = await self._ready(min(PATIENCE_SECONDS, invocation.timeout_seconds))
        return await connection.call(invocation)

    async def restart(self) -> None:
        """End the connection, and begin anew, as if nothing had failed."""
        await self.close()
        self._failures, self._failure = 0, None
        self.start()

    async def close(self, *, drain_seconds: float = 0.0) -> None:
        """End the connection, and the server with it.

        Args:
            drain_seconds: How long calls under way may take to end by themselves.
        """
        until = self._clock.monotonic() + drain_seconds
        while self.state.calls and self._clock.monotonic() < until:
            await self._clock.sleep(POLL_SECONDS)
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self._turn("stopped")

    async def _ready(self, patience_seconds: float) -> Connection:
        self.start()
        try:
            async with asyncio.timeout(patience_seconds):
                while True:
                    connection = self._connection
                    if connection is not None and not connection.is_lost.is_set():
                        return connection
                    if self._status in {"waiting", "resting"} and not self._has_run:
                        raise self._unavailable()
                    await self._news.wait()
        except TimeoutError:
            raise self._unavailable() from None

    def _unavailable(self) -> Failed:
        """Return why no call can be made now; nothing of it has been sent."""
        failure = self._failure
        if failure is None:
            msg = f"the MCP server {self._name} is still starting; nothing was sent"
            return Transient(msg, billed=False)
        if isinstance(failure, BadCredential):
            return type(failure)(failure.message, billed=False)
        wait = max(0.0, self._next_at - self._clock.monotonic())
        msg = f"{failure.message}; it is started again in {wait:.0f} s, and nothing was sent"
        return Transient(msg, billed=False, retry_after_seconds=wait)

    async def _keep(self) -> None:
        """Connect for ever, with waits that grow while it does not last."""
        while True:
            began_at = self._clock.monotonic()
            self._turn("starting")
            self._starts += 1
            self._has_run = False
            try:
                await self._live()
                self._failure = Transient(f"the MCP server {self._name} has ended", billed=False)
            except Exception as error:  # noqa: BLE001  (whatever it is, the gate and the others go on)
                self._failure = _meaning(self._name, error)
            finally:
                self._connection = None
            log.warning("%s", self._failure.message)
            if self._clock.monotonic() - began_at >= STEADY_SECONDS:
                self._failures = 0
            self._failures += 1
            await self._rest()

    async def _rest(self) -> None:
        """Wait for the next try; after many failures, until a call wants it too."""
        wait = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** (self._failures - 1))
        wait *= self._rng.uniform(0.75, 1)
        self._next_at = self._clock.monotonic() + wait
        is_tired = self._failures > EAGER_TRIES
        self._turn("resting" if is_tired else "waiting")
        await self._clock.sleep(wait)
        if is_tired:
            self._turn("waiting")
            self._wanted.clear()
            await self._wanted.wait()

    async def _live(self) -> None:
        """Connect, and stay connected as long as it lasts."""
        noted = Trip(is_new=True)
        token = trip.set(noted)
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(self._start_timeout_seconds):
                    connection = await stack.enter_async_context(connect(self._give(), self._clock))
                    found = await connection.tools()
                noted.is_new = False
                self._welcome(connection, found)
                await self._tend(connection)
        except Exception as error:
            _judge(self._name, error, noted)
            raise
        finally:
            trip.reset(token)

    def _welcome(self, connection: Connection, found: Listing) -> None:
        self._publish(found)
        self._connection = connection
        self._has_run = True
        self._failure = None
        self._turn("running")
        log.info(
            "the MCP server %s runs: MCP %s, %d tools",
            self._name,
            connection.protocol_version,
            len(found.definitions),
        )

    async def _tend(self, connection: Connection) -> None:
        """Ask for the tools again whenever they may have changed, until the connection is lost."""
        beside = [
            asyncio.create_task(self._hear(connection)),
            asyncio.create_task(self._look_when_stale(connection)),
        ]
        lost = asyncio.create_task(connection.is_lost.wait())
        try:
            looking = beside[-1]
            await asyncio.wait([lost, looking], return_when=asyncio.FIRST_COMPLETED)
            if looking.done():
                # It ends by an error only.
                looking.result()
        finally:
            self._connection = None
            for task in (*beside, lost):
                task.cancel()
            await asyncio.wait([*beside, lost])

    async def _look_when_stale(self, connection: Connection) -> None:
        while True:
            await connection.is_stale.wait()
            await self._look_again(connection)

    async def _look_again(self, connection: Connection) -> None:
        await self._clock.sleep(RELIST_SECONDS)
        connection.is_stale.clear()
        self._is_looking = True
        try:
            async with asyncio.timeout(self._start_timeout_seconds):
                self._publish(await connection.tools())
        except TimeoutError:
            msg = f"it does not even tell its tools within {self._start_timeout_seconds:g} s"
            raise Unusable(msg) from None
        except (MCPError, ValidationError, Unusable) as error:
            if connection.is_lost.is_set():
                return
            log.warning("%s; its tools stay as they were", _meaning(self._name, error).message)
        finally:
            self._is_looking = False

    async def _hear(self, connection: Connection) -> None:
        """Hear of changes, again and again: a subscription may break off."""
        while True:
            try:
                if not await connection.listen():
                    return
            except Exception as error:  # noqa: BLE001  (lists are asked for now and then all the same)
                log.debug("%s: the subscription to changes has ended: %r", self._name, error)
            await self._clock.sleep(LONGEST_WAIT_SECONDS)
            connection.is_stale.set()

    def _turn(
        self, status: Literal["stopped", "starting", "running", "waiting", "resting"]
    ) -> None:
        self._status = status
        news, self._news = self._news, asyncio.Event()
        news.set()


def _judge(server: str, error: Exception, noted: Trip) -> None:
    """Raise what the status of a new connection means, where the server rejects the credential."""
    rejected = {401: BadCredential, 403: Forbidden}.get(noted.status or 0)
    if rejected is None or not noted.is_new or isinstance(_leaf(error), OF_LOGIN):
        return
    msg = f"the MCP server {server} answered {noted.status}: it does not take the credential"
    raise rejected(msg, billed=False) from error


def _leaf(error: BaseException) -> BaseException:
    """Return the one error that a group of them is about."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


def _notes(error: BaseException) -> list[str]:
    """Return what was noted about an error, and about what it is about."""
    notes = list[str](getattr(error, "__notes__", ()))
    if isinstance(error, BaseExceptionGroup):
        notes += _notes(cast("BaseExceptionGroup[BaseException]", error).exceptions[0])
    return notes


def _meaning(server: str, error: BaseException) -> Failed:
    """Return why there is no connection, as a sentence."""
    note = "".join(f" ({each})" for each in _notes(error)[:1])
    error = _leaf(error)
    if isinstance(error, Failed):
        return error
    if isinstance(error, OF_LOGIN):
        why = f": {error}" if str(error) else ""
        msg = f"the MCP server {server} wants a token and there is none that it takes{why}; callgate mcp login {server} gets one"
        return BadCredential(msg, billed=False)
    if isinstance(error, Misconfigured):
        msg = f"the MCP server {server} has no credential: {error.message}"
        return BadCredential(msg, billed=False)
    return Transient(f"the MCP server {server} {_sentence(error)}{note}", billed=False)


def _sentence(error: BaseException) -> str:
    if isinstance(error, MCPError):
        return f"does not speak MCP: {error.error.message}"
    if isinstance(error, ValidationError):
        return f"lists tools that are none ({error.error_count()} mistakes)"
    if isinstance(error, TimeoutError):
        return "did not start in time"
    for kind, what in WHAT_IT_DOES.items():
        if isinstance(error, kind):
            return f"{what}: {error}"
    return f"failed: {type(error).__name__}: {error}"
