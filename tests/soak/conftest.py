"""Real programs on every store; what a failed test leaves behind is killed."""

from __future__ import annotations

import os
import random
import secrets
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path

import pytest

from tests.soak.books import KINDS, Books, new_books
from tests.soak.load import SCRIPT
from tests.soak.programs import Programs

Show = Callable[[str], None]


@pytest.fixture(params=KINDS)
def books(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Books]:
    with new_books(request.param, tmp_path) as books:
        yield books


@pytest.fixture
async def programs(tmp_path: Path) -> AsyncGenerator[Programs]:
    programs = Programs(tmp_path)
    yield programs
    await programs.kill_all()


@pytest.fixture
async def far_url(programs: Programs) -> str:
    """Where a simulator serves, with the script of the load."""
    (programs.folder / "script.toml").write_text(SCRIPT)
    return await (await programs.start("sim", "script.toml", "--port", "0")).url()


@pytest.fixture
def seed() -> int:
    """What the moments and the calls follow from; ``SEED=… make soak`` repeats them."""
    return int(os.environ.get("SEED") or secrets.randbits(32))


@pytest.fixture
def rng(seed: int) -> random.Random:
    return random.Random(seed)


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest, seed: int) -> Show:
    """Tell how far it is, also where output is captured."""
    name = request.node.callspec.id if hasattr(request.node, "callspec") else ""

    def show(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n  {name} seed {seed}: {line}")
            sys.stdout.flush()

    return show
