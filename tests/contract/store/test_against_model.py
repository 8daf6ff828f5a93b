"""Whatever happens in whatever order, every store books and refuses what a plain model does."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Coroutine
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from callgate.call import Candidate
from callgate.money import Money
from callgate.store import (
    Action,
    ActionEnd,
    Decision,
    GateIdentity,
    Grant,
    Intent,
    Planned,
    Store,
)
from callgate.store.limits import Limit, LimitName
from callgate.store.owners import find_place, process_started
from callgate.task import Task
from callgate.testing.clocks import FakeClock
from tests.contract.store.conftest import STORES, Database
from tests.contract.store.making import (
    NOW,
    make_bill,
    make_end,
    make_intent,
    make_limit,
    make_override,
    make_refusal,
    make_settlement,
    make_task,
    windows_of,
)
from tests.contract.store.model import LENGTHS, WINDOWS, Attempt, Model
from tests.contract.store.places import new_place

T = TypeVar("T")

TASKS: Final = {
    task.id: task
    for task in (
        make_task("t0", budget=5_000),
        make_task("t1", parent="t0"),
        make_task("t2", parent="t1", budget=1_000, type="mail", agent="writer"),
        make_task("t3", user="u2", budget=0),
        make_task("t4", user=None, deadline_at=NOW + 7_200),
        make_task("t5", user="u2", type="mail"),
    )
}

ZONES: Final = ("UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York")

BEGINNINGS: Final = (
    NOW,
    1_792_888_200.0,  # 2026-10-25T00:30Z: half past two in Berlin, which comes twice that day.
    1_769_898_600.0,  # 2026-01-31T22:30Z: a month ends in Berlin in half an hour.
)

SCOPES: Final = (
    "gate", "agent:researcher", "agent:writer", "type:research", "type:mail", "user:*", "user:u1",
    "user:u2", "provider:openai", "provider:anthropic",
)  # fmt: skip

VALUES: Final[dict[LimitName, tuple[int, int]]] = {
    "per_minute": (0, 6), "per_hour": (1, 12), "per_day": (1, 12), "concurrency": (0, 4),
    "budget_per_hour": (0, 1_500), "budget_per_day": (0, 3_000), "budget_per_month": (0, 6_000),
    "max_calls": (0, 9), "max_repeats": (0, 3), "max_depth": (0, 2),
}  # fmt: skip
"""By limit: between what its value is drawn."""

LATER: Final = st.sampled_from([0.5, 7.0, 31.0, 60.0, 61.0, 290.0, 1_800.0, 40_000.0])
ENDS: Final = tuple(ActionEnd(state=each) for each in ("done", "not_done", "unknown"))
COSTS: Final = st.none() | st.integers(0, 400)


@st.composite
def limits(draw: st.DrawFn) -> Limit:
    """Draw a limit of a settings file."""
    name = draw(st.sampled_from(sorted(VALUES)))
    return make_limit(draw(st.sampled_from(SCOPES)), name, draw(st.integers(*VALUES[name])))


@dataclass
class Gate:
    """A gate, and the process that it is taken for."""

    store: Store
    process: subprocess.Popen[bytes]
    alive: bool = True


@pytest.mark.skipif(find_place() is None, reason="pids tell nothing on this system")
class StoreAgainstModel(RuleBasedStateMachine):
    """Gates come, admit, settle and are killed, limits and clocks move; all is compared."""

    name = "sqlite"

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="callgate-model-"))
        self.runner = asyncio.Runner()
        self.place = ExitStack()
        self.where = self.place.enter_context(new_place(self.name, self.folder))
        self.gates: list[Gate] = []
        self.calls = 0
        self.revision = 0

    @initialize(zone=st.sampled_from(ZONES), beginning=st.sampled_from(BEGINNINGS))
    def begin(self, zone: str, beginning: float) -> None:
        self.clock = FakeClock(beginning)
        self.model = Model(zone, tasks=dict(TASKS))
        self.database: Database = STORES[self.name](self.where, self.clock)
        self.open_gate()
        for id in ("t0", "t1", "t2"):
            self.run(as_coroutine(self.gates[0].store.create_task(TASKS[id])))
            self.model.known.add(id)
            self.model.open.add(id)

    @rule()
    @precondition(lambda self: len(self.gates) < 4)
    def open_gate(self) -> None:
        process = subprocess.Popen([sys.executable, "-Sc", "input()"], stdin=subprocess.PIPE)
        here = GateIdentity.of_this_process(started_at=NOW)
        gate = msgspec.structs.replace(
            here, pid=process.pid, pid_started=process_started(process.pid)
        )
        self.gates.append(Gate(self.run(self.database.open(gate)), process))
        self.model.reap(self.clock.now())

    @rule(data=st.data(), many=st.integers(1, 5))
    def admit(self, data: st.DataObject, many: int) -> None:
        gate = self.draw_gate(data)
        self.compare(gate, [self.draw_intent(data) for _ in range(many)])

    @rule(data=st.data(), seconds=LATER)
    def admit_later(self, data: st.DataObject, seconds: float) -> None:
        self.move_the_clock(seconds)
        self.admit(data, 5)

    @rule(data=st.data())
    @precondition(lambda self: self.between_attempts())
    def retry(self, data: st.DataObject) -> None:
        last = data.draw(st.sampled_from(self.between_attempts()))
        n = last.intent.n + 1
        self.compare(last.gate, [self.draw_intent(data, of=last.intent, n=n)])

    @rule(
        data=st.data(),
        costs=st.lists(COSTS, min_size=1, max_size=3),
        end=st.booleans(),
        action=st.sampled_from(ENDS),
    )
    @precondition(lambda self: self.model.attempts)
    def settle(
        self, data: st.DataObject, costs: list[int | None], action: ActionEnd, *, end: bool
    ) -> None:
        id = data.draw(st.sampled_from(sorted(self.model.attempts)))
        attempt = self.model.attempts[id]
        now = self.clock.now()
        ends = make_end(attempt.intent.call_id, ended_at=now) if end else None

        async def together() -> None:
            settled = [
                msgspec.structs.replace(
                    make_settlement(id, cost=cost, end=ends, at=now), action=action
                )
                for cost in costs
            ]
            await asyncio.gather(*map(self.gates[attempt.gate].store.settle, settled))

        self.run(together())
        for cost in costs:
            self.model.settle(id, cost, at=now, ends=end, action=action)

    @rule(data=st.data(), task=st.sampled_from(sorted(TASKS)))
    def refuse(self, data: st.DataObject, task: str) -> None:
        self.calls += 1
        refusal = make_refusal(f"c{self.calls}", task=TASKS[task], agent=TASKS[task].agent)
        end = msgspec.structs.replace(refusal.end, ended_at=self.clock.now())
        store = self.gates[self.draw_gate(data)].store
        self.run(as_coroutine(store.refuse(msgspec.structs.replace(refusal, end=end))))
        self.model.refuse(task, self.clock.now())

    @rule(data=st.data(), task=st.sampled_from(sorted(TASKS)))
    def end(self, data: st.DataObject, task: str) -> None:
        store = self.gates[self.draw_gate(data)].store
        self.run(as_coroutine(store.end_task(task, self.clock.now())))
        self.model.end(task)

    @rule(data=st.data(), task=st.sampled_from(sorted(TASKS)), budget=st.integers(0, 9_000))
    def raise_budget(self, data: st.DataObject, task: str, budget: int) -> None:
        store = self.gates[self.draw_gate(data)].store
        known = self.run(as_coroutine(store.raise_budget(task, Money(budget))))
        assert known == (task in self.model.known)
        if known:
            raised = msgspec.structs.replace(self.model.tasks[task], budget=Money(budget))
            self.model.tasks[task] = raised

    @rule(data=st.data(), drawn=st.lists(limits(), max_size=6), older=st.booleans())
    def load_limits(self, data: st.DataObject, drawn: list[Limit], *, older: bool) -> None:
        rows = list({(row.scope, row.name): row for row in drawn}.values())
        revision = self.revision - 1 if older else self.revision + 1
        store = self.gates[self.draw_gate(data)].store
        assert self.run(as_coroutine(store.load_limits(rows, revision))) != older
        if not older:
            self.revision = revision
            kept = [row for row in self.model.limits if row.source == "override"]
            self.model.limits = [*kept, *rows]

    @rule(data=st.data(), drawn=limits(), ends=st.none() | LATER)
    def override(self, data: st.DataObject, drawn: Limit, ends: float | None) -> None:
        until = None if ends is None else self.clock.now() + ends
        limit = make_override(drawn.scope, drawn.name, drawn.value, until)
        store = self.gates[self.draw_gate(data)].store
        self.run(as_coroutine(store.override(limit)))
        self.model.limits = [*self.others(limit), limit]

    @rule(data=st.data())
    @precondition(lambda self: any(row.source == "override" for row in self.model.limits))
    def lift(self, data: st.DataObject) -> None:
        overrides = [row for row in self.model.limits if row.source == "override"]
        limit = data.draw(st.sampled_from(overrides))
        store = self.gates[self.draw_gate(data)].store
        assert self.run(as_coroutine(store.lift(limit.scope, limit.name)))
        self.model.limits = self.others(limit)

    @rule(seconds=LATER)
    def move_the_clock(self, seconds: float) -> None:
        self.clock.advance(seconds)
        # Heartbeats come with the next write, five seconds after the last; dead gates have one too.
        for _ in range(3):
            self.clock.advance(5)
            for gate in self.gates:
                self.run(as_coroutine(gate.store.end_task("nobody", NOW)))
                self.model.reap(self.clock.now())

    @rule(data=st.data())
    @precondition(lambda self: sum(gate.alive for gate in self.gates) > 1)
    def kill(self, data: st.DataObject) -> None:
        number = self.draw_gate(data)
        killed = self.gates[number]
        killed.process.kill()
        killed.process.communicate()
        killed.alive = False
        self.model.kill(number, self.clock.now())
        self.open_gate()

    @invariant()
    def the_ledger_is_the_models(self) -> None:
        if not self.gates:
            return
        store, model = self.gates[-1].store, self.model
        assert store.verify() == []
        rows = {row.task.id: row for row in store.tasks()}
        assert rows.keys() == model.known
        for id, row in rows.items():
            assert (row.spent.nano, row.held.nano) == (model.spent(id), model.held(id))
            assert (row.task.ended_at is None) == (id in model.open), id

    @rule(data=st.data(), state=st.sampled_from(["done", "not_done"]))
    @precondition(lambda self: any(state != "running" for *_, state in self.model.deeds.states()))
    def decide(self, data: st.DataObject, state: Any) -> None:
        store = self.gates[self.draw_gate(data)].store
        known = [action for action in store.actions(limit=None) if action.state != "running"]
        action = data.draw(st.sampled_from(known))
        said = Decision(action_id=action.id, state=state, by="ann", at=self.clock.now())
        self.run(as_coroutine(store.decide(said)))
        self.model.deeds.times[digest_of(action)][action.n - 1].state = state

    @invariant()
    def actions_stand_as_the_models_do(self) -> None:
        if not self.gates:
            return
        found = self.gates[-1].store.actions(limit=None)
        stand = sorted((digest_of(action), action.n, action.state) for action in found)
        assert stand == self.model.deeds.states()

    @invariant()
    def what_is_used_of_limits_is_what_the_model_counts(self) -> None:
        if not self.gates:
            return
        now = self.clock.now()
        for row in self.gates[-1].store.limits(windows_of(now, self.model.zone)):
            scope, name = row.limit.scope, row.limit.name
            standing = self.model.standing(scope, now)
            assert row.holds == (standing.get(name) is not None and standing[name] == row.limit)
            if scope != "user:*" and (name in LENGTHS or name in WINDOWS):
                assert row.used == self.model.used(scope, row.limit, now)
            if scope != "user:*" and name == "concurrency":
                assert row.used == self.model.in_flight(scope, now)

    def teardown(self) -> None:
        for gate in self.gates:
            self.run(gate.store.close())
            gate.process.communicate()
        self.runner.close()
        self.place.close()
        shutil.rmtree(self.folder)

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(what)

    def compare(self, gate: int, intents: list[Intent]) -> None:
        """Have a gate ask for all of these at once, and the model for one after the other."""
        store = self.gates[gate].store

        async def together() -> list[Any]:
            admitted = [store.admit(intent) for intent in intents]
            return await asyncio.gather(*admitted, return_exceptions=True)

        for intent, answer in zip(intents, self.run(together()), strict=True):
            expected = self.model.admit(intent, gate)
            if isinstance(expected, Grant):
                assert answer == expected
            else:
                assert type(answer) is expected, answer

    def between_attempts(self) -> list[Attempt]:
        """Return the last attempts of calls that go on, of gates that live."""
        latest = {a.intent.call_id: a for a in self.model.attempts.values()}
        return [
            attempt
            for call, attempt in latest.items()
            if self.model.calls[call].ended_at is None
            and attempt.state == "ended"
            and self.gates[attempt.gate].alive
        ]

    def others(self, limit: Limit) -> list[Limit]:
        """Return all limits but the override that one is or stands for."""
        name = (limit.scope, limit.name, "override")
        return [row for row in self.model.limits if (row.scope, row.name, row.source) != name]

    def draw_gate(self, data: st.DataObject) -> int:
        alive = [number for number, gate in enumerate(self.gates) if gate.alive]
        return data.draw(st.sampled_from(alive))

    def draw_intent(self, data: st.DataObject, of: Intent | None = None, n: int = 1) -> Intent:
        """Draw what asks for an attempt: of a new call, or the next one of a call."""
        self.calls += 1
        task = (
            self.model.tasks[data.draw(st.sampled_from(sorted(TASKS)))] if of is None else of.task
        )
        tokens = data.draw(st.integers(0, 200))
        bill = make_bill(
            data.draw(st.integers(0, 300)),
            output_tokens=tokens,
            least=data.draw(st.integers(0, tokens)),
        )
        provider = data.draw(st.sampled_from(["openai", "anthropic"]))
        return make_intent(
            task,
            f"c{self.calls}" if of is None else of.call_id,
            n=n,
            bill=data.draw(st.sampled_from([*[bill] * 9, None])),
            nano=None,
            sent_at=self.clock.now(),
            zone=self.model.zone,
            candidate=Candidate(provider=provider, model="m"),
            fingerprint=data.draw(st.sampled_from([None, b"a", b"b"])),
            action=self.draw_action(data, task, n) if of is None else of.action,
        )

    def draw_action(self, data: st.DataObject, task: Task, n: int) -> Planned | None:
        """Draw what an attempt is about to do once; mostly nothing."""
        name = data.draw(st.sampled_from([None, None, "pay", "mail", "key"]))
        if name is None:
            return None
        return Planned(
            id=f"act{self.calls}",
            digest=name.encode(),
            scope="gate",
            repeat=data.draw(st.sampled_from([1, 1, 1, 2, 3, None])),
            tool=name,
            task=task,
            exact=data.draw(st.sampled_from([b"x", b"x", b"y"])),
            arguments="{}",
            idempotency_key=f"key{self.calls}.{n}",
            known_for_seconds=3_600.0 if name == "key" else 0.0,
        )


def digest_of(action: Action) -> bytes:
    """Return what names an action of these tests: its tool."""
    return action.tool.encode()


async def as_coroutine(future: asyncio.Future[T]) -> T:
    return await future


class PostgresqlAgainstModel(StoreAgainstModel):
    name = "postgresql"


# To find the shortest example of a failure takes minutes, with processes in every step.
SETTINGS = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
TestSqlite = pytest.mark.slow(StoreAgainstModel.TestCase)
TestSqlite.settings = SETTINGS
# A round trip for each statement, and a machine that does other things besides.
TestPostgresql = pytest.mark.timeout(600)(pytest.mark.slow(PostgresqlAgainstModel.TestCase))
TestPostgresql.settings = SETTINGS
