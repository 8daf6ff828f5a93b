"""Each kind of failure: how often it is sent, to whom, after which waits, and what is answered."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import msgspec
import pytest

from callgate.call import Reply
from callgate.errors import (
    BadCredential,
    BadRequest,
    BrokenReply,
    ClientLeft,
    Exhausted,
    Failed,
    Forbidden,
    NoSuchModel,
    OutOfCredit,
    RateLimited,
    StoreDown,
    TimedOut,
    Transient,
)
from callgate.money import Money
from callgate.pipeline.matrix import MATRIX, NOTHING, strategy_of
from callgate.providers import Outgoing
from callgate.testing.fakes import Answer, FakeProvider
from tests.unit.pipeline.road import Road, open_road, settings
from tests.unit.pipeline.test_leaving import Endless


async def set_task(road: Road, **changes: object) -> None:
    """Change what holds for tasks."""
    tasks = road.gate.settings.tasks
    changed = {"default": msgspec.structs.replace(tasks["default"], **changes)}
    await road.gate.reload(msgspec.structs.replace(road.gate.settings, tasks=changed))


def served(road: Road) -> list[str]:
    return [attempt.provider for attempt in road.last.attempts]


@pytest.mark.parametrize(
    ("failure", "tries", "falls_back"),
    [
        (Transient("500", billed=False), 3, True),
        (TimedOut("408", billed=True), 3, True),
        (RateLimited("429", billed=False), 3, True),
        (BadRequest("400", billed=False), 1, False),
        (NoSuchModel("404", billed=False), 1, True),
        (BadCredential("401", billed=False), 1, True),
        (Forbidden("403", billed=False), 1, True),
        (OutOfCredit("402", billed=False), 1, True),
    ],
)
async def test_a_failure_is_sent_as_often_as_the_matrix_says_and_then_elsewhere_or_nowhere(
    tmp_path: Path, failure: Failed, tries: int, falls_back: bool
) -> None:
    async with open_road(tmp_path, *[failure] * 3, second=(Answer(),)) as road:
        if falls_back:
            await road.ask("smart")
        else:
            with pytest.raises(type(failure)):
                await road.ask("smart")
        assert served(road) == ["first"] * tries + ["second"] * falls_back
        assert len(road.clock.waits) == tries - 1


@pytest.mark.parametrize("kind", list(MATRIX))
def test_what_is_sent_again_is_never_what_the_agent_must_correct(kind: type[Failed]) -> None:
    strategy = MATRIX[kind]
    assert not (strategy.corrects and (strategy.retries or strategy.falls_back))


def test_a_failure_of_no_known_kind_is_not_sent_again() -> None:
    assert strategy_of(Failed("strange", billed=True)) is NOTHING
    assert strategy_of(Exhausted("all", [])) is NOTHING
    assert not strategy_of(BrokenReply("cut", billed=True)).retries


async def test_a_bad_request_ends_a_call_also_at_a_second_candidate(tmp_path: Path) -> None:
    first, second = OutOfCredit("402", billed=False), BadRequest("400", billed=False)
    async with open_road(tmp_path, first, second=(second,)) as road:
        with pytest.raises(BadRequest):
            await road.ask("smart")
        assert served(road) == ["first", "second"]


async def test_a_long_wait_falls_back_at_once_while_another_is_left(tmp_path: Path) -> None:
    busy = RateLimited("429", billed=False, retry_after_seconds=5.5)
    async with open_road(tmp_path, busy, second=(busy, Answer())) as road:
        await set_task(road, timeout_seconds=60.0)
        await road.ask("smart")
        assert served(road) == ["first", "second", "second"]
        assert road.clock.waits == [5.5]


async def test_a_short_wait_does_not(tmp_path: Path) -> None:
    busy = RateLimited("429", billed=False, retry_after_seconds=5.0)
    async with open_road(tmp_path, busy, Answer()) as road:
        await road.ask("smart")
        assert (served(road), road.clock.waits) == (["first", "first"], [5.0])


async def test_tasks_in_the_background_wait_longer(tmp_path: Path) -> None:
    busy = RateLimited("429", billed=False, retry_after_seconds=60.0)
    async with open_road(tmp_path, busy, Answer()) as road:
        await set_task(road, max_retry_wait_seconds=60.0)
        await road.ask("smart")
        assert road.clock.waits == [60.0]


@pytest.mark.parametrize(
    ("seconds", "asked", "waits"),
    [(60.0, 59.0, [59.0]), (60.0, 60.0, []), (None, 119.0, [119.0]), (None, 120.0, [])],
)
async def test_a_wait_must_fit_the_deadline_or_two_minutes_where_there_is_none(
    tmp_path: Path, seconds: float | None, asked: float, waits: list[float]
) -> None:
    busy = RateLimited("429", billed=False, retry_after_seconds=asked)
    async with open_road(tmp_path, busy, Answer()) as road:
        await set_task(road, timeout_seconds=seconds)
        if waits:
            await road.ask()
        else:
            with pytest.raises(RateLimited):
                await road.ask()
        assert road.clock.waits == waits


async def test_the_deadline_ends_an_attempt_that_is_under_way(tmp_path: Path) -> None:
    endless = Endless()
    async with open_road(tmp_path, make_provider=lambda _policy: endless) as road:
        await set_task(road, timeout_seconds=0.05)
        with pytest.raises(TimedOut, match=r"deadline of task .* passed") as late:
            await road.ask()
        assert (late.value.status, late.value.reason.rule) == (504, "tasks.default.timeout")
        attempt = road.last.attempts[0]
        assert endless.cancelled
        assert (road.last.state, attempt.state, attempt.estimated) == ("failed", "failed", True)
        assert road.spent() == (attempt.reserved, Money())


async def test_a_deadline_cancels_nobody_after_the_call(tmp_path: Path) -> None:
    async with open_road(tmp_path, Answer()) as road:
        await set_task(road, timeout_seconds=60.0)
        passage = road.passage()
        await road.read(passage)
        assert passage.expiry is not None
        assert passage.expiry.cancelled()


async def test_a_cancellation_from_elsewhere_is_no_deadline(tmp_path: Path) -> None:
    endless = Endless()
    async with open_road(tmp_path, make_provider=lambda _policy: endless) as road:
        await set_task(road, timeout_seconds=60.0)
        asking = asyncio.create_task(road.ask())
        await endless.began.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert road.last.state == "left"


async def test_a_client_that_hung_up_is_told_from_a_deadline(tmp_path: Path) -> None:
    endless = Endless()
    async with open_road(tmp_path, make_provider=lambda _policy: endless) as road:
        await set_task(road, timeout_seconds=60.0)
        passage = road.passage()
        asking = asyncio.create_task(road.read(passage))
        await endless.began.wait()
        passage.leave(0.0)
        with pytest.raises(ClientLeft):
            await asking


class Locking:
    """A provider that answers, and while it does another process takes hold of the store's file."""

    def __init__(self, path: Path, seconds: float) -> None:
        self._inner = FakeProvider(Answer())
        self._path = path
        self._seconds = seconds

    @asynccontextmanager
    async def open(self, outgoing: Outgoing, /) -> AsyncGenerator[Reply]:
        other = sqlite3.connect(self._path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        asyncio.get_running_loop().call_later(self._seconds, other.close)
        async with self._inner.open(outgoing) as reply:
            yield reply

    async def close(self) -> None:
        """Nothing is open."""


async def test_a_deadline_that_passes_while_the_outcome_is_written_takes_nothing_back(
    tmp_path: Path,
) -> None:
    path = Path(settings(tmp_path).gate.store.removeprefix("sqlite:"))
    locking = Locking(path, 0.4)
    async with open_road(tmp_path, make_provider=lambda _policy: locking) as road:
        await set_task(road, timeout_seconds=0.2)
        await road.ask()
        assert (road.last.state, road.last.attempts[0].estimated) == ("ok", False)


@pytest.mark.slow
async def test_a_call_waits_once_for_a_store_that_another_process_keeps_locked(
    tmp_path: Path,
) -> None:
    """Its row is written all the same, as the file comes free while that is tried."""
    path = Path(settings(tmp_path).gate.store.removeprefix("sqlite:"))
    async with open_road(tmp_path) as road:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreDown):
                await road.ask()
        await road.settled()
        assert (road.last.state, road.last.code) == ("refused", "store_down")
