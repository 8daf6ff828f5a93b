"""Tasks, keys, gates and listings: what was written is what is read."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from callgate.call import Candidate
from callgate.errors import Malformed, StoreDown
from callgate.money import Money
from callgate.store import GateIdentity, MadeReply, Settlement, Store, TaskRow
from callgate.testing.clocks import FakeClock
from tests.contract.store.conftest import Database
from tests.contract.store.making import (
    NOW,
    USAGE,
    make_end,
    make_intent,
    make_key,
    make_refusal,
    make_settlement,
    make_task,
)


async def test_a_task_is_read_as_it_was_written(store: Store) -> None:
    task = make_task(budget=5, deadline_at=NOW + 60.5)
    assert await store.create_task(task) == task
    assert store.find_task("t1") == task
    assert store.find_task("t2") is None


async def test_creating_a_task_again_returns_the_stored_one(store: Store) -> None:
    stored = await store.create_task(make_task(budget=5))
    assert await store.create_task(make_task(budget=9)) == stored


@pytest.mark.parametrize("tools", [(), ("note", "far.*")])
async def test_a_task_stays_as_narrow_as_it_began(store: Store, tools: tuple[str, ...]) -> None:
    narrow = msgspec.structs.replace(make_task(tools=tools), models=("smart",))
    await store.create_task(narrow)
    assert await store.create_task(make_task()) == narrow
    await store.admit(make_intent(make_task()))
    assert store.find_task("t1") == narrow


async def test_a_task_that_begins_with_a_call_is_as_narrow(store: Store) -> None:
    await store.admit(make_intent(make_task(tools=("note",))))
    found = store.find_task("t1")
    assert found is not None
    assert found.tools == ("note",)


@pytest.mark.parametrize("stored", [None, (), ("note", "far.*")])
async def test_a_task_that_is_not_as_narrow_as_is_asked_is_refused(
    store: Store, stored: tuple[str, ...] | None
) -> None:
    await store.create_task(make_task(tools=stored))
    with pytest.raises(Malformed, match="task t1 exists, and its tools are") as refused:
        await store.create_task(make_task(tools=("note",)))
    assert refused.value.reason.code == "task_mismatch"


async def test_creating_a_task_of_somebody_else_is_refused(store: Store) -> None:
    await store.create_task(make_task())
    with pytest.raises(Malformed, match="'researcher', not 'writer'"):
        await store.create_task(make_task(agent="writer"))


async def test_a_task_keeps_its_first_end(store: Store) -> None:
    await store.create_task(make_task())
    await store.end_task("t1", NOW + 5)
    await store.end_task("t1", NOW + 9)
    assert store.find_task("t1") == msgspec.structs.replace(make_task(), ended_at=NOW + 5)


async def test_a_task_row_has_its_ledger_and_its_counts(store: Store) -> None:
    task = make_task(budget=1_000)
    await store.admit(make_intent(task, "c1"))
    await store.settle(make_settlement("c1.1", cost=40, end=make_end("c1")))
    await store.admit(make_intent(task, "c2"))
    await store.refuse(make_refusal("c3", task=task))
    assert store.task_row("t1") == TaskRow(
        task=task,
        spent=Money(40),
        held=Money(100),
        calls=3,
        refused=1,
        estimated=False,
        unknown_costs=0,
    )
    assert store.task_row("t2") is None


async def test_tasks_are_listed_newest_first_and_by_agent(store: Store) -> None:
    for id, agent in (("t1", "a"), ("t2", "b"), ("t3", "a")):
        await store.create_task(make_task(id, agent=agent))
    assert [row.task.id for row in store.tasks()] == ["t3", "t2", "t1"]
    assert [row.task.id for row in store.tasks(limit=2)] == ["t3", "t2"]
    assert [row.task.id for row in store.tasks(agent="a")] == ["t3", "t1"]


async def test_calls_are_listed_newest_first_by_task_and_by_state(store: Store) -> None:
    await store.admit(make_intent(make_task("t1"), "c1"))
    await store.settle(make_settlement("c1.1", end=make_end("c1")))
    await store.admit(make_intent(make_task("t2"), "c2"))
    await store.admit(make_intent(make_task("t2"), "c2", n=2))
    await store.refuse(make_refusal("c3", task=make_task("t2")))
    assert [call.id for call in store.calls()] == ["c3", "c2", "c1"]
    assert [call.id for call in store.calls(limit=1)] == ["c3"]
    assert [call.id for call in store.calls(limit=None, task_id="t2")] == ["c3", "c2"]
    assert [call.id for call in store.calls(task_id="t2", state="running")] == ["c2"]
    assert [call.id for call in store.calls(state="refused")] == ["c3"]
    assert [call.id for call in store.calls(state="ok")] == ["c1"]
    assert [len(call.attempts) for call in store.calls()] == [0, 2, 1]
    assert store.find_call("c4") is None


def made(reply_id: str, attempt: str = "c1.1", **more: Any) -> Settlement:
    return msgspec.structs.replace(make_settlement(attempt), reply_id=reply_id, **more)


async def test_a_reply_that_its_provider_keeps_is_found_by_its_id(store: Store) -> None:
    gpt = Candidate(provider="openai", model="gpt-5.5")
    await store.admit(make_intent(make_task(), "c1", candidate=gpt))
    assert store.find_reply("resp_1") is None
    await store.settle(made("resp_1"))
    tokens = USAGE.total_input_tokens + USAGE.total_output_tokens
    found = MadeReply(candidate=gpt, agent="researcher", user="u1", tokens=tokens)
    assert store.find_reply("resp_1") == found
    assert store.find_reply("resp_2") is None


async def test_a_reply_that_nobody_keeps_is_not_found(store: Store) -> None:
    await store.admit(make_intent(make_task(), "c1"))
    await store.settle(made("chatcmpl-1"))
    assert store.find_reply("chatcmpl-1") is None


async def test_of_two_replies_with_one_id_the_newest_is_found(store: Store) -> None:
    for call, user in (("c1", "u1"), ("c2", "u2")):
        await store.admit(make_intent(make_task(f"t-{user}", user=user), call))
        await store.settle(made("resp_1", f"{call}.1", usage=None))
    found = store.find_reply("resp_1")
    assert found is not None
    assert (found.user, found.tokens) == ("u2", None)


async def test_retries_are_counted_over_a_task(store: Store) -> None:
    for call, n in (("c1", 1), ("c1", 2), ("c2", 1), ("c2", 2), ("c2", 3)):
        await store.admit(make_intent(make_task(), call, n=n))
    await store.admit(make_intent(make_task("t2"), "c3"))
    assert (store.count_retries("t1"), store.count_retries("t2")) == (3, 0)


async def test_a_key_is_found_by_its_digest(store: Store) -> None:
    key = msgspec.structs.replace(make_key(), task_id="t1", label="ci", expires_at=NOW + 60)
    await store.create_key(key)
    assert store.find_key(key.digest) == key
    assert store.find_key(b"another") is None


async def test_keys_are_listed_newest_first(store: Store) -> None:
    for n, id in enumerate(("k1", "k2", "k3")):
        await store.create_key(make_key(id, created_at=NOW + n))
    keys = store.keys()
    assert [key.id for key in keys] == ["k3", "k2", "k1"]


async def test_a_revoked_key_keeps_its_first_revocation(store: Store) -> None:
    await store.create_key(make_key())
    assert await store.revoke_key("k1", NOW + 1)
    assert await store.revoke_key("k1", NOW + 2)
    assert not await store.revoke_key("k2", NOW + 1)
    key = store.find_key(make_key().digest)
    assert key is not None
    assert key.revoked_at == NOW + 1


async def test_a_gate_is_listed_with_its_url_and_its_reload(
    database: Database, clock: FakeClock
) -> None:
    gate = GateIdentity.of_this_process(started_at=NOW)
    store = await database.open(gate)
    await store.set_url("http://127.0.0.1:4180")
    await store.set_reload(NOW + 1, "line 3: no")
    (row,) = store.gates()
    assert (row.id, row.host, row.pid) == (gate.id, gate.host, gate.pid)
    assert (row.url, row.started_at, row.beat_at) == ("http://127.0.0.1:4180", NOW, NOW)
    assert (row.reloaded_at, row.reload_error) == (NOW + 1, "line 3: no")
    await store.set_reload(NOW + 2, None)
    assert store.gates()[0].reload_error is None
    clock.advance(31)
    assert store.gates() == []
    await store.close()


async def test_a_store_without_a_gate_reads_and_administers_and_is_no_gate(
    store: Store, database: Database
) -> None:
    await store.create_task(make_task())
    books = await database.open(None)
    assert books.find_task("t1") == make_task()
    await books.create_key(make_key())
    assert store.keys() == [make_key()]
    assert len(books.gates()) == 1
    await books.close()


async def test_a_store_without_a_gate_admits_nothing(database: Database) -> None:
    books = await database.open(None)
    with pytest.raises(RuntimeError, match="without a gate"):
        await books.admit(make_intent(make_task()))
    with pytest.raises(RuntimeError, match="without a gate"):
        await books.set_url("http://127.0.0.1:1")
    with pytest.raises(RuntimeError, match="without a gate"):
        await books.set_reload(NOW, None)
    await books.close()


async def test_closing_finishes_what_was_submitted(database: Database) -> None:
    store = await database.open(GateIdentity.of_this_process(started_at=NOW))
    written = store.create_task(make_task())
    await store.close()
    assert written.done()
    books = await database.open(None)
    assert books.find_task("t1") == make_task()
    await books.close()


async def test_a_closed_store_is_down_and_may_be_closed_again(database: Database) -> None:
    store = await database.open(GateIdentity.of_this_process(started_at=NOW))
    await store.close()
    await store.close()
    with pytest.raises(StoreDown, match="closed"):
        await store.create_task(make_task())
    with pytest.raises(StoreDown):
        store.find_task("t1")
