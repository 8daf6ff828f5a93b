from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from callgate.testing.simulator import Simulator
from tests.cli.shell import Shell, environment


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Somebody in an empty folder with an empty home."""
    for name in ("home", "here"):
        (tmp_path / name).mkdir()
    return Shell(tmp_path / "here", environment(tmp_path / "home"))


@pytest.fixture
async def simulator() -> AsyncGenerator[Simulator]:
    """Simulated providers."""
    async with Simulator(seed=1) as simulator:
        yield simulator
