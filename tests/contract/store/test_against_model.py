"""Whatever happens in whatever order, every store books what a few lines of Python book."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Coroutine
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from callgate.errors import OverBudget
from callgate.money import Money
from callgate.store import GateIdentity, Grant, Intent, Store
from callgate.store.owners import find_place, process_started
from callgate.testing.clocks import FakeClock
from tests.contract.store.conftest import STORES, Database
from tests.contract.store.making import (
    NOW,
    make_bill,
    make_end,
    make_intent,
    make_refusal,
    make_settlement,
    make_task,
)
from tests.contract.store.places import new_place

T = TypeVar("T")

BUDGETS = {"t0": None, "t1": 0, "t2": 1_000, "t3": 5_000}
COSTS = st.none() | st.integers(0, 400)


@dataclass
class Attempt:
    """What the model knows of one attempt."""

    task: str
    gate: int
    reserved: int
    cost: int | None = None
    """None while it runs."""
    abandoned: bool = False


@dataclass
class Gate:
    """A gate, and the process that it is taken for."""

    store: Store
    process: subprocess.Popen[bytes]
    alive: bool = True


@dataclass
class Model:
    """The ledger as it should be."""

    attempts: dict[str, Attempt] = field(default_factory=dict[str, Attempt])

    def spent(self, task: str) -> int:
        return sum(a.cost or 0 for a in self.attempts.values() if a.task == task)

    def held(self, task: str) -> int:
        running = (a for a in self.attempts.values() if a.task == task and a.cost is None)
        return sum(attempt.reserved for attempt in running)

    def admit(self, intent: Intent, gate: int) -> Grant | None:
        """Return the grant; None for a refusal."""
        budget = BUDGETS[intent.task.id]
        assert intent.bill is not None
        left = (
            None
            if budget is None
            else budget - self.spent(intent.task.id) - self.held(intent.task.id)
        )
        for tokens in range(intent.bill.output_tokens, intent.bill.least_output_tokens - 1, -1):
            needed = intent.bill.femto(tokens) // 1_000_000
            if left is None or needed <= max(0, left):
                self.attempts[intent.attempt_id] = Attempt(intent.task.id, gate, needed)
                return Grant(reserved=Money(needed), output_tokens=tokens)
        return None

    def settle(self, id: str, cost: int | None) -> None:
        attempt = self.attempts[id]
        if attempt.cost is None or attempt.abandoned:
            attempt.cost = attempt.reserved if cost is None else cost
            attempt.abandoned = False

    def kill(self, gate: int) -> None:
        for attempt in self.attempts.values():
            if attempt.gate == gate and attempt.cost is None:
                attempt.cost, attempt.abandoned = attempt.reserved, True


@pytest.mark.skipif(find_place() is None, reason="pids tell nothing on this system")
class StoreAgainstModel(RuleBasedStateMachine):
    """Gates come, admit, settle and are killed; the ledger is compared after every step."""

    name = "sqlite"

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="callgate-model-"))
        self.runner = asyncio.Runner()
        self.place = ExitStack()
        place = self.place.enter_context(new_place(self.name, self.folder))
        self.database: Database = STORES[self.name](place, FakeClock())
        self.gates: list[Gate] = []
        self.model = Model()
        self.calls = 0

    @initialize()
    def begin(self) -> None:
        self.open_gate()

    @rule()
    @precondition(lambda self: len(self.gates) < 6)
    def open_gate(self) -> None:
        process = subprocess.Popen([sys.executable, "-Sc", "input()"], stdin=subprocess.PIPE)
        here = GateIdentity.of_this_process(started_at=NOW)
        gate = msgspec.structs.replace(
            here, pid=process.pid, pid_started=process_started(process.pid)
        )
        self.gates.append(Gate(self.run(self.database.open(gate)), process))

    @rule(data=st.data(), many=st.integers(1, 5))
    def admit(self, data: st.DataObject, many: int) -> None:
        gate = self.draw_gate(data)
        intents = [self.draw_intent(data) for _ in range(many)]
        store = self.gates[gate].store

        async def together() -> list[Any]:
            admitted = [store.admit(intent) for intent in intents]
            return await asyncio.gather(*admitted, return_exceptions=True)

        for intent, answer in zip(intents, self.run(together()), strict=True):
            expected = self.model.admit(intent, gate)
            assert isinstance(answer, OverBudget) if expected is None else answer == expected

    @rule(data=st.data(), costs=st.lists(COSTS, min_size=1, max_size=3))
    @precondition(lambda self: self.model.attempts)
    def settle(self, data: st.DataObject, costs: list[int | None]) -> None:
        id = data.draw(st.sampled_from(sorted(self.model.attempts)))
        store = self.gates[self.model.attempts[id].gate].store

        async def together() -> None:
            ends = [make_settlement(id, cost=cost, end=make_end(id[:-2])) for cost in costs]
            await asyncio.gather(*map(store.settle, ends))

        self.run(together())
        for cost in costs:
            self.model.settle(id, cost)

    @rule(data=st.data(), task=st.sampled_from(sorted(BUDGETS)), end=st.booleans())
    def refuse(self, data: st.DataObject, task: str, *, end: bool) -> None:
        store = self.gates[self.draw_gate(data)].store
        self.calls += 1
        refusal = make_refusal(f"c{self.calls}", task=make_task(task, budget=BUDGETS[task]))
        self.run(as_coroutine(store.refuse(refusal)))
        if end:
            self.run(as_coroutine(store.end_task(task, NOW + 5)))

    @rule(data=st.data())
    @precondition(lambda self: sum(gate.alive for gate in self.gates) > 1)
    def kill(self, data: st.DataObject) -> None:
        number = self.draw_gate(data)
        killed = self.gates[number]
        killed.process.kill()
        killed.process.communicate()
        killed.alive = False
        self.model.kill(number)
        self.open_gate()

    @invariant()
    def the_ledger_is_the_models(self) -> None:
        if not self.gates:
            return
        store = self.gates[-1].store
        assert store.verify() == []
        for row in store.tasks():
            task, budget = row.task.id, BUDGETS[row.task.id]
            booked = (row.spent.nano, row.held.nano)
            assert booked == (self.model.spent(task), self.model.held(task))
            costs = [a for a in self.model.attempts.values() if a.task == task]
            if budget is not None and all((a.cost or 0) <= a.reserved for a in costs):
                assert sum(booked) <= budget

    def teardown(self) -> None:
        for gate in self.gates:
            self.run(gate.store.close())
            gate.process.communicate()
        self.runner.close()
        self.place.close()
        shutil.rmtree(self.folder)

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(what)

    def draw_gate(self, data: st.DataObject) -> int:
        alive = [number for number, gate in enumerate(self.gates) if gate.alive]
        return data.draw(st.sampled_from(alive))

    def draw_intent(self, data: st.DataObject) -> Intent:
        task = data.draw(st.sampled_from(sorted(BUDGETS)))
        tokens = data.draw(st.integers(0, 200))
        bill = make_bill(
            data.draw(st.integers(0, 300)),
            output_tokens=tokens,
            least=data.draw(st.integers(0, tokens)),
        )
        self.calls += 1
        return make_intent(make_task(task, budget=BUDGETS[task]), f"c{self.calls}", bill=bill)


async def as_coroutine(future: asyncio.Future[T]) -> T:
    return await future


class PostgresqlAgainstModel(StoreAgainstModel):
    name = "postgresql"


# To find the shortest example of a failure takes minutes, with processes in every step.
SETTINGS = settings(
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
TestSqlite = pytest.mark.slow(StoreAgainstModel.TestCase)
TestSqlite.settings = SETTINGS
TestPostgresql = pytest.mark.slow(PostgresqlAgainstModel.TestCase)
TestPostgresql.settings = SETTINGS
