"""Jobs: noted by the gate that began them, taken over where it died, and paid once."""

from __future__ import annotations

import msgspec
import pytest

from callgate.money import Money
from callgate.store import GateIdentity, Settlement, Store
from callgate.store.jobs import LONGEST_JOB_SECONDS
from callgate.store.owners import find_place
from callgate.testing.clocks import FakeClock
from tests.contract.store.conftest import Database, living
from tests.contract.store.making import NOW, make_end, make_intent, make_settlement, make_task
from tests.contract.store.test_admission import balance
from tests.contract.store.test_settlement import call_of

pytestmark = pytest.mark.skipif(find_place() is None, reason="pids tell nothing on this system")

FINGERPRINT = b"0123456789abcdef"
PATCH = {"openai"}
"""The toolset of the usual intent."""


async def begin(database: Database, gate: GateIdentity, *, call: str = "c1") -> Store:
    """A gate that began a job, and noted it."""
    store = await database.open(gate)
    task = make_task(budget=1_000)
    await store.admit(
        make_intent(task, call, kind="tool", target="patch.research", fingerprint=FINGERPRINT)
    )
    await store.note_job(f"{call}.1", "job_7", NOW + 2)
    return store


def ended(cost: int = 40) -> Settlement:
    """How an attempt ends whose job gave a result."""
    return make_settlement(cost=cost, end=make_end("c1"))


async def test_a_job_whose_gate_died_stays_held_until_somebody_takes_it_over(
    database: Database, dead: GateIdentity
) -> None:
    lost = await begin(database, dead)
    store = await database.open(living())
    assert (balance(store), call_of(store).state) == ((0, 100), "running")
    (job,) = await store.adopt_jobs(PATCH)
    assert (job.attempt_id, job.call_id, job.toolset) == ("c1.1", "c1", "openai")
    assert (job.tool, job.id, job.reserved) == ("patch.research", "job_7", Money(100))
    assert job.noted_at == NOW + 2
    await store.close()
    await lost.close()


async def test_a_job_is_taken_over_once(database: Database, dead: GateIdentity) -> None:
    lost = await begin(database, dead)
    first, second = await database.open(living()), await database.open(living())
    assert len(await first.adopt_jobs(PATCH)) == 1
    assert await second.adopt_jobs(PATCH) == []
    for store in (lost, first, second):
        await store.close()


async def test_the_job_of_a_living_gate_is_left_alone(database: Database) -> None:
    alive = await begin(database, living())
    other = await database.open(living())
    assert await other.adopt_jobs(PATCH) == []
    assert other.find_outlived("t1", FINGERPRINT) is None
    await other.close()
    await alive.close()


async def test_nobody_takes_over_what_it_cannot_ask_for(
    database: Database, dead: GateIdentity
) -> None:
    lost = await begin(database, dead)
    store = await database.open(living())
    assert await store.adopt_jobs({"another"}) == []
    assert call_of(store).state == "running"
    await store.close()
    await lost.close()


async def test_a_job_that_was_taken_over_is_paid_once(
    database: Database, dead: GateIdentity
) -> None:
    lost = await begin(database, dead)
    store = await database.open(living())
    await store.adopt_jobs(PATCH)
    for result in (b"first", b"second"):
        await store.end_job(ended(), result)
    assert (balance(store), call_of(store).state) == ((40, 0), "ok")
    found = store.find_outlived("t1", FINGERPRINT)
    assert found is not None
    assert (found.attempt_id, found.call_id, found.result) == ("c1.1", "c1", b"first")
    assert store.verify() == []
    await store.close()
    await lost.close()


async def test_a_result_is_handed_out_once(database: Database, dead: GateIdentity) -> None:
    lost = await begin(database, dead)
    store = await database.open(living())
    await store.adopt_jobs(PATCH)
    assert not await store.claim_result("c1.1", NOW + 4)
    await store.end_job(ended(), b"result")
    assert [await store.claim_result("c1.1", NOW + 4) for _ in range(2)] == [True, False]
    assert store.find_outlived("t1", FINGERPRINT) is None
    await store.close()
    await lost.close()


async def test_a_job_that_failed_has_no_result_to_hand_out(
    database: Database, dead: GateIdentity
) -> None:
    lost = await begin(database, dead)
    store = await database.open(living())
    # Also before somebody has taken it over: who asks now must not begin it anew.
    running = store.find_outlived("t1", FINGERPRINT)
    await store.adopt_jobs(PATCH)
    assert running is not None
    assert running.result is None
    await store.end_job(msgspec.structs.replace(ended(), state="failed"), None)
    assert store.find_outlived("t1", FINGERPRINT) is None
    await store.close()
    await lost.close()


@pytest.mark.parametrize(("task", "asked"), [("t2", FINGERPRINT), ("t1", b"something else..")])
async def test_only_who_asks_the_same_finds_it(
    database: Database, dead: GateIdentity, task: str, asked: bytes
) -> None:
    lost = await begin(database, dead)
    store = await database.open(living())
    await store.adopt_jobs(PATCH)
    assert store.find_outlived(task, asked) is None
    await store.close()
    await lost.close()


async def test_a_job_is_noted_once_and_that_of_no_attempt_not_at_all(
    store: Store,
) -> None:
    await store.admit(make_intent(make_task(budget=1_000)))
    await store.note_job("c1.1", "job_7", NOW)
    await store.note_job("c1.1", "job_8", NOW)
    await store.note_job("nobody", "job_9", NOW)
    await store.settle(make_settlement())
    assert balance(store) == (40, 0)


async def test_a_job_that_nobody_asked_for_for_hours_is_given_up(
    database: Database, dead: GateIdentity, clock: FakeClock
) -> None:
    lost = await begin(database, dead)
    clock.advance(LONGEST_JOB_SECONDS + 3)
    store = await database.open(living())
    assert (balance(store), call_of(store).code) == ((100, 0), "gate_died")
    assert await store.adopt_jobs(PATCH) == []
    await store.close()
    await lost.close()


async def test_a_gate_that_ends_leaves_its_jobs_to_the_next(database: Database) -> None:
    ending = await begin(database, living())
    await ending.close()
    store = await database.open(living())
    assert len(await store.adopt_jobs(PATCH)) == 1
    await store.close()


async def test_who_is_no_gate_takes_nothing_over(database: Database) -> None:
    reading = await database.open(None)
    with pytest.raises(RuntimeError, match="without a gate"):
        reading.adopt_jobs(PATCH)
    await reading.close()
