"""The one writer: groups, bad operations beside good ones, and its end."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from callgate.errors import Refused, StoreDown
from callgate.store.groups import LARGEST_GROUP, MOST_TURNS
from callgate.store.sql import Cursor
from callgate.store.transaction import Kept, Operation
from callgate.store.writer import Opened, Writer
from callgate.testing.clocks import Turn


def insert(cursor: Cursor, number: int) -> int:
    cursor.execute("INSERT INTO numbers VALUES (?)", (number,))
    return number


def refuse(cursor: Cursor, number: int) -> None:
    cursor.execute("SELECT 1")
    raise ValueError(number)


def insert_and_fail(cursor: Cursor, number: int) -> None:
    insert(cursor, number)
    raise ValueError(number)


def insert_and_refuse(cursor: Cursor, number: int) -> None:
    insert(cursor, number)
    raise Kept(Refused(f"no {number}"))


def find_no_table(cursor: Cursor, _: None) -> None:
    cursor.execute("SELECT * FROM nowhere")


class Chore:
    """Counts how often it is done, fails from the second time on, and says when it retires."""

    def __init__(self, *, due_seconds: float = 60.0, done: int = 0) -> None:
        self._due_seconds = due_seconds
        self.done = done
        self.again = threading.Event()
        self.retired = False

    def due_seconds(self) -> float:
        return 60.0 if self.again.is_set() else self._due_seconds

    def __call__(self, cursor: Cursor, argument: None, /) -> None:
        self.done += 1
        if self.done > 1:
            self.again.set()
            find_no_table(cursor, argument)

    def retire(self, cursor: Cursor, _: None, /) -> None:
        self.retired = True
        insert(cursor, -1)


class Overdue(Chore):
    """Is always due."""

    def due_seconds(self) -> float:
        return 0.0


class Numbers:
    """A table of numbers, its writer, and what the writer has done."""

    def __init__(
        self, path: Path, chore: Chore | None = None, *, busy_seconds: float = 0.0
    ) -> None:
        self.path = path
        self.transactions: list[int] = []
        """How many inserts each had."""
        self.there = True
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS numbers (n INTEGER UNIQUE)")
        self.writer = Writer(self._connect, busy_seconds=busy_seconds, chore=chore)

    def _connect(self) -> Opened:
        connection = sqlite3.connect(
            self.path, isolation_level=None, timeout=0, check_same_thread=False
        )
        connection.set_trace_callback(self._trace)
        return Opened(connection, self._is_there)

    def _is_there(self) -> bool:
        return self.there

    def _trace(self, statement: str) -> None:
        if statement.startswith("BEGIN"):
            self.transactions.append(0)
        elif statement.startswith("INSERT"):
            self.transactions[-1] += 1

    def read(self) -> list[int]:
        """Return what another process sees."""
        with closing(sqlite3.connect(self.path)) as connection:
            return [n for (n,) in connection.execute("SELECT n FROM numbers ORDER BY n")]


@asynccontextmanager
async def open_numbers(
    path: Path, chore: Chore | None = None, *, busy_seconds: float = 0.0
) -> AsyncGenerator[Numbers]:
    numbers = Numbers(path / "numbers.db", chore, busy_seconds=busy_seconds)
    await numbers.writer.open()
    yield numbers
    await numbers.writer.close()


async def test_what_comes_together_is_committed_together(tmp_path: Path) -> None:
    async with open_numbers(tmp_path) as numbers:
        futures = [numbers.writer.submit(insert, n) for n in range(50)]
        assert await asyncio.gather(*futures) == list(range(50))
        assert numbers.transactions == [50]


async def test_what_the_next_turn_brings_is_committed_with_it(tmp_path: Path) -> None:
    async with open_numbers(tmp_path) as numbers:
        futures = [numbers.writer.submit(insert, 0)]
        await Turn()
        futures.append(numbers.writer.submit(insert, 1))
        await asyncio.gather(*futures)
        assert numbers.transactions == [2]


async def test_a_loop_that_always_brings_more_keeps_no_group_waiting(tmp_path: Path) -> None:
    async with open_numbers(tmp_path) as numbers:
        futures: list[asyncio.Future[int]] = []
        while len(futures) < 2 * MOST_TURNS:
            futures.append(numbers.writer.submit(insert, len(futures)))
            await Turn()
        await asyncio.gather(*futures)
        assert numbers.transactions[0] == MOST_TURNS + 1


async def test_a_group_has_an_end(tmp_path: Path) -> None:
    async with open_numbers(tmp_path) as numbers:
        futures = [numbers.writer.submit(insert, n) for n in range(2 * LARGEST_GROUP + 1)]
        await asyncio.gather(*futures)
        assert numbers.transactions == [LARGEST_GROUP, LARGEST_GROUP, 1]


async def test_a_future_is_done_when_others_can_see_the_write(tmp_path: Path) -> None:
    async with open_numbers(tmp_path) as numbers:
        seen: list[list[int]] = []
        for n in range(20):
            written = numbers.writer.submit(insert, n)
            written.add_done_callback(lambda _: seen.append(numbers.read()))
            await written
        assert [rows[-1] for rows in seen] == list(range(20))


@pytest.mark.parametrize("bad", [refuse, insert_and_fail])
async def test_a_bad_operation_is_rolled_back_alone(tmp_path: Path, bad: Operation) -> None:
    async with open_numbers(tmp_path) as numbers:
        operations: list[Operation] = [insert, bad, insert, bad, insert]
        futures = [numbers.writer.submit(do, n) for n, do in enumerate(operations)]
        answers = await asyncio.gather(*futures, return_exceptions=True)
        assert [str(answer) for answer in answers] == ["0", "1", "2", "3", "4"]
        assert [isinstance(answer, ValueError) for answer in answers] == [False, True] * 2 + [False]
        assert numbers.read() == [0, 2, 4]


async def test_what_a_refusal_says_is_kept_stays(tmp_path: Path) -> None:
    async with open_numbers(tmp_path) as numbers:
        kept = numbers.writer.submit(insert_and_refuse, 1)
        with pytest.raises(Refused, match="no 1"):
            await kept
        assert (numbers.transactions, numbers.read()) == ([1], [1])
        # Also beside an operation that is rolled back, where each runs apart.
        jobs = ((insert_and_refuse, 2), (insert_and_fail, 3), (insert, 4))
        futures = [numbers.writer.submit(job, n) for job, n in jobs]
        two, three, four = await asyncio.gather(*futures, return_exceptions=True)
        assert [type(two), type(three), four] == [Refused, ValueError, 4]
        assert numbers.read() == [1, 2, 4]


@pytest.mark.parametrize("before", [refuse, insert_and_fail])
async def test_when_the_database_fails_nothing_of_the_group_is_written(
    tmp_path: Path, before: Operation
) -> None:
    async with open_numbers(tmp_path) as numbers:
        operations: list[Operation] = [insert, before, find_no_table, insert]
        futures = [numbers.writer.submit(do, n) for n, do in enumerate(operations)]
        answers = await asyncio.gather(*futures, return_exceptions=True)
        assert {type(answer) for answer in answers} == {StoreDown}
        assert "no such table: nowhere" in str(answers[0])
        assert numbers.read() == []
        assert await numbers.writer.submit(insert, 7) == 7


async def test_what_waits_behind_a_lock_fails_with_it_and_not_one_by_one(tmp_path: Path) -> None:
    async with open_numbers(tmp_path) as numbers:
        with closing(sqlite3.connect(numbers.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            futures = [numbers.writer.submit(insert, n) for n in range(3 * LARGEST_GROUP)]
            answers = await asyncio.gather(*futures, return_exceptions=True)
        assert {str(answer)[:49] for answer in answers} == {
            "the store does not answer (database is locked), a"
        }
        assert numbers.transactions == [0, 0]
        assert await numbers.writer.submit(insert, 7) == 7


async def test_a_database_that_was_overwritten_takes_nothing_until_it_is_whole(
    tmp_path: Path,
) -> None:
    async with open_numbers(tmp_path) as numbers:
        await numbers.writer.submit(insert, 1)
        whole = numbers.path.read_bytes()
        numbers.path.write_bytes(b"\xff" * len(whole))
        with pytest.raises(StoreDown, match="file is not a database"):
            await numbers.writer.submit(insert, 2)
        numbers.path.write_bytes(whole)
        assert await numbers.writer.submit(insert, 3) == 3
        assert numbers.read() == [1, 3]


async def test_a_database_that_was_moved_takes_nothing_until_it_is_back(tmp_path: Path) -> None:
    async with open_numbers(tmp_path) as numbers:
        numbers.there = False
        with pytest.raises(
            StoreDown, match=r"was moved or deleted.* put the file back, or restart"
        ):
            await numbers.writer.submit(insert, 1)
        assert numbers.read() == []
        numbers.there = True
        assert await numbers.writer.submit(insert, 1) == 1


async def test_the_chore_is_done_first_and_when_it_is_due(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chore = Chore(due_seconds=0.0)
    async with open_numbers(tmp_path, chore) as numbers:
        assert await asyncio.to_thread(chore.again.wait, 10)
        await numbers.writer.submit(insert, 1)
        assert chore.done == 2
    assert "heartbeat failed: the store does not answer (no such table: nowhere)" in caplog.text


async def test_an_idle_writer_wakes_up_for_its_chore(tmp_path: Path) -> None:
    chore = Chore(due_seconds=0.01)
    async with open_numbers(tmp_path, chore):
        assert await asyncio.to_thread(chore.again.wait, 10)


async def test_a_writer_whose_first_chore_fails_does_not_open(tmp_path: Path) -> None:
    numbers = Numbers(tmp_path / "numbers.db", Chore(done=1))
    with pytest.raises(StoreDown, match="no such table: nowhere"):
        await numbers.writer.open()


async def test_closing_writes_what_was_submitted_and_then_retires(tmp_path: Path) -> None:
    chore = Chore()
    async with open_numbers(tmp_path, chore) as numbers:
        futures = [numbers.writer.submit(insert, n) for n in range(LARGEST_GROUP + 1)]
        ending = asyncio.ensure_future(numbers.writer.close())
        await Turn()
        late = numbers.writer.submit(insert, 1_000)
        await ending
        with pytest.raises(StoreDown, match="it is closed"):
            await late
        assert all(future.done() for future in futures)
    assert (numbers.read(), chore.retired) == (list(range(-1, LARGEST_GROUP + 1)), True)


async def test_what_cannot_be_retired_is_left_to_others(tmp_path: Path) -> None:
    chore = Chore()
    async with open_numbers(tmp_path, chore) as numbers:
        await numbers.writer.submit(insert, -1)
    assert (numbers.read(), chore.retired) == ([-1], True)


async def test_retiring_waits_for_another_process(tmp_path: Path) -> None:
    async with open_numbers(tmp_path, Chore(), busy_seconds=30.0) as numbers:
        with closing(sqlite3.connect(numbers.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            ending = asyncio.ensure_future(numbers.writer.close())
            async with asyncio.timeout(10):
                while len(numbers.transactions) < 2:
                    await Turn()
            other.execute("COMMIT")
        await ending
        assert numbers.read() == [-1]


async def test_a_database_that_was_moved_is_not_retired_from(tmp_path: Path) -> None:
    chore = Chore()
    async with open_numbers(tmp_path, chore) as numbers:
        numbers.there = False
    assert not chore.retired


async def test_a_chore_that_waits_when_the_writer_closes_is_the_last(tmp_path: Path) -> None:
    chore = Chore(due_seconds=0.0)
    async with open_numbers(tmp_path, chore) as numbers:
        while not numbers.writer.busy:
            await Turn()
    assert (chore.done, chore.retired) == (2, True)


async def test_an_opening_that_is_given_up_leaves_no_thread_and_no_open_file(
    tmp_path: Path,
) -> None:
    chore = Chore()
    numbers = Numbers(tmp_path / "numbers.db", chore)
    threads = set(threading.enumerate())
    opening = asyncio.create_task(numbers.writer.open())
    await Turn()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    for thread in set(threading.enumerate()) - threads:
        await asyncio.to_thread(thread.join)
    await Turn()
    assert (chore.done, chore.retired, numbers.read()) == (1, True, [-1])


async def test_a_chore_that_fails_rests_before_it_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chore = Overdue()
    async with open_numbers(tmp_path, chore) as numbers:
        with pytest.raises(StoreDown):
            await numbers.writer.submit(insert, 0)
        for n in range(3):
            await numbers.writer.submit(insert, n)
        assert chore.done == 2
    monkeypatch.setattr("callgate.store.groups.TRY_AGAIN_SECONDS", 0.001)
    chore = Overdue()
    async with open_numbers(tmp_path, chore) as numbers:
        while chore.done < 5:
            await Turn()
