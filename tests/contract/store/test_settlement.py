"""What settlement promises: the hold is freed and the cost is booked, exactly once."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from callgate.call import Claims
from callgate.money import Money
from callgate.store import CallRow, Store
from callgate.task import Task
from tests.contract.store.making import (
    NOW,
    USAGE,
    make_end,
    make_intent,
    make_refusal,
    make_settlement,
    make_task,
)
from tests.contract.store.test_admission import balance


def call_of(store: Store, call_id: str = "c1") -> CallRow:
    call = store.find_call(call_id)
    assert call is not None
    return call


async def test_a_settlement_frees_the_hold_and_books_the_cost(store: Store) -> None:
    await store.admit(make_intent(make_task(budget=1_000)))
    await store.settle(make_settlement(cost=40))
    assert balance(store) == (40, 0)
    assert store.verify() == []


async def test_a_settlement_writes_everything_that_is_known(store: Store) -> None:
    await store.admit(make_intent(make_task()))
    await store.settle(make_settlement(cost=40, estimated=True))
    (attempt,) = call_of(store).attempts
    assert (attempt.state, attempt.cost, attempt.estimated) == ("ok", Money(40), True)
    assert (attempt.usage, attempt.answered_by, attempt.reply_id) == (USAGE, "gpt-5.5-0101", "r1")
    assert (attempt.first_byte_at, attempt.ended_at) == (NOW + 2, NOW + 3)
    assert (attempt.http_status, attempt.finish_reason, attempt.error) == (200, "stop", None)
    assert attempt.changes == ("model=gpt-5.5", "max_tokens=7")


async def test_a_second_settlement_does_nothing(store: Store) -> None:
    await store.admit(make_intent(make_task(budget=1_000)))
    await store.settle(make_settlement(cost=40))
    await store.settle(make_settlement(cost=70))
    assert balance(store) == (40, 0)
    assert call_of(store).attempts[0].cost == Money(40)


async def test_two_settlements_at_once_book_one(store: Store) -> None:
    await store.admit(make_intent(make_task(budget=1_000)))
    await asyncio.gather(*(store.settle(make_settlement(cost=cost)) for cost in (40, 70)))
    assert balance(store) == (40, 0)


@pytest.mark.parametrize(("least", "booked"), [(70, 100), (130, 130), (10**15 + 1, 100)])
async def test_an_unknown_cost_is_not_booked_below_what_it_surely_was(
    store: Store, least: int, booked: int
) -> None:
    await store.admit(make_intent(make_task(budget=1_000)))
    settlement = msgspec.structs.replace(make_settlement(cost=None), least=Money(least))
    overrun = await store.settle(settlement)
    assert balance(store) == (booked, 0)
    assert call_of(store).attempts[0].estimated
    assert (overrun is None) is (booked == 100)


async def test_an_unknown_cost_is_booked_at_the_reservation(store: Store) -> None:
    await store.admit(make_intent(make_task(budget=1_000)))
    await store.settle(make_settlement(cost=None))
    assert balance(store) == (100, 0)
    (attempt,) = call_of(store).attempts
    assert (attempt.cost, attempt.estimated) == (Money(100), True)
    row = store.task_row("t1")
    assert row is not None
    assert (row.estimated, row.unknown_costs) == (True, 0)


async def test_a_cost_that_nobody_can_know_stays_unknown_and_is_in_no_sum(store: Store) -> None:
    await store.admit(make_intent(make_task(), nano=None))
    await store.settle(make_settlement(cost=None, estimated=True))
    assert balance(store) == (0, 0)
    (attempt,) = call_of(store).attempts
    assert (attempt.cost, attempt.estimated) == (None, False)
    row = store.task_row("t1")
    assert row is not None
    assert (row.estimated, row.unknown_costs) == (False, 1)


async def test_a_cost_without_a_reservation_is_booked(store: Store) -> None:
    await store.admit(make_intent(make_task(), nano=None))
    await store.settle(make_settlement(cost=7))
    assert balance(store) == (7, 0)
    assert store.verify() == []


async def test_a_bill_above_its_reservation_is_booked_in_full(store: Store) -> None:
    await store.admit(make_intent(make_task(budget=100)))
    await store.settle(make_settlement(cost=130))
    assert balance(store) == (130, 0)
    assert store.verify() == []


async def test_a_cost_beyond_belief_counts_as_unknown(store: Store) -> None:
    await store.admit(make_intent(make_task(budget=100)))
    await store.settle(make_settlement(cost=10**15 + 1))
    assert balance(store) == (100, 0)
    assert call_of(store).attempts[0].estimated
    await store.admit(make_intent(make_task("t2"), "c2"))
    await store.settle(make_settlement("c2.1", cost=10**15))
    assert balance(store, "t2") == (10**15, 0)


async def test_an_attempt_that_was_never_admitted_cannot_be_settled(store: Store) -> None:
    with pytest.raises(LookupError, match=r"attempt nobody was never admitted"):
        await store.settle(make_settlement("nobody"))


async def test_a_settlement_without_usage_or_changes_leaves_them_empty(store: Store) -> None:
    await store.admit(make_intent(make_task()))
    bare = msgspec.structs.replace(make_settlement(), usage=None, changes=(), first_byte_at=None)
    await store.settle(bare)
    (attempt,) = call_of(store).attempts
    assert (attempt.usage, attempt.changes, attempt.first_byte_at) == (None, (), None)


async def test_a_settlement_ends_the_call_where_it_says_so(store: Store) -> None:
    await store.admit(make_intent(make_task()))
    await store.settle(make_settlement(end=make_end()))
    call = call_of(store)
    assert (call.state, call.status, call.ended_at) == ("ok", 200, NOW + 3)
    assert call.cost == Money(40)


async def test_a_call_keeps_its_first_outcome(store: Store) -> None:
    await store.admit(make_intent(make_task()))
    await store.settle(make_settlement(end=make_end()))
    await store.end_call(msgspec.structs.replace(make_end(), state="failed", status=502))
    assert (call_of(store).state, call_of(store).status) == ("ok", 200)


async def test_a_call_is_ended_apart_from_its_attempts(store: Store) -> None:
    await store.admit(make_intent(make_task()))
    await store.settle(make_settlement())
    end = msgspec.structs.replace(
        make_end(ends_task="t1"),
        state="failed",
        status=502,
        code="exhausted",
        message="no",
        rule="r",
    )
    await store.end_call(end)
    call = call_of(store)
    assert (call.state, call.code, call.message, call.rule) == ("failed", "exhausted", "no", "r")
    task = store.find_task("t1")
    assert task is not None
    assert task.ended_at == NOW + 3


async def test_a_refused_call_has_a_row_and_no_attempt(store: Store) -> None:
    await store.refuse(make_refusal("c9", task=make_task()))
    call = call_of(store, "c9")
    assert (call.state, call.status, call.code) == ("refused", 402, "over_budget")
    assert (call.message, call.rule, call.target) == ("no money", "task budget", "smart")
    assert (call.started_at, call.ended_at, call.attempts) == (NOW + 2, NOW + 3, ())
    assert (call.task_id, call.task_type, call.agent, call.user) == (
        "t1",
        "research",
        "researcher",
        "u1",
    )


async def test_a_refused_call_writes_its_task_if_it_is_new(store: Store) -> None:
    task = make_task(budget=5)
    await store.refuse(make_refusal("c8", task=task))
    await store.refuse(make_refusal("c9", task=task))
    row = store.task_row("t1")
    assert row is not None
    assert (row.task, row.calls, row.refused) == (task, 2, 2)
    assert store.verify() == []


async def test_a_refused_call_ends_the_task_that_was_its_own(store: Store) -> None:
    await store.refuse(make_refusal("c9", task=make_task(), ends_task="t1"))
    assert store.find_task("t1") == msgspec.structs.replace(make_task(), ended_at=NOW + 3)


async def test_a_refused_call_opens_no_ended_task_again(store: Store) -> None:
    await store.create_task(make_task())
    await store.end_task("t1", NOW + 1)
    await store.refuse(make_refusal("c9", task=make_task()))
    assert store.find_task("t1") == msgspec.structs.replace(make_task(), ended_at=NOW + 1)


@pytest.mark.parametrize("task", [None, make_task(agent="writer")])
async def test_a_refused_call_is_none_of_another_agents_task(
    store: Store, task: Task | None
) -> None:
    await store.create_task(make_task())
    claims = Claims(task_id="t1")
    await store.refuse(make_refusal("c9", task=task, claims=claims, agent="writer"))
    assert (call_of(store, "c9").task_id, call_of(store, "c9").agent) == (None, "writer")
    row = store.task_row("t1")
    assert row is not None
    assert (row.task, row.calls) == (make_task(), 0)


async def test_a_refusal_before_there_is_a_task_keeps_what_was_said_of_it(store: Store) -> None:
    claims = Claims(task_id="t1", task_type="draft", user="u9")
    await store.refuse(make_refusal("c8", claims=claims))
    await store.refuse(make_refusal("c9"))
    said, silent = call_of(store, "c8"), call_of(store, "c9")
    assert (said.task_id, said.task_type, said.user) == ("t1", "draft", "u9")
    assert (silent.task_id, silent.task_type, silent.user) == (None, None, None)
    assert store.find_task("t1") is None


async def test_a_call_refused_while_its_admission_was_written_ends_refused(store: Store) -> None:
    await store.admit(make_intent(make_task()))
    await store.refuse(make_refusal("c1", task=make_task(), ends_task="t1"))
    call = call_of(store)
    assert (call.state, call.code, len(call.attempts)) == ("refused", "over_budget", 1)
    assert (call.rule, call.ended_at) == ("task budget", NOW + 3)
    assert store.find_task("t1") == msgspec.structs.replace(make_task(), ended_at=NOW + 3)
