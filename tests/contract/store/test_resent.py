"""What a client sends again is found by what it asks, as long as the earlier one was lost or still runs."""

from __future__ import annotations

from typing import Any

import msgspec

from callgate.store import Resent, Store
from tests.contract.store.making import NOW, ask, make_end, make_refusal, make_settlement, make_task

ALIKE = b"0123456789abcdef"
TASK = "task_1"
LOST: Any = {"state": "failed", "status": 500}


def resent(**more: Any) -> Resent:
    made = Resent(
        agent="researcher",
        user="u1",
        task_type="research",
        task_id=None,
        fingerprint=ALIKE,
        since=NOW,
    )
    return msgspec.structs.replace(made, **more)


async def send(
    store: Store, call: str = "c1", *, task: str = TASK, lost: bool, **more: Any
) -> None:
    """Admit a call, and let it fail."""
    await store.admit(ask(call, task=task, fingerprint=ALIKE, **more))
    if lost:
        end = msgspec.structs.replace(make_end(call), **LOST)
        failed = msgspec.structs.replace(make_settlement(f"{call}.1", end=end), state="failed")
        await store.settle(failed)


async def test_what_was_lost_is_found_by_whoever_asked_it(store: Store) -> None:
    await send(store, lost=True)
    assert store.find_earlier(resent()) == TASK
    for other in (
        {"agent": "other"},
        {"user": None},
        {"task_type": "mail"},
        {"fingerprint": b"another" * 2},
        {"since": NOW + 9},
    ):
        assert store.find_earlier(resent(**other)) is None


async def test_what_still_runs_is_found_and_what_went_well_is_not(store: Store) -> None:
    await send(store, lost=False)
    assert store.find_earlier(resent()) == TASK
    await store.settle(make_settlement("c1.1", end=make_end("c1")))
    assert store.find_earlier(resent()) is None


async def test_the_newest_is_found(store: Store) -> None:
    await send(store, lost=True)
    await send(store, "c2", task="task_2", lost=True)
    assert store.find_earlier(resent()) == "task_2"


async def test_in_a_named_task_it_is_found_however_it_ended_and_nowhere_else(store: Store) -> None:
    await send(store, task="named", lost=False)
    assert store.find_earlier(resent()) is None
    await store.settle(make_settlement("c1.1", end=make_end("c1")))
    assert store.find_earlier(resent(task_id="named")) == "named"
    assert store.find_earlier(resent(task_id=TASK)) is None
    assert store.find_earlier(resent(task_id="named", agent="other")) is None


async def test_tries_of_the_gate_and_of_a_client_are_counted_together(store: Store) -> None:
    await send(store, lost=False)
    await store.admit(ask("c1", task=TASK, n=2))
    await send(store, "c2", lost=True, client_retry=1)
    refused = make_refusal("c3", task=make_task(TASK))
    await store.refuse(msgspec.structs.replace(refused, client_retry=2))
    assert store.count_retries(TASK) == 2
    assert store.count_retries("task_2") == 0
    assert [row.client_retry for row in store.calls(task_id=TASK)] == [2, 1, 0]
