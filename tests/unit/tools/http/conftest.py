from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from tests.unit.tools.http.server import Server, serving


@pytest.fixture
async def server() -> AsyncGenerator[Server]:
    """A server with a tool that asks it."""
    async with serving() as made:
        yield made
