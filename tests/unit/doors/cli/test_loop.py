"""The loop of a command."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator

from callgate.doors.cli.loop import run_loop
from callgate.testing.clocks import Turn


def test_a_generator_that_is_dropped_is_closed_without_a_register() -> None:
    closed: list[int] = []

    async def numbers() -> AsyncGenerator[int]:
        try:
            yield 1
        finally:
            closed.append(1)

    async def drop() -> object:
        generator = numbers()
        await anext(generator)
        del generator
        while not closed:
            await Turn()
        return sys.get_asyncgen_hooks().firstiter

    assert run_loop(drop()) is None
