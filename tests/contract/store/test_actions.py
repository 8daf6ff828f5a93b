"""What is to be done once, as every store has it: one of any number of gates does it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import msgspec
import pytest

from callgate.errors import AlreadyDone, Malformed, StillRunning, StillUnknown, Unknown
from callgate.store import (
    Action,
    ActionEnd,
    Decision,
    GateIdentity,
    Intent,
    LookUp,
    Planned,
    Settlement,
    Store,
)
from callgate.testing.clocks import FakeClock
from tests.contract.store.conftest import Database, living
from tests.contract.store.making import NOW, make_end, make_intent, make_settlement, make_task

DONE = ActionEnd(state="done", result=b'{"content":[]}')
UNKNOWN = ActionEnd(state="unknown")
NOT_DONE = ActionEnd(state="not_done")


def plan(name: str = "refund", *, call: str = "c1", repeat: int | None = 1, **more: Any) -> Planned:
    task = more.pop("task", None) or make_task()
    made = Planned(
        id=f"act-{call}", digest=name.encode(), scope=f"task:{task.id}", repeat=repeat, tool="pay",
        task=task, exact=b"exact", arguments='{"charge":1}', idempotency_key=f"key-{call}",
        known_for_seconds=0.0,
    )  # fmt: skip
    return msgspec.structs.replace(made, **more)


def intent(call: str = "c1", *, n: int = 1, at: float = NOW + 1, **more: Any) -> Intent:
    planned = plan(call=call, **more)
    return make_intent(planned.task, call, n=n, sent_at=at, action=planned)


def ended(attempt: str, how: ActionEnd, *, at: float = NOW + 3, last: bool = True) -> Settlement:
    call = attempt.partition(".")[0]
    end = make_end(call, ended_at=at) if last else None
    made = make_settlement(attempt, at=at, end=end)
    return msgspec.structs.replace(made, action=how)


def only(store: Store) -> Action:
    (action,) = store.actions()
    return action


async def test_of_many_at_once_one_does_it(store: Store, database: Database) -> None:
    other = await database.open(living())
    tries = [(store, other)[n % 2].admit(intent(f"c{n}")) for n in range(20)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    told = Counter(type(answer).__name__ for answer in answers)
    assert told == {"Grant": 1, "StillRunning": 19}
    await other.close()


async def test_the_key_of_an_action_is_that_of_its_first_attempt(store: Store) -> None:
    first = await store.admit(intent("c1"))
    await store.settle(ended("c1.1", NOT_DONE))
    second = await store.admit(intent("c2"))
    assert (first.idempotency_key, second.idempotency_key) == ("key-c1", "key-c1")


async def test_an_attempt_that_does_nothing_once_has_no_key(store: Store) -> None:
    grant = await store.admit(make_intent(make_task()))
    assert (grant.idempotency_key, store.actions()) == (None, [])


async def test_other_arguments_under_the_same_name_have_another_key(store: Store) -> None:
    await store.admit(intent("c1"))
    await store.settle(ended("c1.1", NOT_DONE))
    other = await store.admit(intent("c2", exact=b"other"))
    assert other.idempotency_key == "key-c2"


async def test_a_tool_that_said_it_failed_is_asked_anew_by_another_key(store: Store) -> None:
    await store.admit(intent("c1"))
    await store.settle(ended("c1.1", ActionEnd(state="not_done", next_key="fresh")))
    assert (await store.admit(intent("c2"))).idempotency_key == "fresh"


async def test_what_is_done_is_told_with_its_result(store: Store) -> None:
    await store.admit(intent("c1"))
    await store.settle(ended("c1.1", DONE))
    with pytest.raises(AlreadyDone) as done:
        await store.admit(intent("c2"))
    assert (done.value.call_id, done.value.done_at) == ("c1", NOW + 3)
    assert (done.value.result, done.value.is_same) == (DONE.result, True)
    with pytest.raises(AlreadyDone):
        store.check_action(plan(call="c3"), NOW + 4)


async def test_who_looks_is_not_kept_from_what_is_free_or_being_done(store: Store) -> None:
    store.check_action(plan(), NOW)
    await store.admit(intent("c1"))
    store.check_action(plan(call="c2"), NOW)


async def test_what_is_refused_for_another_reason_has_not_begun(store: Store) -> None:
    with pytest.raises(Exception, match="budget"):
        await store.admit(intent("c1", task=make_task(budget=50)))
    assert store.actions() == []


async def test_one_that_knows_by_key_is_asked_again_with_the_same_arguments_only(
    store: Store,
) -> None:
    await store.admit(intent("c1", known_for_seconds=60.0))
    await store.settle(ended("c1.1", UNKNOWN))
    with pytest.raises(StillUnknown):
        await store.admit(intent("c2", known_for_seconds=60.0, exact=b"other"))
    assert (await store.admit(intent("c3", known_for_seconds=60.0))).idempotency_key == "key-c1"


async def test_a_key_is_known_from_the_first_time_that_it_was_sent(store: Store) -> None:
    for n, at in enumerate((NOW, NOW + 40)):
        await store.admit(intent(f"c{n}", at=at, known_for_seconds=60.0))
        await store.settle(ended(f"c{n}.1", UNKNOWN))
    action = only(store)
    assert (action.since, action.sent_at) == (NOW, NOW + 40)
    with pytest.raises(StillUnknown):
        await store.admit(intent("c3", at=NOW + 61, known_for_seconds=60.0))


async def test_another_attempt_of_a_call_is_of_the_same_time_of_an_action(store: Store) -> None:
    for call in ("c1", "c2"):
        await store.admit(intent(call, repeat=None))
    await store.settle(ended("c1.1", NOT_DONE, last=False))
    again = await store.admit(intent("c1", n=2, repeat=None))
    assert again.idempotency_key == "key-c1"
    assert {action.n: action.attempts for action in store.actions()} == {1: 2, 2: 1}


@pytest.mark.parametrize(
    ("how", "wanted", "error"),
    [
        (DONE, 3, Malformed), (UNKNOWN, 2, StillUnknown), (NOT_DONE, 2, Malformed),
        (None, 2, StillRunning),
    ],
)  # fmt: skip
async def test_a_time_that_is_not_next_is_refused(
    store: Store, how: ActionEnd | None, wanted: int, error: type[Exception]
) -> None:
    await store.admit(intent("c1"))
    if how is not None:
        await store.settle(ended("c1.1", how))
    with pytest.raises(error):
        await store.admit(intent("c2", repeat=wanted))


async def test_what_a_dead_gate_was_doing_is_unknown_and_told(
    database: Database, dead: GateIdentity
) -> None:
    lost = await database.open(dead)
    await lost.admit(intent("c1"))
    store = await database.open(living())
    assert only(store).state == "unknown"
    (alert,) = store.alerts()
    assert (alert.kind, alert.facts["effect"]) == ("effect_unknown", "act-c1")
    with pytest.raises(StillUnknown):
        await store.admit(intent("c2"))
    await store.close()
    await lost.close()


async def test_what_was_unknown_before_its_gate_died_is_told_then(
    database: Database, dead: GateIdentity
) -> None:
    lost = await database.open(dead)
    await lost.admit(intent("c1", known_for_seconds=60.0))
    await lost.settle(ended("c1.1", UNKNOWN, last=False))
    assert lost.alerts() == []
    store = await database.open(living())
    assert [alert.kind for alert in store.alerts()] == ["effect_unknown"]
    await store.close()
    await lost.close()


async def test_the_late_word_of_a_gate_that_was_taken_for_dead_counts(
    database: Database, dead: GateIdentity
) -> None:
    lost = await database.open(dead)
    await lost.admit(intent("c1"))
    store = await database.open(living())
    await lost.settle(ended("c1.1", DONE))
    assert (only(store).state, store.alerts(only_open=True)) == ("done", [])
    await store.close()
    await lost.close()


async def test_the_late_word_of_a_gate_says_nothing_of_what_was_begun_since(
    database: Database, dead: GateIdentity
) -> None:
    lost = await database.open(dead)
    await lost.admit(intent("c1"))
    store = await database.open(living())
    await store.decide(Decision(action_id="act-c1", state="not_done", by="ann", at=NOW))
    await store.admit(intent("c2"))
    await lost.settle(ended("c1.1", DONE))
    assert only(store).state == "running"
    await store.close()
    await lost.close()


async def test_a_decision_is_kept_with_who_made_it_and_when(store: Store) -> None:
    await store.admit(intent("c1"))
    await store.settle(ended("c1.1", UNKNOWN))
    said = Decision(action_id="act-c1", state="done", by="ann", at=NOW + 9, note="seen in Stripe")
    action = await store.decide(said)
    assert (action.state, action.decided_by, action.note) == ("done", "ann", "seen in Stripe")
    assert (action.ended_at, store.find_action("act-c1")) == (NOW + 9, action)
    assert [alert.resolved_at for alert in store.alerts()] == [NOW + 9]


async def test_nobody_decides_on_what_runs_or_is_not_there(store: Store) -> None:
    await store.admit(intent("c1"))
    with pytest.raises(StillRunning):
        await store.decide(Decision(action_id="act-c1", state="done", by="ann", at=NOW))
    with pytest.raises(Unknown, match="there is no effect 'act-x'"):
        await store.decide(Decision(action_id="act-x", state="done", by="ann", at=NOW))


async def test_actions_are_listed_with_those_first_that_nobody_knows(store: Store) -> None:
    for n, how in enumerate((UNKNOWN, DONE, DONE)):
        call = f"c{n}"
        task = make_task(f"t{n % 2}")
        await store.admit(intent(call, name=call, at=NOW + n, task=task))
        await store.settle(ended(f"{call}.1", how))
    assert [action.id for action in store.actions()] == ["act-c0", "act-c2", "act-c1"]
    assert [action.id for action in store.actions(limit=2)] == ["act-c0", "act-c2"]
    assert [action.id for action in store.actions(limit=None, only_open=True)] == ["act-c0"]
    assert [action.id for action in store.actions(task_id="t1")] == ["act-c1"]


async def test_how_to_find_out_is_kept_with_an_action(store: Store) -> None:
    look_up = LookUp(tool="find", arguments={"charge": 1}, done="status")
    await store.admit(intent("c1", check=look_up))
    action = only(store)
    assert (action.check, action.arguments, action.since) == (look_up, '{"charge":1}', NOW + 1)


async def test_what_it_was_is_forgotten_after_a_month_and_that_it_was_done_never(
    store: Store, clock: FakeClock
) -> None:
    await store.admit(intent("c1"))
    await store.settle(ended("c1.1", DONE))
    clock.advance(31 * 86_400)
    for _ in range(2):
        await store.end_task("nobody", NOW)
    assert only(store).arguments is None
    with pytest.raises(AlreadyDone) as done:
        await store.admit(intent("c2"))
    assert done.value.result is None


async def test_what_nobody_knows_is_never_forgotten(store: Store, clock: FakeClock) -> None:
    await store.admit(intent("c1"))
    await store.settle(ended("c1.1", UNKNOWN))
    clock.advance(31 * 86_400)
    for _ in range(2):
        await store.end_task("nobody", NOW)
    assert only(store).arguments is not None
