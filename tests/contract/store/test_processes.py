"""Several processes on one store: a cap is one cap, and nobody takes the other for dead."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process

import pytest

from tests.contract.store.conftest import Database
from tests.contract.store.spender import AT_ONCE, BUDGET, COST, RESERVED
from tests.contract.store.test_admission import balance

PROCESSES = 2


@pytest.mark.slow
async def test_two_processes_do_not_pass_the_cap_together(
    request: pytest.FixtureRequest, database: Database
) -> None:
    store = await database.open(None)
    name = request.node.callspec.params["database"]
    spenders = [await start(name, database.place) for _ in range(PROCESSES)]
    answers = await asyncio.gather(*(spender.communicate(b"go\n") for spender in spenders))
    granted = [int(out) for out, _ in answers]
    assert balance(store) == (COST * sum(granted), 0)
    # Who was refused may have been so by what the others held.
    assert BUDGET - PROCESSES * AT_ONCE * RESERVED <= COST * sum(granted) <= BUDGET
    assert min(granted) > 0
    assert (store.verify(), store.gates()) == ([], [])
    await store.close()


async def start(name: str, place: str) -> Process:
    command = ["-m", "tests.contract.store.spender", name, place]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdin=PIPE, stdout=PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"open\n"
    return process
