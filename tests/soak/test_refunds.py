"""The double refund: a bank that does its work and does not say so, and an agent that asks again.

Two gates share a store and are killed in the middle of refunds; the agent's library sends what it got
no answer to again, at either gate, its loop asks twice at once, and its model plans the refund anew,
in other words for the same. No charge is refunded twice, and in the end each is refunded once.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import pytest

from callgate.clock import SystemClock
from callgate.store import Decision, Store
from callgate.store.opening import open_store
from tests.docs.pages import ROOT
from tests.soak.bank import Bank
from tests.soak.books import Books
from tests.soak.conftest import Show
from tests.soak.programs import Program, Programs

FEW, MANY = 12, 200
AT_ONCE: Final = 6
"""Agents that run at once."""

PLANS: Final = 3
"""How often an agent asks for a refund of which it does not know that it was done."""

ROUNDS: Final = 8
"""How often a person looks at what is open, and lets agents go on."""

KEY: Final = "cg_agent_of_the_bank"

SETTINGS: Final = """
[gate]
store = "{place}"
[agents.worker]
key = "env:AGENT_KEY"
tools = ["refund"]
[tasks.default]
timeout = "2m"
"""

WORDS: Final = (
    '{{"charge":"{charge}","amount":10}}',
    '{{ "amount": 10.0, "charge": "{charge}" }}',
    '{{"amount":1e1,"\\u0063harge":"{charge}"}}',
)
"""The same arguments as a model may write them."""


@dataclass
class Gates:
    """Two gates on one store, of which one is killed now and then."""

    books: Books
    programs: Programs
    bank_url: str
    rng: random.Random
    running: list[Program] = field(default_factory=list[Program])
    killed: int = 0

    async def begin(self) -> None:
        """Start both."""
        (self.programs.folder / "callgate.toml").write_text(SETTINGS.format(place=self.books.place))
        self.running = [await self._start() for _ in range(2)]

    async def kill_one(self) -> None:
        """Kill one, in the middle of whatever it does, and start another in its place."""
        number = self.rng.randrange(2)
        await self.running[number].kill()
        self.killed += 1
        self.running[number] = await self._start()

    async def url(self) -> str:
        """Return where one of them serves."""
        return await self.rng.choice(self.running).url()

    async def _start(self) -> Program:
        environ = {"AGENT_KEY": KEY, "PYTHONPATH": str(ROOT)}
        program = await self.programs.start(
            "callgate.toml", self.bank_url, environ=environ, module="tests.soak.bank_gate"
        )
        await program.url()
        return program


@dataclass
class Agent:
    """An agent that refunds one charge, and does not take silence for an answer."""

    gates: Gates
    session: aiohttp.ClientSession
    charge: str
    told: Counter[str] = field(default_factory=Counter[str])

    async def refund(self) -> bool:
        """Plan the refund until it is done; return whether it is known to be."""
        for n in range(PLANS):
            words = WORDS[n % len(WORDS)].format(charge=self.charge)
            answers = await asyncio.gather(self._send(words), self._send(words))
            self.told.update(answers)
            if "done" in answers:
                return True
        return False

    async def _send(self, body: str) -> str:
        """Send a call as a library does: again, wherever, while nobody answers."""
        headers = {"authorization": f"Bearer {KEY}", "callgate-task": f"task {self.charge}"}
        while True:
            try:
                url = f"{await self.gates.url()}/api/tools/refund"
                async with self.session.post(url, data=body, headers=headers) as reply:
                    page = await reply.json()
            except (aiohttp.ClientError, TimeoutError):
                self.told["sent again"] += 1
                await asyncio.sleep(0.1)
                continue
            return "done" if reply.status == 200 else str(page["error"]["kind"])


async def refund_and_kill(agents: Sequence[Agent], gates: Gates, bank: Bank) -> None:
    """Let some agents run, and kill a gate as soon as the bank has something to do."""
    bank.reached.clear()
    refunding = asyncio.gather(*(agent.refund() for agent in agents))
    reached = asyncio.create_task(bank.reached.wait())
    either: list[asyncio.Future[Any]] = [refunding, reached]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    reached.cancel()
    await gates.kill_one()
    await refunding


async def settle_by_hand(store: Store, bank: Bank, show: Show) -> None:
    """Look at the bank's books for each refund that nobody knows of, as a person does.

    A bank that so often does not answer is not asked any more; that person lets it be asked again.
    """
    unknown = store.actions(limit=None, only_open=True)
    for action in unknown:
        charge = action.task_id.removeprefix("task ")
        state: Any = "done" if bank.refunds[charge] else "not_done"
        await store.decide(
            Decision(action_id=action.id, state=state, by="bank", at=store.clock.now())
        )
    for block in store.blocks():
        await store.unblock(block.subject)
    show(
        f"{len(unknown)} of them were unknown, and are looked up; {bank.refunds.total()} are refunded"
    )


@asynccontextmanager
async def opened(books: Books) -> AsyncGenerator[Store]:
    """Open the store beside the gates."""
    store = await open_store(books.place, clock=SystemClock(), gate=None)
    try:
        yield store
    finally:
        await store.close()


@pytest.mark.parametrize(
    "charges",
    [pytest.param(FEW, marks=pytest.mark.slow), pytest.param(MANY, marks=pytest.mark.soak)],
)
async def test_no_charge_is_refunded_twice_and_in_the_end_each_is_once(
    books: Books, programs: Programs, rng: random.Random, show: Show, charges: int
) -> None:
    bank = Bank(rng)
    async with bank.serve() as bank_url, patient_session() as session:
        gates = Gates(books, programs, bank_url, rng)
        await gates.begin()
        agents = [Agent(gates, session, f"ch_{n}") for n in range(charges)]
        for start in range(0, charges, AT_ONCE):
            await refund_and_kill(agents[start : start + AT_ONCE], gates, bank)
        duplicates = {charge: n for charge, n in bank.refunds.items() if n > 1}
        told = sum((agent.told for agent in agents), Counter[str]())
        show(
            f"{charges} charges, {len(duplicates)} refunded twice, {gates.killed} gates killed; "
            f"agents were told: {dict(told)}; the bank answered: {dict(bank.ways)}"
        )
        assert duplicates == {}
        async with opened(books) as store:
            for _ in range(ROUNDS):
                await settle_by_hand(store, bank, show)
                if bank.refunds.total() < charges:
                    await asyncio.gather(*(agent.refund() for agent in agents))
        assert bank.refunds == dict.fromkeys((agent.charge for agent in agents), 1)
        assert told["outcome_unknown"] > 0


@asynccontextmanager
async def patient_session() -> AsyncGenerator[aiohttp.ClientSession]:
    """Open a client that gives up after a while, as they do."""
    timeout = aiohttp.ClientTimeout(total=3)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        yield session
