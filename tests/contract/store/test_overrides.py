"""Overrides of limits: they win over the file until they end, and take nothing else away."""

from __future__ import annotations

import pytest

from callgate.errors import OverBudget, OverLimit
from callgate.store import Intent, Store
from tests.contract.store.making import (
    NOW,
    make_intent,
    make_limit,
    make_override,
    make_task,
    windows_of,
)


def intent_at(at: float, call: str, *, user: str | None = "u1", nano: int = 100) -> Intent:
    """Return an intent of a user's task."""
    return make_intent(make_task(f"t-{user}", user=user), call, nano=nano, sent_at=at)


async def test_an_override_wins_over_the_file_until_it_ends(store: Store) -> None:
    await store.load_limits([make_limit("gate", "budget_per_day", 100)], 1)
    await store.override(make_override("gate", "budget_per_day", 300, NOW + 60))
    for n in range(3):
        await store.admit(intent_at(NOW + 1, f"c{n}"))
    with pytest.raises(OverBudget, match=r"of the \$0\.0000003 of the whole gate"):
        await store.admit(intent_at(NOW + 59, "c8"))
    with pytest.raises(OverBudget, match=r"of the \$0\.0000001 of the whole gate"):
        await store.admit(intent_at(NOW + 61, "c9"))


async def test_an_override_of_one_user_leaves_the_other_limits_of_every_user_in_force(
    store: Store,
) -> None:
    limits = [make_limit("user:*", "per_minute", 2), make_limit("user:*", "budget_per_day", 100)]
    await store.load_limits(limits, 1)
    await store.override(make_override("user:u1", "budget_per_day", 1_000))
    for n in range(2):
        await store.admit(intent_at(NOW + 1, f"c{n}"))
    with pytest.raises(OverLimit, match="per_minute allows 2"):
        await store.admit(intent_at(NOW + 2, "c2"))


async def test_a_user_whose_override_has_ended_has_the_limits_of_every_user(store: Store) -> None:
    await store.load_limits([make_limit("user:*", "budget_per_day", 100)], 1)
    await store.override(make_override("user:u1", "budget_per_day", 1_000, NOW + 60))
    await store.admit(intent_at(NOW + 1, "c1"))
    with pytest.raises(OverBudget):
        await store.admit(intent_at(NOW + 61, "c2"))


async def test_a_user_whom_the_file_names_has_its_own_limits_only(store: Store) -> None:
    limits = [make_limit("user:*", "per_minute", 1), make_limit("user:u1", "budget_per_day", 1_000)]
    await store.load_limits(limits, 1)
    for n in range(3):
        await store.admit(intent_at(NOW + 1, f"c{n}"))
    await store.admit(intent_at(NOW + 1, "c3", user="u2"))
    with pytest.raises(OverLimit):
        await store.admit(intent_at(NOW + 2, "c4", user="u2"))


@pytest.mark.parametrize(
    ("user", "scope"), [("u1", "user:u1"), ("u 1; $(reboot)", "'user:u 1; $(reboot)'")]
)
async def test_a_refusal_names_the_command_that_lifts_it_and_nothing_else_to_run(
    store: Store, user: str, scope: str
) -> None:
    await store.load_limits([make_limit("user:*", "budget_per_day", 99)], 1)
    with pytest.raises(OverBudget) as refused:
        await store.admit(intent_at(NOW, "c1", user=user))
    assert refused.value.reason.fix == f"callgate budget set {scope} day AMOUNT raises it"


async def test_limits_tell_whether_they_hold_and_what_is_used_of_them(store: Store) -> None:
    await store.load_limits(
        [
            make_limit("gate", "budget_per_day", 100),
            make_limit("agent:researcher", "per_minute", 9),
        ],
        1,
    )
    await store.override(make_override("gate", "budget_per_day", 500))
    await store.admit(intent_at(NOW, "c1"))
    windows = windows_of(NOW)
    told = {
        (row.limit.scope, row.limit.source): (row.holds, row.used, row.held, row.resets_at)
        for row in store.limits(windows)
    }
    assert told == {
        ("gate", "file"): (False, 0, 100, windows[1].ends_at),
        ("gate", "override"): (True, 0, 100, windows[1].ends_at),
        ("agent:researcher", "file"): (True, 1, 0, None),
    }


async def test_a_limit_of_each_task_has_no_use_of_its_own(store: Store) -> None:
    await store.load_limits([make_limit("type:research", "max_calls", 5)], 1)
    await store.admit(intent_at(NOW, "c1"))
    (row,) = store.limits(windows_of(NOW))
    assert (row.used, row.resets_at) == (None, None)


async def test_a_limit_of_every_user_tells_who_has_used_most_of_it(store: Store) -> None:
    await store.load_limits([make_limit("user:*", "budget_per_day", 1_000)], 1)
    await store.override(make_override("user:u3", "budget_per_day", 5_000))
    for n, (user, nano) in enumerate([("u1", 100), ("u2", 300), ("u3", 900)]):
        await store.admit(intent_at(NOW + 1, f"c{n}", user=user, nano=nano))
    rows = store.limits(windows_of(NOW))
    assert [(row.user, row.held) for row in rows] == [("u2", 300), (None, 900)]


async def test_slots_tell_how_many_are_taken(store: Store) -> None:
    scopes = ("gate", "agent:researcher", "provider:openai", "type:research", "user:u1", "user:*")
    await store.load_limits([make_limit(scope, "concurrency", 9) for scope in scopes], 1)
    for n in range(3):
        await store.admit(intent_at(NOW, f"c{n}", user="u1" if n else "u2"))
    rows = store.limits(windows_of(NOW))
    assert {row.limit.scope: row.used for row in rows} == {
        "gate": 2, "agent:researcher": 3, "provider:openai": 3, "type:research": 2, "user:u1": 1,
        "user:*": None,
    }  # fmt: skip
