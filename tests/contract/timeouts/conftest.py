"""Waits of minutes, measured on a loop that need not wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from callgate.testing.loops import VirtualLoop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"virtual": VirtualLoop}
