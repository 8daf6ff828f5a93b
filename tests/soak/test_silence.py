"""A gate whose process nobody sees, as on another machine, dies: its silence tells."""

from __future__ import annotations

import asyncio
import random
import subprocess
import time
from typing import Final

import pytest

from tests.soak.accounts import compare, read_far, read_near
from tests.soak.books import Books
from tests.soak.conftest import Show
from tests.soak.drill import CAPS, HELD, OWNERS, RECOVERY_SECONDS
from tests.soak.load import Load
from tests.soak.programs import Programs
from tests.soak.settings import Settings
from tests.soak.watch import until

APART: Final = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
"""Runs a program among processes of its own; it dies with this one."""


@pytest.mark.soak
async def test_what_a_gate_out_of_sight_held_is_settled_within_30_seconds(
    books: Books, programs: Programs, far_url: str, rng: random.Random, show: Show
) -> None:
    require_apart()
    settings = Settings.write(programs.folder, place=books.place, far_url=far_url, caps=CAPS)
    serve = ("serve", "--port", "0")
    alive = await programs.start(*serve, environ=settings.environ)
    await alive.url()
    hidden = await programs.start(*serve, environ=settings.environ, under=APART)
    load = Load(rng, round=1, key=settings.key)
    asking = asyncio.ensure_future(load.run(await hidden.url()))
    await until(lambda: len(books.ask(OWNERS)) > 0)
    await hidden.kill()
    killed_at = time.monotonic()
    await asking
    assert len(books.ask(OWNERS)) == 1
    async with asyncio.timeout(RECOVERY_SECONDS):
        await until(lambda: not int(books.ask(HELD)[0][0]))
    show(f"what it held was settled after {time.monotonic() - killed_at:.2f} s")
    compare(await read_far(far_url), await read_near(books.place))
    assert await alive.stop() == 0


def require_apart() -> None:
    """Skip where processes cannot be set apart."""
    try:
        subprocess.run([*APART, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no namespace for processes: {error}")
