"""A process of its own that spends from a task which others spend from too.

``python -m tests.contract.store.spender STORE PLACE`` says when its store is open, waits for a line,
makes calls until the task's money is spent or held, and says how many were granted.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final

from callgate.call import new_id
from callgate.errors import OverBudget
from callgate.store import GateIdentity, Store
from callgate.testing.clocks import FakeClock
from tests.contract.store.conftest import STORES
from tests.contract.store.making import NOW, make_end, make_intent, make_settlement, make_task

BUDGET: Final = 50_050
RESERVED: Final = 100
COST: Final = 70
AT_ONCE: Final = 5
"""Calls that one process has under way."""


async def spend(name: str, place: str) -> None:
    """Open the store, wait for the word, and spend."""
    gate = GateIdentity.of_this_process(started_at=NOW)
    store = await STORES[name](place, FakeClock()).open(gate)
    tell("open")
    await asyncio.to_thread(sys.stdin.readline)
    granted = await asyncio.gather(*(spend_all(store) for _ in range(AT_ONCE)))
    await store.close()
    tell(str(sum(granted)))


async def spend_all(store: Store) -> int:
    """Make one call after the other until one is refused; return how many were granted."""
    granted = 0
    while True:
        call = new_id("call")
        try:
            await store.admit(make_intent(make_task(budget=BUDGET), call, nano=RESERVED))
        except OverBudget:
            return granted
        await store.settle(make_settlement(f"{call}.1", cost=COST, end=make_end(call)))
        granted += 1


def tell(line: str) -> None:
    """Say something to who started this."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(spend(*sys.argv[1:]))
