"""The store as a command reads it, beside the gates that use it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from callgate.clock import SystemClock
from callgate.config import environment
from callgate.config.policies import Settings
from callgate.doors.cli.settings import settings_of
from callgate.errors import Misconfigured
from callgate.store import Store
from callgate.store.opening import open_store


def has_store(settings: Settings) -> bool:
    """Whether there is a store; one on a server is there, or says itself what is wrong."""
    path = settings.gate.store_file
    return path is None or path.exists()


@asynccontextmanager
async def open_books(
    config: Path | None, *, create: bool = False
) -> AsyncGenerator[tuple[Settings, Store]]:
    """Open the store of the settings without becoming a gate.

    Args:
        config: The settings file; looked up if None.
        create: Whether a store that is not there yet is made.

    Raises:
        Misconfigured: There is no store yet.
    """
    settings = settings_of(config, environment())
    if not create and not has_store(settings):
        path = settings.gate.store_file
        msg = f"there is no store at {path} yet; callgate run or callgate serve makes it"
        raise Misconfigured(msg)
    store = await open_store(settings.gate.store, clock=SystemClock(), gate=None)
    try:
        yield settings, store
    finally:
        await store.close()
