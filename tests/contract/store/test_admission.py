"""What admission promises: the money and the intent together, or neither."""

from __future__ import annotations

import asyncio

import pytest

from callgate.errors import DeadlinePassed, Malformed, OverBudget, Refused, Unpriced
from callgate.money import Money
from callgate.store import Grant, Store
from callgate.task import Task
from tests.contract.store.making import (
    NOW,
    make_bill,
    make_end,
    make_intent,
    make_settlement,
    make_task,
)


def balance(store: Store, task: str = "t1") -> tuple[int, int]:
    """Return what a task has spent and holds, in nano-dollars."""
    row = store.task_row(task)
    assert row is not None
    return row.spent.nano, row.held.nano


async def test_an_admitted_attempt_holds_its_bill_and_has_its_rows(store: Store) -> None:
    task = make_task(budget=1_000)
    grant = await store.admit(make_intent(task, bill=make_bill(100, output_tokens=50)))
    assert grant == Grant(reserved=Money(150), output_tokens=50)
    assert balance(store) == (0, 150)
    call = store.find_call("c1")
    assert call is not None
    assert (call.state, call.task_id, call.agent, call.user) == (
        "running",
        "t1",
        "researcher",
        "u1",
    )
    assert (call.door, call.kind, call.target, call.stream) == ("python", "model", "smart", True)
    assert (call.started_at, call.ended_at, call.request_bytes) == (NOW + 0.5, None, 321)
    (attempt,) = call.attempts
    assert (attempt.id, attempt.n, attempt.state) == ("c1.1", 1, "running")
    assert (attempt.provider, attempt.model) == ("openai", "gpt-5.5")
    assert (attempt.reserved, attempt.output_tokens_limit) == (Money(150), 50)
    assert (attempt.cost, attempt.usage, attempt.price_version) == (None, None, "v1")
    assert (attempt.sent_at, attempt.ended_at, attempt.changes) == (NOW + 1, None, ())


async def test_a_budget_is_spent_to_its_last_nano_dollar_and_not_over_it(store: Store) -> None:
    task = make_task(budget=200)
    await store.admit(make_intent(task, "c1"))
    await store.admit(make_intent(task, "c2"))
    with pytest.raises(OverBudget):
        await store.admit(make_intent(task, "c3", nano=1))
    assert balance(store) == (0, 200)


async def test_a_thousand_calls_at_once_do_not_pass_the_cap(store: Store) -> None:
    task = make_task(budget=100 * 333 + 99)
    admissions = [store.admit(make_intent(task, f"c{n}")) for n in range(1_000)]
    answers = await asyncio.gather(*admissions, return_exceptions=True)
    assert sum(isinstance(answer, Grant) for answer in answers) == 333
    assert sum(isinstance(answer, OverBudget) for answer in answers) == 667
    assert balance(store) == (0, 33_300)
    assert store.verify() == []


async def test_a_refused_admission_leaves_nothing(store: Store) -> None:
    with pytest.raises(OverBudget):
        await store.admit(make_intent(make_task(budget=99)))
    assert store.find_task("t1") is None
    assert store.find_call("c1") is None
    assert store.verify() == []


async def test_the_refusal_tells_spent_from_held(store: Store) -> None:
    task = make_task(budget=1_000)
    await store.admit(make_intent(task, "c1", nano=300))
    await store.settle(make_settlement("c1.1", cost=250))
    await store.admit(make_intent(task, "c2", nano=700))
    with pytest.raises(OverBudget) as refused:
        await store.admit(make_intent(task, "c3", nano=60))
    reason = refused.value.reason
    assert (reason.code, reason.rule, reason.scope) == ("over_budget", "task budget", "task:t1")
    assert (reason.limit, reason.used, reason.held, reason.needed) == (1_000, 250, 700, 60)
    assert "$0.00000025 is spent and $0.0000007 is held by running calls" in refused.value.message
    assert reason.fix is not None
    assert "[tasks.research]" in reason.fix


async def test_the_output_limit_is_lowered_to_what_the_budget_still_buys(store: Store) -> None:
    task = make_task(budget=130)
    bill = make_bill(100, output_tokens=50, least=16)
    assert await store.admit(make_intent(task, bill=bill)) == Grant(
        reserved=Money(130), output_tokens=30
    )
    assert balance(store) == (0, 130)


async def test_a_limit_that_the_request_named_is_never_lowered(store: Store) -> None:
    with pytest.raises(OverBudget):
        await store.admit(make_intent(make_task(budget=130), bill=make_bill(100, output_tokens=50)))


async def test_without_a_budget_the_bill_is_held_all_the_same(store: Store) -> None:
    await store.admit(make_intent(make_task(budget=None), nano=500))
    assert balance(store) == (0, 500)


async def test_without_a_budget_and_a_bill_nothing_is_held(store: Store) -> None:
    assert await store.admit(make_intent(make_task(), nano=None)) == Grant(
        reserved=None, output_tokens=None
    )
    assert balance(store) == (0, 0)


