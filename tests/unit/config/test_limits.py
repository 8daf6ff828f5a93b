from __future__ import annotations

from typing import Any, get_args

import pytest

from callgate.config.limits import GATE, NAMES, SHARED
from callgate.config.policies import LimitName, LimitPolicy, Settings
from callgate.store import limits as stored
from tests.unit.config.files import problem_of, problems_of, read

EVERY_LIMIT = """
    per_minute = 1
    per_hour = 2
    per_day = 3
    concurrency = 4
    budget_per_hour = "$5"
    budget_per_day = "$6"
    budget_per_month = "$7.000000008"
"""
ROWS = [
    ("per_minute", 1), ("per_hour", 2), ("per_day", 3), ("concurrency", 4),
    ("budget_per_hour", 5 * 10**9), ("budget_per_day", 6 * 10**9), ("budget_per_month", 7_000_000_008),
]  # fmt: skip
TABLES = {
    "[limits]": "gate",
    "[agents.researcher]": "agent:researcher",
    "[tasks.research]": "type:research",
    "[users]": "user:*",
    '[users."anna@example.com"]': "user:anna@example.com",
    '[providers.openai]\napi = "openai"': "provider:openai",
}
"""Each table that may have limits, and its scope."""


@pytest.mark.parametrize(("table", "scope"), TABLES.items())
def test_every_limit_of_a_table_is_a_row_of_its_scope(table: str, scope: str) -> None:
    limits = read(f"{table}\n{EVERY_LIMIT}").limits
    assert [(limit.name, limit.value) for limit in limits] == ROWS
    assert {limit.scope for limit in limits} == {scope}


def test_a_file_without_limits_has_none() -> None:
    assert (
        read('[tasks.t]\nbudget = "$1"\n[users]\n[caps]\n[limits]\non_limit = "wait"').limits == ()
    )


def test_every_table_keeps_its_own_limits() -> None:
    settings = read("[users]\nper_day = 5\n[users.vip]\nper_day = 50\n[users.guest]\nper_hour = 0")
    assert {(limit.scope, limit.name, limit.value) for limit in settings.limits} == {
        ("user:*", "per_day", 5), ("user:vip", "per_day", 50), ("user:guest", "per_hour", 0),
    }  # fmt: skip


def test_a_cap_is_the_budget_of_the_whole_gate() -> None:
    capped = read('[caps]\nday = "$50"\nmonth = "$500"').limits
    assert capped == read('[limits]\nbudget_per_day = "$50"\nbudget_per_month = "$500"').limits
    assert [limit.scope for limit in capped] == ["gate", "gate"]


def test_a_task_type_bounds_what_one_task_does() -> None:
    settings = read('[tasks.t]\nmax_calls = 60\nmax_repeats = 3\nmax_depth = 0\nmax_wait = "2m"')
    assert [(limit.name, limit.value) for limit in of(settings, "type:t")] == [
        ("max_calls", 60), ("max_repeats", 3), ("max_depth", 0),
    ]  # fmt: skip
    assert settings.tasks["t"].max_wait_seconds == 120


def of(settings: Settings, scope: str) -> list[LimitPolicy]:
    return [limit for limit in settings.limits if limit.scope == scope]


@pytest.mark.parametrize("table", TABLES)
def test_a_call_waits_only_at_the_limits_of_the_table_that_says_so(table: str) -> None:
    text = f'{table}\nper_minute = 5\non_limit = "wait"\n[tasks.other]\nper_minute = 5\n'
    waits = {limit.scope: limit.waits for limit in read(text).limits}
    assert waits == {TABLES[table]: True, "type:other": False}


def test_a_call_waits_for_a_turn_and_never_for_money_or_for_what_its_task_may_not() -> None:
    text = f'[tasks.t]\n{EVERY_LIMIT}\nmax_calls = 8\nmax_repeats = 9\non_limit = "wait"'
    waiting = [limit.name for limit in read(text).limits if limit.waits]
    assert waiting == ["per_minute", "per_hour", "per_day", "concurrency"]


def test_a_call_that_is_not_allowed_at_all_waits_for_nothing() -> None:
    (limit,) = read('[limits]\nper_day = 0\non_limit = "wait"').limits
    assert not limit.waits


