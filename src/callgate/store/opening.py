"""Which store a place of the settings is."""

from __future__ import annotations

from pathlib import Path

from callgate.clock import Clock
from callgate.errors import Misconfigured
from callgate.store import GateIdentity, Store
from callgate.store.file import unusable
from callgate.store.sqlite import SqliteStore


async def open_store(place: str, /, *, clock: Clock, gate: GateIdentity | None) -> Store:
    """Open the store at a place.

    Args:
        place: ``sqlite:`` and a file, or the URL of a PostgreSQL database.
        clock: The machine's; the store's own ``clock`` is the one to go by.
        gate: The process that will own attempts; None for one that reads and administers.

    Raises:
        Misconfigured: The place cannot be used, or needs what is not installed.
        StoreDown: It does not answer, or others do not let it write.
    """
    if place.startswith("sqlite:"):
        return await SqliteStore.open(Path(place.removeprefix("sqlite:")), clock=clock, gate=gate)
    return await _open_server(place, clock, gate)


async def _open_server(url: str, clock: Clock, gate: GateIdentity | None) -> Store:
    try:
        # Not everybody has its driver.
        from callgate.store.postgresql import PostgresqlStore  # noqa: PLC0415
        from callgate.store.postgresql.clock import ServerClock  # noqa: PLC0415
    except ImportError as error:
        raise driver_missing(error) from error
    return await PostgresqlStore.open(url, clock=ServerClock(clock), gate=gate)


def driver_missing(error: ImportError) -> Misconfigured:
    """Return the refusal of a server whose driver is not installed."""
    fix = "pip install 'callgate[postgresql]'"
    return unusable(f"a store on PostgreSQL needs its driver ({error}); {fix}", fix)
