"""What is booked for a gate that died, and that its late word still counts."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from callgate.errors import StoreDown
from callgate.money import Money
from callgate.store import GateIdentity, Grant, Store
from callgate.store.owners import find_place
from callgate.testing.clocks import FakeClock, Turn
from tests.contract.store.conftest import Database, living
from tests.contract.store.making import NOW, make_end, make_intent, make_settlement, make_task
from tests.contract.store.test_admission import balance
from tests.contract.store.test_settlement import call_of

pytestmark = pytest.mark.skipif(find_place() is None, reason="pids tell nothing on this system")


@pytest.fixture
def remote() -> GateIdentity:
    """A gate whose process cannot be seen from here."""
    return msgspec.structs.replace(living(), place="another boot")


async def test_a_dead_gates_holds_are_booked_when_the_next_one_opens(
    database: Database, dead: GateIdentity
) -> None:
    lost = await database.open(dead)
    await lost.admit(make_intent(make_task(budget=1_000)))
    store = await database.open(living())
    assert balance(store) == (100, 0)
    call = call_of(store)
    assert (call.state, call.code, call.status, call.ended_at) == ("failed", "gate_died", None, NOW)
    (attempt,) = call.attempts
    assert (attempt.state, attempt.cost, attempt.estimated) == ("unknown", Money(100), True)
    assert store.verify() == []
    await store.close()
    await lost.close()


async def test_a_living_gates_holds_stay(store: Store, database: Database) -> None:
    await store.admit(make_intent(make_task(budget=1_000)))
    other = await database.open(living())
    assert balance(other) == (0, 100)
    await other.close()


async def test_a_pid_that_is_used_again_is_not_taken_for_the_gate(
    database: Database, dead: GateIdentity
) -> None:
    reused = msgspec.structs.replace(living(), pid_started="1")
    lost = await database.open(reused)
    await lost.admit(make_intent(make_task(budget=1_000)))
    store = await database.open(living())
    assert balance(store) == (100, 0)
    await store.close()
    await lost.close()
    assert dead.pid != reused.pid


async def test_a_gate_that_cannot_be_seen_is_dead_after_twenty_silent_seconds(
    database: Database, remote: GateIdentity, clock: FakeClock
) -> None:
    lost = await database.open(remote, clock=FakeClock())
    await lost.admit(make_intent(make_task(budget=1_000)))
    clock.advance(20)
    early = await database.open(living())
    assert balance(early) == (0, 100)
    clock.advance(1)
    late = await database.open(living())
    assert balance(late) == (100, 0)
    for store in (early, late, lost):
        await store.close()


async def test_a_gate_that_beats_is_not_dead(
    database: Database, remote: GateIdentity, clock: FakeClock
) -> None:
    busy = await database.open(remote)
    await busy.admit(make_intent(make_task(budget=1_000)))
    for _ in range(10):
        clock.advance(5)
        # The first one finds the beat due, the second one joins it or comes after.
        await busy.end_task("nobody", NOW)
        await busy.end_task("nobody", NOW)
    store = await database.open(living())
    assert balance(store) == (0, 100)
    await store.close()
    await busy.close()


async def test_a_running_gate_finds_the_dead_by_itself_within_thirty_seconds(
    store: Store, database: Database, remote: GateIdentity, clock: FakeClock
) -> None:
    lost = await database.open(remote, clock=FakeClock())
    await lost.admit(make_intent(make_task(budget=1_000)))
    for _ in range(6):
        clock.advance(5)
        await store.end_task("nobody", NOW)
        await store.end_task("nobody", NOW)
    assert balance(store) == (100, 0)
    await lost.close()


async def test_a_late_settlement_corrects_the_estimate(
    database: Database, dead: GateIdentity
) -> None:
    stopped = await database.open(dead)
    await stopped.admit(make_intent(make_task(budget=1_000)))
    store = await database.open(living())
    await stopped.settle(make_settlement(cost=40, end=make_end()))
    assert balance(store) == (40, 0)
    call = call_of(store)
    assert (call.state, call.code, call.attempts[0].estimated) == ("ok", None, False)
    await stopped.settle(make_settlement(cost=70))
    assert balance(store) == (40, 0)
    assert store.verify() == []
    await store.close()
    await stopped.close()


async def test_a_late_settlement_of_a_dearer_reply_is_booked_in_full(
    database: Database, dead: GateIdentity
) -> None:
    stopped = await database.open(dead)
    await stopped.admit(make_intent(make_task(budget=1_000)))
    await stopped.admit(make_intent(make_task(budget=1_000), "c2"))
    store = await database.open(living())
    await stopped.settle(make_settlement(cost=130))
    await stopped.settle(make_settlement("c2.1", cost=None))
    assert balance(store) == (230, 0)
    assert store.verify() == []
    await store.close()
    await stopped.close()


async def test_a_cost_without_a_bound_stays_unknown(database: Database, dead: GateIdentity) -> None:
    lost = await database.open(dead)
    await lost.admit(make_intent(make_task(), nano=None))
    store = await database.open(living())
    (attempt,) = call_of(store).attempts
    assert (attempt.state, attempt.cost, attempt.estimated) == ("unknown", None, False)
    await lost.settle(make_settlement(cost=7))
    assert balance(store) == (7, 0)
    await store.close()
    await lost.close()


async def test_a_call_between_two_attempts_fails_with_its_gate(
    database: Database, dead: GateIdentity
) -> None:
    lost = await database.open(dead)
    await lost.admit(make_intent(make_task()))
    await lost.settle(make_settlement(cost=0))
    store = await database.open(living())
    assert (call_of(store).state, call_of(store).code) == ("failed", "gate_died")
    assert call_of(store).attempts[0].state == "ok"
    await store.close()
    await lost.close()


async def test_an_attempt_of_a_call_that_has_ended_is_booked_too(
    database: Database, dead: GateIdentity
) -> None:
    lost = await database.open(dead)
    await lost.admit(make_intent(make_task()))
    await lost.end_call(make_end())
    store = await database.open(living())
    assert (call_of(store).state, balance(store)) == ("ok", (100, 0))
    await store.close()
    await lost.close()


async def test_a_gate_taken_for_dead_is_found_again_when_it_dies(
    database: Database, dead: GateIdentity
) -> None:
    stopped = await database.open(dead)
    first = await database.open(living())
    await stopped.admit(make_intent(make_task()))
    second = await database.open(living())
    assert balance(second) == (100, 0)
    for store in (first, second, stopped):
        await store.close()


async def test_closing_books_what_nobody_will_settle(database: Database) -> None:
    store = await database.open(living())
    await store.admit(make_intent(make_task(budget=1_000)))
    await store.close()
    books = await database.open(None)
    assert balance(books) == (100, 0)
    assert books.gates() == []
    assert books.verify() == []
    await books.close()


async def test_a_dead_gate_is_taken_off_the_list(database: Database, dead: GateIdentity) -> None:
    lost = await database.open(dead)
    assert [gate.id for gate in lost.gates()] == [dead.id]
    gate = living()
    store = await database.open(gate)
    assert [gate.id for gate in store.gates()] == [gate.id]
    await store.close()
    await lost.close()


async def test_nothing_is_admitted_that_closing_would_not_book(database: Database) -> None:
    store = await database.open(living())
    before = store.admit(make_intent(make_task(budget=1_000)))
    closing = asyncio.ensure_future(store.close())
    await Turn()
    with pytest.raises(StoreDown):
        await store.admit(make_intent(make_task(budget=1_000), "c2"))
    await closing
    assert await before == Grant(reserved=Money(100), output_tokens=0)
    books = await database.open(None)
    assert balance(books) == (100, 0)
    await books.close()
