"""Every test of this folder runs against every store that there is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec
import pytest

from callgate.store import GateIdentity, Store
from callgate.store.postgresql import PostgresqlStore
from callgate.store.sqlite import SqliteStore
from callgate.testing.clocks import FakeClock
from tests.contract.store.making import NOW
from tests.contract.store.places import new_place


class Database(Protocol):
    """One empty database, which several gates may open."""

    @property
    def place(self) -> str:
        """What a process of its own makes the same database of."""
        ...

    async def open(self, gate: GateIdentity | None, /, *, clock: FakeClock | None = None) -> Store:
        """Open it as one more process would, with the clock of the test or one of its own."""
        ...


class SqliteFile:
    """A database in a file of its own, in the folder that is its place."""

    def __init__(self, place: str, clock: FakeClock) -> None:
        self.place = place
        self._clock = clock

    async def open(self, gate: GateIdentity | None, /, *, clock: FakeClock | None = None) -> Store:
        path = Path(self.place) / "store.db"
        return await SqliteStore.open(path, clock=clock or self._clock, gate=gate)


class PostgresqlSchema:
    """A database in a schema of its own, whose URL is its place."""

    def __init__(self, place: str, clock: FakeClock) -> None:
        self.place = place
        self._clock = clock

    async def open(self, gate: GateIdentity | None, /, *, clock: FakeClock | None = None) -> Store:
        return await PostgresqlStore.open(self.place, clock=clock or self._clock, gate=gate)


STORES: Final[Mapping[str, Callable[[str, FakeClock], Database]]] = {
    "sqlite": SqliteFile,
    "postgresql": PostgresqlSchema,
}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=STORES)
def database(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock
) -> Iterator[Database]:
    with new_place(request.param, tmp_path) as place:
        yield STORES[request.param](place, clock)


@pytest.fixture
async def store(database: Database, clock: FakeClock) -> AsyncGenerator[Store]:
    """An open store of this process, which is a gate."""
    store = await database.open(GateIdentity.of_this_process(started_at=clock.now()))
    yield store
    await store.close()


def living() -> GateIdentity:
    """A gate of this process."""
    return GateIdentity.of_this_process(started_at=NOW)


@pytest.fixture(scope="session")
def ended_pid() -> int:
    """The pid of a process that was there and is gone."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


@pytest.fixture
def dead(ended_pid: int) -> GateIdentity:
    """A gate of this machine whose process is gone."""
    return msgspec.structs.replace(living(), pid=ended_pid)
