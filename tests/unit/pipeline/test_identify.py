"""Which task a call belongs to, and what a caller may claim about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from callgate.call import Caller, Claims
from callgate.config.policies import Settings
from callgate.errors import Denied, Malformed, Unknown
from callgate.money import Money
from callgate.pipeline.identify import LONGEST_ID, Identify, new_task, task_policy
from callgate.task import Task
from callgate.testing.fakes import Answer
from tests.unit.pipeline.road import Road, open_road, settings

WORKER = Caller(agent="worker")


def strict(made: Settings, **changes: bool) -> Settings:
    """Return settings whose gate asks for more."""
    return msgspec.structs.replace(made, gate=msgspec.structs.replace(made.gate, **changes))


def made(path: Path, claims: Claims, **asked: Any) -> Task:
    return new_task(settings(path), WORKER, claims, started_at=100.0, **asked)


async def with_a_task_key(road: Road, **claims: Any) -> None:
    """Make a call with the key of task t1."""
    passage = road.passage(**claims)
    caller = Caller(agent="worker", task_id="t1")
    passage.call = msgspec.structs.replace(passage.call, caller=caller)
    await road.read(passage)


def test_an_agent_that_the_settings_do_not_name_is_denied(tmp_path: Path) -> None:
    with pytest.raises(Denied, match=r"add \[agents\.ghost\]") as denied:
        new_task(settings(tmp_path), Caller(agent="ghost"), Claims(), started_at=0)
    assert denied.value.reason.code == "unknown_agent"


def test_a_gate_may_require_a_task(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="Callgate-Task") as refused:
        new_task(strict(settings(tmp_path), require_task=True), WORKER, Claims(), started_at=0)
    assert (refused.value.status, refused.value.reason.code) == (400, "task_required")


def test_a_gate_may_require_a_user(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="Callgate-User") as refused:
        new_task(strict(settings(tmp_path), require_user=True), WORKER, Claims(), started_at=0)
    assert refused.value.reason.code == "user_required"


@pytest.mark.parametrize("length", [0, LONGEST_ID + 1])
def test_a_task_id_has_a_length_that_can_be_kept(tmp_path: Path, length: int) -> None:
    with pytest.raises(Malformed, match=f"this one has {length}"):
        made(tmp_path, Claims(task_id="x" * length))


@pytest.mark.parametrize("claim", ["user", "parent"])
def test_a_user_has_a_length_that_can_be_kept_too(tmp_path: Path, claim: str) -> None:
    with pytest.raises(Malformed, match=f"1 to {LONGEST_ID} characters; this one has 0"):
        made(tmp_path, Claims(**{claim: ""}))


def test_the_longest_task_id_is_taken(tmp_path: Path) -> None:
    assert made(tmp_path, Claims(task_id="x" * LONGEST_ID)).id == "x" * LONGEST_ID


def test_a_caller_lowers_the_budget_and_never_raises_it(tmp_path: Path) -> None:
    budgets = (Money.dollars("0.5"), Money.dollars("5"), None)
    tasks = [made(tmp_path, Claims(), budget=budget) for budget in budgets]
    assert [str(task.budget) for task in tasks] == ["$0.50", "$1.00", "$1.00"]


def test_a_budget_of_the_callers_holds_where_the_type_has_none(tmp_path: Path) -> None:
    without = settings(tmp_path, budget=None)
    task = new_task(without, WORKER, Claims(), started_at=0, budget=Money.dollars("2"))
    assert str(task.budget) == "$2.00"


def test_a_timeout_becomes_a_deadline(tmp_path: Path) -> None:
    assert made(tmp_path, Claims()).deadline_at is None
    assert made(tmp_path, Claims(), timeout_seconds=60.0).deadline_at == 160.0


def test_a_task_type_that_is_near_to_none_is_told_with_all_there_are(tmp_path: Path) -> None:
    with pytest.raises(Unknown, match=r"'zzz'\. The settings name: default"):
        task_policy(settings(tmp_path), "zzz")


async def test_what_is_not_claimed_agrees_with_the_stored_task(tmp_path: Path) -> None:
    async with open_road(tmp_path, Answer(), Answer()) as road:
        await road.ask(user="u1")
        await road.ask()
        assert [call.user for call in road.store.calls()] == ["u1", "u1"]


@pytest.mark.parametrize(
    ("claim", "value"),
    [("user", "u2"), ("task_type", "other"), ("parent", "t0"), ("task", "t2")],
)
async def test_a_claim_against_a_task_key_is_denied(tmp_path: Path, claim: str, value: str) -> None:
    async with open_road(tmp_path, Answer()) as road:
        await road.ask(user="u1")
        with pytest.raises(Denied, match="send the same, or use another task id") as denied:
            await with_a_task_key(road, **{claim: value})
        assert (denied.value.status, denied.value.reason.code) == (403, "task_mismatch")


async def test_a_stored_task_is_looked_up_once(tmp_path: Path) -> None:
    async with open_road(tmp_path, *[Answer()] * 4) as road:
        identify = Identify(settings=road.gate.settings, store=road.store)
        await road.ask()
        for _ in range(2):
            identify.guard(road.passage())
        assert list(identify.known) == ["t1"]
        with road.store_down(table="tasks"):
            identify.guard(road.passage())


async def test_the_tasks_that_are_known_have_a_most_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callgate.pipeline.identify.MOST_KNOWN", 2)
    async with open_road(tmp_path, *[Answer()] * 3) as road:
        identify = Identify(settings=road.gate.settings, store=road.store)
        for task in ("t1", "t2", "t3"):
            await road.ask(task=task)
            identify.guard(road.passage(task=task))
        assert list(identify.known) == ["t2", "t3"]
