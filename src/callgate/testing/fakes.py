"""Fakes for the edges of the road: providers and tools that answer from a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from callgate.call import Meter, Reply, Tool, ToolResult, Usage
from callgate.money import Money
from callgate.providers import Outgoing
from callgate.tools import Invocation, Pinning

ANSWER = b'{"choices":[{"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}'


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a script: what the provider answers."""

    usage: Usage | None = Usage(input_tokens=10, output_tokens=5)
    """What it says it used; None says nothing."""
    chunks: Sequence[bytes | BaseException] | None = None
    """A stream; an exception among its pieces is raised there. None answers at once."""
    finished: bool = True
    """Whether the reply has its own end."""
    service_tier: str | None = None
    """How it says that it was served; None says nothing."""
    unpriced: str | None = None
    """What it tells of that is charged besides its tokens."""
    has_media: bool = False
    """Whether it counts tokens of pictures or sounds."""
    reported: Money | None = None
    """What it says that it cost."""
    counted_tokens: int | None = None
    """What it counts, where it is asked to."""
    body: bytes = ANSWER
    """What it answers, where that is no stream."""
    finish_reason: str | None = None
    """Why it ended, in its provider's word."""
    reply_id: str | None = None
    """What it is called; told at once, also in a stream."""


class Silence(msgspec.Struct, frozen=True):
    """One line of a script: the provider never answers."""


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a script: the tool tells how far it is, and answers in the end."""

    progress: Sequence[tuple[float, float | None, str | None]]
    """What it tells, one after the other."""
    result: ToolResult


class Asks(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a script: the tool asks something, and answers with what it is told."""

    params: Mapping[str, Any]
    """The question, in the words of MCP."""


ToolLine = ToolResult | Steps | Asks | Silence | BaseException | asyncio.Future[ToolResult]
"""One line of a tool's script; a future is waited for."""


class FakeProvider:
    """Plays its script line by line: an exception is raised, an answer is answered."""

    def __init__(self, *script: Answer | Silence | BaseException) -> None:
        self.script = list(script)
        self.sent: list[Outgoing] = []
        """What reached it."""
        self.closed = 0

    @asynccontextmanager
    async def open(self, outgoing: Outgoing, /) -> AsyncGenerator[Reply]:
        """Play the next line."""
        self.sent.append(outgoing)
        line = self.script.pop(0)
        if isinstance(line, BaseException):
            raise line
        if isinstance(line, Silence):
            await asyncio.get_running_loop().create_future()
            return
        meter = outgoing.meter
        meter.reply_id = line.reply_id
        if line.chunks is None:
            _finish(line, meter)
            yield Reply(status=200, headers=(), body=line.body, meter=meter)
        else:
            yield Reply(status=200, headers=(), chunks=_play(line, meter), meter=meter)

    async def close(self) -> None:
        """Count the closings."""
        self.closed += 1


class FakeToolset:
    """Tools that play one script, line by line: an exception is raised, a result is returned."""

    def __init__(
        self, *tools: Tool, script: Sequence[ToolLine] = (), pinning: Pinning | None = None
    ) -> None:
        self.pinning = pinning
        self.name = tools[0].toolset
        self.script = list(script)
        self.called: list[Invocation] = []
        """What reached them."""
        self.reached = asyncio.Event()
        """Set when the first call has reached them."""
        self.cancelled = asyncio.Event()
        """Set when a call in silence has been cancelled."""
        self.started = 0
        self.closed = 0
        self.unavailable: Mapping[str, str] = {}
        """Why some are not to be had."""
        self._tools = tools
        self._asked: asyncio.Future[ToolResult] | None = None

    def start(self) -> None:
        """Count the beginnings."""
        self.started += 1

    def tools(self) -> Sequence[Tool]:
        """Return them all."""
        return self._tools

    def lists(self, *tools: Tool) -> None:
        """Have other tools from now on."""
        self._tools = tools

    async def call(self, invocation: Invocation, /) -> ToolResult:
        """Play the next line."""
        self.called.append(invocation)
        self.reached.set()
        return await self._next(invocation)

    async def _next(self, invocation: Invocation | None = None) -> ToolResult:
        line = self.script.pop(0)
        if isinstance(line, BaseException):
            raise line
        if isinstance(line, Silence):
            self._asked = asyncio.get_running_loop().create_future()
            try:
                return await self._asked
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        if isinstance(line, Steps):
            await _tell(line, invocation)
            return line.result
        if isinstance(line, Asks):
            return await _asked(line, invocation)
        return line if isinstance(line, ToolResult) else await line

    def answer(self, result: ToolResult) -> None:
        """Break the silence, if somebody waits in it."""
        if self._asked is not None:
            self._asked.set_result(result)

    async def close(self) -> None:
        """Count the closings."""
        self.closed += 1


class FakeFollower(FakeToolset):
    """Tools whose far side goes on by itself: a call notes a job, and gets no answer.

    The script is what those get who follow the job.
    """

    def __init__(
        self, *tools: Tool, script: Sequence[ToolResult | Silence | BaseException] = ()
    ) -> None:
        super().__init__(*tools, script=script)
        self.followed: list[tuple[str, str]] = []
        """The jobs that were followed, each with its tool."""

    async def call(self, invocation: Invocation, /) -> ToolResult:
        """Note a job, and go on for ever."""
        self.called.append(invocation)
        if invocation.note_job is not None:
            await invocation.note_job(f"job_{len(self.called)}")
        self.reached.set()
        never: asyncio.Future[ToolResult] = asyncio.get_running_loop().create_future()
        return await never

    async def follow(self, job_id: str, tool: str, /) -> ToolResult:
        """Play the next line."""
        self.followed.append((job_id, tool))
        return await self._next()


async def _tell(line: Steps, invocation: Invocation | None) -> None:
    if invocation is not None and invocation.on_progress is not None:
        for step in line.progress:
            await invocation.on_progress(*step)


async def _asked(line: Asks, invocation: Invocation | None) -> ToolResult:
    if invocation is None or invocation.on_question is None:
        return ToolResult(structured={"asked": None})
    return ToolResult(structured={"asked": await invocation.on_question(line.params)})


async def _play(line: Answer, meter: Meter) -> AsyncIterator[bytes]:
    for piece in line.chunks or ():
        if isinstance(piece, BaseException):
            raise piece
        yield piece
    _finish(line, meter)


def _finish(line: Answer, meter: Meter) -> None:
    meter.usage, meter.finished = line.usage, line.finished
    meter.service_tier, meter.unpriced = line.service_tier, line.unpriced
    meter.has_media, meter.reported = line.has_media, line.reported
    meter.counted_tokens, meter.finish_reason = line.counted_tokens, line.finish_reason
