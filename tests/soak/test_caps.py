"""Gates that share one store, and more calls at once than every cap has room for: none is passed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Final

import pytest

from tests.soak.accounts import compare, compare_to_the_nano_dollar, read_far, read_near
from tests.soak.books import Books, Witness
from tests.soak.conftest import Show
from tests.soak.drill import HELD
from tests.soak.load import Load, at_gates
from tests.soak.programs import Programs
from tests.soak.settings import NANO, Caps, Settings
from tests.soak.watch import Watch, until

GATES: Final = 4
USERS: Final = 10

CAPS: Final = Caps(day="3", month="3.10", user="0.60")
"""Users run out of money first, and then the day; calls may cost some $40 together."""


@pytest.mark.parametrize(
    "calls",
    [pytest.param(200, marks=pytest.mark.slow), pytest.param(1_000, marks=pytest.mark.soak)],
)
async def test_no_cap_is_passed_at_any_moment_by_calls_through_four_gates(
    books: Books, programs: Programs, far_url: str, rng: random.Random, show: Show, calls: int
) -> None:
    settings = Settings.write(programs.folder, place=books.place, far_url=far_url, caps=CAPS)
    gates = [
        await programs.start("serve", "--port", "0", environ=settings.environ) for _ in range(GATES)
    ]
    urls = [await gate.url() for gate in gates]
    books.call_witness()
    witness = Witness(books, CAPS.nano())
    load = Load(rng, round=1, key=settings.key, users=USERS)
    async with Watch(books, far_url, lambda: None) as watch:
        await rush(urls, load, calls)
        await nothing_is_held(books)
    assert [await gate.stop() for gate in gates] == [0] * GATES
    far, near = await read_far(far_url), await read_near(books.place)
    compare(far, near)
    exact = compare_to_the_nano_dollar(far, near)
    fullest = {scope: witness.fullest(scope) for scope in ("gate", "user", "task")}
    show(
        f"${far.total_nano / NANO:.4f} billed, ${near.spent.total() / NANO:.4f} spent; "
        f"{witness.looks()} states of the ledger and {watch.looks} looks at both accounts; "
        f"fullest: {fullest}; {near.retries} retries, {near.cuts} streams cut off, {load.ended}; "
        f"{exact} attempts agree to the nano-dollar"
    )
    assert witness.over() == []
    assert far.total_nano <= near.spent.total() <= CAPS.nano()["gate|day"]
    assert watch.looks > 10
    assert witness.looks() > calls
    assert min(fullest.values()) > 0.95
    assert min(near.retries, near.cuts, load.ended["hung up"], load.ended["402"]) > calls / 250
    for refusal in load.refusals:
        assert refusal.is_true, refusal
        assert witness.saw(refusal.scope, spent=refusal.used, held=refusal.held), refusal


async def rush(urls: Sequence[str], load: Load, calls: int) -> None:
    """Make all calls at once, spread over the gates."""
    async with at_gates(urls) as sessions, asyncio.TaskGroup() as asking:
        for number in range(calls):
            asking.create_task(load.ask_stubbornly(sessions[number % len(sessions)]))


async def nothing_is_held(books: Books) -> None:
    """Wait for it, while the gates live."""
    async with asyncio.timeout(30):
        await until(lambda: not int(books.ask(HELD)[0][0]))
