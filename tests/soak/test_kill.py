"""Gates are killed at random moments under load, most of them beside others of the same database.

Nothing that they sent is unrecorded or unpaid, nothing is paid twice, what they held is settled
within 30 seconds, and no call is refused for money that nobody spent.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Final

import pytest

from tests.soak.accounts import compare_to_the_nano_dollar
from tests.soak.books import Books
from tests.soak.conftest import Show
from tests.soak.drill import CAPS, RECOVERY_SECONDS, STARTS_KILLED, Drill
from tests.soak.load import at_gates
from tests.soak.pouring import Pot, Pouring
from tests.soak.programs import Programs
from tests.soak.settings import NANO

FEW, MANY = 15, 300

POTS: Final = 6
"""Tasks whose budget, or whose user's, is emptied at the end."""

LEFT_NANO: Final = 300_000_000
"""What the gate's cap is made to leave then."""

GIVEN_UP: Final = """
    SELECT DISTINCT t.id, t.type, t."user" FROM attempts a JOIN tasks t ON t.id = a.task_id
    WHERE a.state = 'unknown'
"""
"""Tasks for which a gate held money when it was killed."""

TOKENS: Final = {"small": 50, "default": 400}
"""Output tokens of the calls that empty a budget, by task type."""


@pytest.mark.parametrize(
    "kills", [pytest.param(FEW, marks=pytest.mark.slow), pytest.param(MANY, marks=pytest.mark.soak)]
)
async def test_what_killed_gates_sent_is_paid_once_and_what_they_held_can_be_spent(
    books: Books, programs: Programs, far_url: str, rng: random.Random, show: Show, kills: int
) -> None:
    drill = Drill(books, programs, far_url, rng)
    while (done := drill.kills.total()) < kills:
        await drill.kill_some(kills - done)
        if drill.kills.total() < kills and rng.random() < STARTS_KILLED:
            await drill.kill_one_that_starts()
        far, near = await drill.accounts()
        show(
            f"kill {drill.kills.total()}/{kills}, {far.requests.total()} requests received, "
            f"{near.attempts.total()} attempts recorded, {near.states['unknown']} given up for dead"
        )
    show(f"what was left is spent: {await pour_out(drill, programs, rng)}")
    await drill.stop()
    far, near = await drill.accounts()
    exact = compare_to_the_nano_dollar(far, near)
    slowest = drill.slowest_recovery_seconds()
    show(
        f"{exact} attempts agree with the bill to the nano-dollar; "
        f"${far.total_nano / NANO:.4f} billed, ${near.spent.total() / NANO:.4f} spent; "
        f"{drill.refusals} refusals, all true; {drill.witness.looks()} states of the ledger seen; "
        f"holds settled within {slowest:.2f} s; killed: {drill.kills}; calls: {drill.ended}",
    )
    assert near.held.total() == 0
    assert slowest <= RECOVERY_SECONDS
    assert drill.witness.over() == []
    assert exact > kills
    assert drill.refusals > kills
    assert near.states["unknown"] > kills
    assert {"together", "last"} <= set(drill.kills)
    assert {"ok", "failed", "left"} <= set(near.states)


async def pour_out(drill: Drill, programs: Programs, rng: random.Random) -> Counter[str]:
    """Spend what is left of some tasks, of a user and of the whole gate; return whose was full."""
    urls = await drill.urls()
    given_up = sorted(drill.books.ask(GIVEN_UP))
    emptied: Counter[str] = Counter()
    async with at_gates(urls) as sessions:
        pouring = Pouring(drill.books, sessions, key=drill.settings.key, caps=CAPS.nano())
        for task, type, user in rng.sample(given_up, POTS):
            pot = Pot(task=task, type=type, user=user, tokens=TOKENS[type])
            emptied[await pouring.pour(pot)] += 1
        for_a_user = Pot(task="pot1", type="default", user="pot1", tokens=400)
        assert await pouring.pour(for_a_user) == "user"
        pouring.gate_nano = drill.booked_nano() + LEFT_NANO
        await programs.run("budget", "set", "gate", "day", f"{pouring.gate_nano / NANO:.9f}")
        for_the_gate = Pot(task="pot2", type="default", user="pot2", tokens=400)
        assert await pouring.pour(for_the_gate) == "gate"
        await programs.run("budget", "unset", "gate", "day")
    return emptied + Counter(user=1, gate=1)
