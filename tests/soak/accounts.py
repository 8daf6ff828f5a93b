"""Two accounts of the same calls: what the simulator received and bills, and what the gate wrote."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping

import aiohttp
import msgspec

from callgate.clock import SystemClock
from callgate.store import CallRow
from callgate.store.opening import open_store
from callgate.testing.simulator.bill import Bill


class Received(msgspec.Struct, frozen=True):
    """A line of ``/sim/requests``."""

    n: int
    body_base64: str


class Journal(msgspec.Struct, frozen=True):
    """``/sim/requests``."""

    requests: tuple[Received, ...]


class Message(msgspec.Struct, frozen=True):
    """What somebody said."""

    content: str


class Asked(msgspec.Struct, frozen=True):
    """As much of a request as names its task."""

    messages: tuple[Message, ...]


class Far(msgspec.Struct, frozen=True, kw_only=True):
    """What the simulator says, by task."""

    requests: Counter[str]
    nano: Counter[str]
    exact: Mapping[str, int]
    """The cost of each complete reply, by its id."""

    @property
    def total_nano(self) -> int:
        """Everything that was billed."""
        return self.nano.total()


class Near(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate's store says, by task."""

    attempts: Counter[str]
    spent: Counter[str]
    held: Counter[str]
    caps: Mapping[str, int]
    calls: tuple[CallRow, ...]

    @property
    def states(self) -> Counter[str]:
        """How attempts ended; ``unknown`` are those that were given up for dead."""
        return Counter(attempt.state for call in self.calls for attempt in call.attempts)

    @property
    def retries(self) -> int:
        """Attempts that were not the first of their call."""
        return sum(attempt.n > 1 for call in self.calls for attempt in call.attempts)

    @property
    def cuts(self) -> int:
        """Replies that the provider cut off."""
        return sum(call.code == "broken_reply" for call in self.calls)


async def read_far(url: str) -> Far:
    """Return the simulator's account."""
    async with aiohttp.ClientSession() as session:
        # The bill first: what it holds is in the journal then.
        bill = msgspec.json.decode(await _get(session, f"{url}/sim/bill"), type=Bill)
        journal = msgspec.json.decode(await _get(session, f"{url}/sim/requests"), type=Journal)
    task_of = {request.n: _task(request) for request in journal.requests}
    nano: Counter[str] = Counter()
    for line in bill.lines:
        nano[task_of[line.n]] += line.cost_nano_usd or 0
    return Far(
        requests=Counter(task_of.values()),
        nano=nano,
        exact={
            line.reply_id: line.cost_nano_usd or 0
            for line in bill.lines
            if line.state == "complete" and line.reply_id is not None
        },
    )


async def read_near(place: str) -> Near:
    """Return the gates' account, as another process reads it."""
    store = await open_store(place, clock=SystemClock(), gate=None)
    rows, calls = store.tasks(limit=1_000_000), store.calls(limit=None)
    imbalances = store.verify()
    await store.close()
    assert imbalances == []
    attempts: Counter[str] = Counter()
    for call in calls:
        attempts[str(call.task_id)] += len(call.attempts)
    return Near(
        attempts=attempts,
        spent=Counter({row.task.id: row.spent.nano for row in rows}),
        held=Counter({row.task.id: row.held.nano for row in rows}),
        caps={row.task.id: row.task.budget.nano for row in rows if row.task.budget is not None},
        calls=tuple(calls),
    )


def compare(far: Far, near: Near) -> None:
    """Find every request in the audit log, every nano-dollar in the ledger, and no cap passed."""
    unrecorded = {
        task: (seen, near.attempts[task])
        for task, seen in far.requests.items()
        if seen > near.attempts[task]
    }
    assert not unrecorded, f"requests that have no intent (received, recorded): {unrecorded}"
    booked = near.spent + near.held
    unbooked = {
        task: (nano, booked[task]) for task, nano in far.nano.items() if nano > booked[task]
    }
    assert not unbooked, f"money that is not booked (billed, booked): {unbooked}"
    over = {task: (cap, booked[task]) for task, cap in near.caps.items() if booked[task] > cap}
    assert not over, f"caps that were passed (cap, booked): {over}"


def compare_to_the_nano_dollar(far: Far, near: Near) -> int:
    """Compare each attempt whose cost is known with its line on the bill; return how many."""
    known = [
        (far.exact.get(attempt.reply_id or ""), attempt.cost.nano)
        for call in near.calls
        for attempt in call.attempts
        if attempt.cost is not None and not attempt.estimated
    ]
    compared = [(billed, booked) for billed, booked in known if billed is not None]
    assert all(billed == booked for billed, booked in compared)
    return len(compared)


async def _get(session: aiohttp.ClientSession, url: str) -> bytes:
    async with session.get(url) as reply:
        return await reply.read()


def _task(request: Received) -> str:
    """Return the first word of what the user said, which names the task."""
    asked = msgspec.json.decode(base64.b64decode(request.body_base64), type=Asked)
    return asked.messages[0].content.partition(" ")[0]