def test_the_store_knows_every_limit_and_where_the_file_has_it() -> None:
    assert get_args(LimitName) == get_args(stored.LimitName)
    rows = [stored.Limit(scope=scope, name="per_day", value=1) for scope in TABLES.values()]
    tables = [header.partition("\n")[0].replace('"', "")[1:-1] for header in TABLES]
    assert [row.setting for row in rows] == [f"{table}.per_day" for table in tables]
    assert stored.EVERY_USER == "user:*"
    assert stored.GATE == GATE


def test_what_every_table_shares_has_nothing_but_limits_in_it() -> None:
    assert set(SHARED) - set(NAMES) == {"on_limit"}


@pytest.mark.parametrize(
    ("cap", "limit"), [("day", "budget_per_day"), ("month", "budget_per_month")]
)
@pytest.mark.parametrize("amount", ['"$50"', '"$40"'])
def test_a_cap_that_is_set_twice_is_told_with_both_lines(cap: str, limit: str, amount: str) -> None:
    problem = problem_of(f'[limits]\n{limit} = {amount}\n\n[caps]\n{cap} = "$50"\n')
    assert (problem.line, problem.key) == (5, f"caps.{cap} and limits.{limit}")
    assert problem.found == f"'$50' in line 5 and {amount.replace(chr(34), chr(39))} in line 2"


def test_a_cap_that_is_set_twice_hides_no_other_mistake_in_it() -> None:
    problems = problems_of("[limits]\nbudget_per_day = 40\n[caps]\nday = 50\n")
    assert {problem.key for problem in problems} == {
        "limits.budget_per_day", "caps.day", "caps.day and limits.budget_per_day",
    }  # fmt: skip


def test_budgets_that_no_call_can_reach_are_no_mistake() -> None:
    text = '[users]\nbudget_per_day = "$90"\nper_day = 1\nper_minute = 5\n[caps]\nday = "$50"\n'
    assert problems_of(text) == []


@pytest.mark.parametrize("name", SHARED)
def test_a_user_who_is_named_like_a_limit_is_told_why_that_cannot_be(name: str) -> None:
    problem = problem_of(f"[users]\n[users.{name}]\nper_day = 5\n")
    assert (problem.line, problem.key, problem.found) == (2, f"users.{name}", "a table")
    assert f"{name} is a limit, and no user of that name can have a table" in problem.allowed


@pytest.mark.parametrize(
    ("text", "found", "allowed"),
    [
        ("anna = 5", "an unknown setting", "or a user's table [users.NAME]"),
        ("anna = [5]", "an unknown setting", "or a user's table [users.NAME]"),
        ('"*".per_day = 5', "the name '*'", "what holds for each stands in [users]"),
        ('"".per_day = 5', "the name ''", "what holds for each stands in [users]"),
        ("anna = {}", "no limit", "has only the limits that it names"),
        ('anna.on_limit = "wait"', "no limit", "has only the limits that it names"),
    ],
)
def test_what_stands_under_users_and_is_no_user_is_told(
    text: str, found: str, allowed: str
) -> None:
    problem = problem_of(f"[users]\n{text}\n")
    assert (problem.line, problem.found) == (2, found)
    assert problem.allowed.endswith(allowed)


def test_somebody_is_told_at_the_shares_of_the_file_or_at_the_usual_ones() -> None:
    assert read("").alert_at == read("[caps]").alert_at == (0.8, 0.95)
    assert read("[caps]\nalert_at = [0.5, 1]").alert_at == (0.5, 1.0)
    assert read("[caps]\nalert_at = []").alert_at == ()


SHARES: list[Any] = [
    "[0.95, 0.8]", "[0.8, 0.8]", "[0, 0.8]", "[-0.1]", "[0.8, 1.01]", "[80, 95]", "[nan]", "[inf]",
    "[true]", '["80%"]', "[[0.8]]", "0.8", '"80%"',
]  # fmt: skip


@pytest.mark.parametrize("shares", SHARES)
def test_shares_that_do_not_rise_or_are_none_are_refused(shares: str) -> None:
    problem = problem_of(f"[caps]\nalert_at = {shares}\n")
    assert (problem.line, problem.key) == (2, "caps.alert_at")
    assert problem.allowed == "shares over 0 and up to 1 that rise, such as [0.8, 0.95]"
