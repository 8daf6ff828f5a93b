"""A reader who hangs up: the road reads on for a while, then lets go of the provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from callgate.call import Meter, Reply
from callgate.errors import ClientLeft
from callgate.money import Money
from callgate.pipeline import ModelPassage
from callgate.providers import Outgoing
from callgate.testing.fakes import Answer
from tests.unit.pipeline.road import Road, open_road, whole


class Endless:
    """A provider whose stream begins, and never goes on."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.cancelled = False

    @asynccontextmanager
    async def open(self, _outgoing: Outgoing, /) -> AsyncGenerator[Reply]:
        try:
            yield Reply(status=200, headers=(), chunks=self._chunks(), meter=Meter())
        except asyncio.CancelledError:
            self.cancelled = True
            raise

    async def _chunks(self) -> AsyncGenerator[bytes]:
        yield b"a"
        self.began.set()
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Nothing is open."""


@asynccontextmanager
async def reading_endlessly(
    path: Path,
) -> AsyncGenerator[tuple[Road, Endless, ModelPassage, asyncio.Task[None]]]:
    """Open a road whose only reader waits for a stream that never ends."""
    endless = Endless()
    async with open_road(path, make_provider=lambda _policy: endless) as road:
        passage = road.passage()

        async def read() -> None:
            async with road.gate.road(passage) as reply:
                await whole(reply)

        reader = asyncio.create_task(read())
        await endless.began.wait()
        yield road, endless, passage, reader


async def test_a_drain_that_takes_too_long_cancels_the_provider(tmp_path: Path) -> None:
    async with reading_endlessly(tmp_path) as (road, endless, passage, reader):
        passage.leave(0.0)
        with pytest.raises(ClientLeft, match="did not finish in time"):
            await reader
        assert endless.cancelled
        attempt = road.last.attempts[0]
        assert (road.last.state, attempt.cost) == ("left", attempt.reserved)
        assert road.spent()[1] == Money()


async def test_who_left_twice_has_left_once(tmp_path: Path) -> None:
    async with reading_endlessly(tmp_path) as (_, _, passage, reader):
        passage.leave(0.0)
        passage.leave(1_000.0)
        with pytest.raises(ClientLeft):
            await reader


async def test_a_caller_that_is_cancelled_for_another_reason_stays_cancelled(
    tmp_path: Path,
) -> None:
    async with reading_endlessly(tmp_path) as (road, _, _, reader):
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert (road.last.state, road.last.code) == ("left", "client_left")


async def test_a_drain_ends_nothing_once_the_call_has_ended(tmp_path: Path) -> None:
    async with open_road(tmp_path, Answer(chunks=(b"a",))) as road:
        passage = road.passage()
        async with road.gate.road(passage) as reply:
            passage.leave(1_000.0)
            assert await whole(reply) == b"a"
        assert passage.drain is not None
        assert (passage.drain.cancelled(), road.last.state) == (True, "ok")


async def test_who_leaves_before_the_road_begins_leaves_nothing_to_cancel(tmp_path: Path) -> None:
    async with open_road(tmp_path, Answer()) as road:
        passage = road.passage()
        passage.leave(0.0)
        await road.read(passage)
        assert (passage.left, road.last.state) == (False, "ok")