async def test_a_budget_refuses_what_has_no_bill(store: Store) -> None:
    with pytest.raises(Unpriced, match=r'"openai:gpt-5\.5"'):
        await store.admit(make_intent(make_task(budget=1_000), nano=None))
    assert store.find_task("t1") is None


async def test_the_stored_budget_holds_whatever_a_later_caller_says(store: Store) -> None:
    await store.create_task(make_task(budget=50))
    with pytest.raises(OverBudget):
        await store.admit(make_intent(make_task(budget=1_000)))


@pytest.mark.parametrize(
    "other",
    [make_task(agent="x"), make_task(type="x"), make_task(user="x"), make_task(user=None)],
)
async def test_a_task_of_somebody_else_is_refused(store: Store, other: Task) -> None:
    await store.create_task(make_task())
    with pytest.raises(Malformed, match="use another task id") as refused:
        await store.admit(make_intent(other))
    assert (refused.value.status, refused.value.reason.code) == (400, "task_mismatch")
    assert store.find_call("c1") is None


async def test_no_attempt_is_admitted_after_the_deadline(store: Store) -> None:
    task = make_task(deadline_at=NOW + 10)
    await store.admit(make_intent(task, "c1", sent_at=NOW + 10))
    with pytest.raises(DeadlinePassed, match=r"passed 0\.500 seconds ago"):
        await store.admit(make_intent(make_task(), "c2", sent_at=NOW + 10.5))
    assert store.find_call("c2") is None


async def test_a_new_task_whose_deadline_is_over_is_not_written(store: Store) -> None:
    with pytest.raises(DeadlinePassed):
        await store.admit(make_intent(make_task(deadline_at=NOW), sent_at=NOW + 1))
    assert store.find_task("t1") is None


async def test_an_ended_task_is_opened_again_with_its_spend(store: Store) -> None:
    task = make_task(budget=100)
    await store.admit(make_intent(task, "c1"))
    await store.settle(make_settlement("c1.1", cost=90, end=make_end("c1", ends_task="t1")))
    with pytest.raises(OverBudget):
        await store.admit(make_intent(task, "c2", nano=11))
    ended = store.find_task("t1")
    assert ended is not None
    assert ended.ended_at == NOW + 3
    await store.admit(make_intent(task, "c3", nano=10))
    opened = store.find_task("t1")
    assert opened is not None
    assert opened.ended_at is None


async def test_a_second_attempt_holds_again_under_the_same_call(store: Store) -> None:
    task = make_task(budget=1_000)
    await store.admit(make_intent(task, n=1))
    await store.settle(make_settlement("c1.1", cost=0))
    await store.admit(make_intent(task, n=2))
    call = store.find_call("c1")
    assert call is not None
    assert [(attempt.id, attempt.state) for attempt in call.attempts] == [
        ("c1.1", "ok"),
        ("c1.2", "running"),
    ]
    assert balance(store) == (0, 100)
    assert store.count_retries("t1") == 1


async def test_an_attempt_that_was_admitted_already_is_not_admitted_twice(store: Store) -> None:
    task = make_task(budget=1_000)
    await store.admit(make_intent(task))
    with pytest.raises(Exception, match=r"UNIQUE|unique"):
        await store.admit(make_intent(task))
    assert balance(store) == (0, 100)
    assert store.verify() == []


async def test_a_bill_beyond_reason_is_refused_also_without_a_budget(store: Store) -> None:
    with pytest.raises(Malformed, match="fewer output tokens"):
        await store.admit(make_intent(make_task(), bill=make_bill(0, output_tokens=10**18)))
    assert store.find_task("t1") is None


async def test_what_is_free_passes_though_a_bill_went_over_the_budget(store: Store) -> None:
    task = make_task(budget=100)
    await store.admit(make_intent(task, "c1"))
    await store.settle(make_settlement("c1.1", cost=130))
    await store.admit(make_intent(task, "c2", nano=0))
    with pytest.raises(OverBudget):
        await store.admit(make_intent(task, "c3", nano=1))
    assert balance(store) == (130, 0)


async def test_a_bad_admission_does_not_disturb_those_beside_it(store: Store) -> None:
    task = make_task(budget=1_000)
    orphan = make_intent(task, "never", n=2)
    admissions = [
        store.admit(i) for i in (make_intent(task, "c1"), orphan, make_intent(task, "c2"))
    ]
    first, bad, last = await asyncio.gather(*admissions, return_exceptions=True)
    assert isinstance(first, Grant)
    assert isinstance(bad, Exception)
    assert not isinstance(bad, Refused)
    assert isinstance(last, Grant)
    assert balance(store) == (0, 200)
    assert store.verify() == []


async def test_a_cancelled_wait_takes_no_admission_back(store: Store) -> None:
    admitted = store.admit(make_intent(make_task(budget=1_000)))
    admitted.cancel()
    await store.end_task("nobody", NOW)
    assert balance(store) == (0, 100)
