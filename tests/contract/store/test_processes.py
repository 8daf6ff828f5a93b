"""Several processes on one store: a cap is one cap, and nobody takes the other for dead."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process

import pytest

from callgate.errors import OverBudget
from callgate.store import GateIdentity
from tests.contract.store.conftest import Database
from tests.contract.store.making import NOW, make_intent, make_task
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
    # Who was refused may have been so by what the others held; how they share is the machine's matter.
    assert BUDGET - PROCESSES * AT_ONCE * RESERVED <= COST * sum(granted) <= BUDGET
    assert (store.verify(), store.gates()) == ([], [])
    await store.close()


async def test_two_gates_at_the_same_moment_do_not_pass_a_cap(database: Database) -> None:
    gates = [await database.open(GateIdentity.of_this_process(started_at=NOW)) for _ in range(2)]
    for n in range(10):
        task = make_task(f"t{n}", budget=10 * RESERVED)
        await gates[0].create_task(task)
        admitted = [
            gate.admit(make_intent(task, f"{n}-{call}-{gate is gates[0]}", nano=RESERVED))
            for call in range(10)
            for gate in gates
        ]
        answers = await asyncio.gather(*admitted, return_exceptions=True)
        assert [isinstance(answer, OverBudget) for answer in answers].count(False) == 10
    assert gates[0].verify() == []
    for gate in gates:
        await gate.close()


async def start(name: str, place: str) -> Process:
    command = ["-m", "tests.contract.store.spender", name, place]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdin=PIPE, stdout=PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"open\n"
    return process
