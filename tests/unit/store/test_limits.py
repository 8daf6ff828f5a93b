"""Which of many limits hold for whom, without a store."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.store.limits import Limit, Limits, named, scopes_of

EVERY, MINE, OTHERS = "user:*", "user:u1", "user:u2"


def limit(scope: str, value: int, *, name: Any = "per_minute", until: float | None = 0) -> Limit:
    """Return a limit of the file, or with another end an override."""
    source = "file" if until == 0 else "override"
    made = Limit(scope=scope, name=name, value=value)
    return msgspec.structs.replace(made, source=source, until=until or None)


def holding(rows: list[Limit], scope: str, *, now: float = 100.0) -> dict[str, int]:
    standing = Limits(rows).of([scope], now=now)
    assert {each.scope for each in standing} <= {scope}
    return {each.limit.name: each.limit.value for each in standing}


def test_nothing_holds_where_nothing_is_said() -> None:
    assert holding([], "gate") == {}
    assert holding([limit("gate", 1)], "agent:a") == {}


@pytest.mark.parametrize(("now", "value"), [(199.0, 2), (200.0, 1), (201.0, 1)])
def test_an_override_wins_until_its_end(now: float, value: int) -> None:
    rows = [limit("gate", 1), limit("gate", 2, until=200.0)]
    assert holding(rows, "gate", now=now) == {"per_minute": value}
    assert holding(rows[::-1], "gate", now=now) == {"per_minute": value}


def test_an_override_without_an_end_wins() -> None:
    assert holding([limit("gate", 1), limit("gate", 2, until=None)], "gate") == {"per_minute": 2}


def test_a_user_whom_the_file_names_has_its_own_limits_only() -> None:
    rows = [limit(EVERY, 1), limit(EVERY, 2, name="per_day"), limit(MINE, 9)]
    assert holding(rows, MINE) == {"per_minute": 9}
    assert holding(rows, OTHERS) == {"per_minute": 1, "per_day": 2}


def test_a_user_with_an_override_only_has_every_users_limits_besides() -> None:
    rows = [limit(EVERY, 1), limit(EVERY, 2, name="per_day"), limit(MINE, 9, until=None)]
    rows.append(limit(MINE, 7, name="per_hour", until=None))
    assert holding(rows, MINE) == {"per_minute": 9, "per_day": 2, "per_hour": 7}


def test_a_users_own_override_wins_over_one_for_every_user() -> None:
    rows = [limit(EVERY, 1), limit(EVERY, 2, until=None), limit(MINE, 9, until=150.0)]
    assert holding(rows, MINE) == {"per_minute": 9}
    assert holding(rows, MINE, now=150.0) == {"per_minute": 2}


def test_a_user_of_the_very_name_is_like_any_other() -> None:
    rows = [limit(EVERY, 1), limit(EVERY, 2, until=None)]
    assert holding(rows, EVERY) == {"per_minute": 2}


@given(
    st.lists(
        st.tuples(st.sampled_from(["gate", EVERY, MINE, "agent:a"]), st.integers(0, 9)), max_size=8
    )
)
def test_so_many_ticks_are_kept_as_the_largest_rate_of_a_kind_asks_for(
    told: list[tuple[str, int]],
) -> None:
    rows = [limit(scope, value, until=n or 0) for n, (scope, value) in enumerate(told)]
    rows.append(limit("type:t", 1_000, name="per_day"))
    largest: dict[str, int] = {}
    for scope, value in told:
        kind = scope.split(":")[0]
        largest[kind] = max(value, largest.get(kind, 0))
    assert Limits(rows).ticks == largest


@pytest.mark.parametrize(
    ("scope", "setting", "words"),
    [
        ("gate", "limits.per_minute", "the whole gate"),
        ("agent:a", "agents.a.per_minute", "agent a"),
        ("type:t", "tasks.t.per_minute", "task type t"),
        (EVERY, "users.per_minute", "user *"),
        (MINE, "users.u1.per_minute", "user u1"),
        ("provider:p", "providers.p.per_minute", "provider p"),
        ("tool:t:x", "tools.t:x.per_minute", "tool t:x"),
    ],
)
def test_a_limit_knows_where_the_file_has_it(scope: str, setting: str, words: str) -> None:
    assert (limit(scope, 1).setting, named(scope)) == (setting, words)


def test_an_attempt_is_in_one_scope_of_each_kind_that_it_has() -> None:
    who: dict[str, Any] = {"agent": "a", "task_type": "t", "provider": "p"}
    assert scopes_of(user=None, tool=None, **who) == ("gate", "agent:a", "type:t", "provider:p")
    assert scopes_of(user="u", tool="s", **who)[4:] == ("user:u", "tool:s")
