from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from callgate.call import Candidate
from callgate.config import builtin
from callgate.config.policies import PricePolicy, RoutePolicy, Settings, TaskPolicy
from callgate.errors import Misconfigured
from callgate.money import Money
from callgate.observe.estimate import Amount, Cost, Estimate, Met, Profile, estimate
from callgate.observe.profile import model_option, read_profile, tool_option, typed_amount
from callgate.store.calendar import Calendar
from callgate.store.limits import Limit, LimitName
from tests.contract.store.making import NOW

EXAMPLE = """
type = "research"
tasks_per_day = 1000
[models.smart]
calls = 4
input_tokens = [1000, 7000]
output_tokens = [250, 3000]
[tools.web_search]
calls = 5
price = "$0.01"
[tools.news]
calls = 2
price = "$0.02"
[tools.image]
calls = 1
price = "$0.06"
"""
WINDOWS = list(Calendar(ZoneInfo("UTC")).windows(NOW).values())


def settings(**more: Any) -> Settings:
    """Return settings with a route, a task type and a model that has a price of its own."""
    route = RoutePolicy(name="smart", use=(Candidate(provider="openai", model="gpt-5.5"),))
    price = PricePolicy(input_femto=5_000_000_000, output_femto=30_000_000_000)
    policy = TaskPolicy(type="research", budget=Money.dollars("0.50"))
    return msgspec.structs.replace(
        builtin({}),
        models={"smart": route},
        prices={"openai:gpt-5.5": price},
        tasks={"research": policy},
        **more,
    )


def example() -> Profile:
    return read_profile(EXAMPLE, file="research.toml")


def cost(low: str, high: str) -> Cost:
    return Cost(Money.dollars(low), Money.dollars(high))


def limit(scope: str, name: LimitName, dollars: str) -> Limit:
    return Limit(scope=scope, name=name, value=Money.dollars(dollars).nano)


def estimated(profile: Profile, *limits: Limit) -> Estimate:
    return estimate(profile, settings(), limits, windows=WINDOWS)


def met(profile: Profile, of: Limit) -> Met | None:
    """Return how a profile stands to one limit."""
    found = estimated(profile, of).limits
    return next((one for one in found if one.window != "task"), None)


def test_five_searches_two_news_and_an_image_are_200_to_650_dollars_a_day() -> None:
    told = estimated(example())
    tools = [part.cost for part in told.parts if part.kind == "tool"]
    assert sum(tools, Cost()) == cost("0.15", "0.15")
    assert [part.cost for part in told.parts if part.kind == "model"] == [cost("0.05", "0.50")]
    assert (told.task, told.day) == (cost("0.20", "0.65"), cost("200", "650"))


def test_a_task_that_does_not_fit_its_budget_is_told() -> None:
    (budget,) = estimated(example()).limits
    assert (budget.rule, budget.cap) == ("tasks.research.budget", Money.dollars("0.50"))
    assert (budget.low.is_met, budget.high.is_met) == (False, True)


def test_a_cap_tells_how_many_tasks_it_pays_for_and_when_it_is_met() -> None:
    told = met(example(), limit("gate", "budget_per_day", "325"))
    assert told is not None
    assert (told.low.tasks, told.high.tasks) == (1_625, 500)
    assert (told.low.is_met, told.high.after_seconds) == (False, 12 * 3600.0)


def test_a_month_is_met_on_a_day_and_an_hour_in_its_minutes() -> None:
    month = met(example(), limit("gate", "budget_per_month", "6500"))
    hour = met(example(), limit("gate", "budget_per_hour", "13"))
    assert month is not None
    assert (month.low.is_met, month.high.after_seconds) == (False, 10 * 86_400.0)
    assert hour is not None
    assert (hour.low.is_met, hour.high.after_seconds) == (False, 1_728.0)


def test_a_provider_is_held_to_what_its_models_cost() -> None:
    told = met(example(), limit("provider:openai", "budget_per_day", "250"))
    assert told is not None
    assert (told.low.tasks, told.high.tasks) == (5_000, 500)
    assert met(example(), limit("provider:anthropic", "budget_per_day", "1")) is None


def test_how_often_a_user_comes_is_nobodys_guess() -> None:
    told = met(example(), limit("user:*", "budget_per_day", "2"))
    assert told is not None
    assert (told.low.tasks, told.high.tasks, told.high.is_met) == (10, 3, None)


@pytest.mark.parametrize("scope", ["type:mail", "agent:other", "user:u1", "tool:news"])
def test_a_limit_of_somebody_else_is_not_told(scope: str) -> None:
    assert met(example(), limit(scope, "budget_per_day", "1")) is None


@pytest.mark.parametrize("scope", ["type:research", "agent:worker"])
def test_limits_of_the_type_and_the_agent_are_told(scope: str) -> None:
    profile = msgspec.structs.replace(example(), agent="worker")
    assert met(profile, limit(scope, "budget_per_day", "1")) is not None


def test_a_limit_of_calls_is_no_limit_of_money() -> None:
    assert met(example(), Limit(scope="gate", name="per_day", value=1)) is None


def test_a_task_that_costs_nothing_meets_nothing() -> None:
    profile = Profile(type="mail", tasks_per_day=Amount(5, 5))
    told = met(profile, limit("gate", "budget_per_day", "0"))
    assert told is not None
    assert (told.high.tasks, told.high.is_met) == (None, False)


def test_a_model_without_a_price_is_told_with_the_lines_to_add() -> None:
    profile = Profile(
        type="x", tasks_per_day=Amount(1, 1), models=(model_option("openai:x=1:1:1"),)
    )
    with pytest.raises(Misconfigured, match=r'\[prices\."openai:x"\]'):
        estimated(profile)


def test_a_model_that_nobody_serves_is_told() -> None:
    profile = Profile(type="x", tasks_per_day=Amount(1, 1), models=(model_option("clever=1:1:1"),))
    with pytest.raises(Misconfigured, match=r"\[models\] names smart"):
        estimated(profile)


def test_a_profile_lists_every_mistake_with_its_place() -> None:
    text = """
    tasks_per_day = [5, 2]
    [models.a]
    calls = true
    input_tokens = 1
    output_tokens = 1
    [models.b]
    calls = 1
    [tools.c]
    calls = [1, 2, 3]
    price = "$1"
    [tools.d]
    calls = 1
    price = ["$2", "$1"]
    [tools.e]
    calls = 1
    price = "1 EUR"
    """
    with pytest.raises(Misconfigured) as told:
        read_profile(text, file="p.toml")
    assert str(told.value).splitlines() == [
        "p.toml is no profile of a task type:",
        "  tasks_per_day: [5, 2] is no range; the low number comes first",
        "  [models.a]: True is no whole number from 0 to 1,000,000,000,000, as in 5 or [2, 8]",
        "  [models.b]: Object missing required field `input_tokens`",
        "  [tools.c]: [1, 2, 3] is no range; write [low, high]",
        "  [tools.d]: $2.00 to $1.00 is no range; the low price comes first",
        "  [tools.e]: '1 EUR' is not an amount of US dollars; write it like \"$0.50\"",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tasks_per_day = ", "Invalid value"),
        ("", "missing required field `tasks_per_day`"),
        ("tasks_per_day = 1\ntask = 2", "unknown field `task`"),
    ],
)
def test_what_is_no_profile_at_all_is_told(text: str, told: str) -> None:
    with pytest.raises(Misconfigured, match=told):
        read_profile(text, file="p.toml")


def test_options_say_the_same_as_a_file() -> None:
    typed = Profile(
        type="research",
        tasks_per_day=typed_amount("1000"),
        models=(model_option("smart=4:1000-7000:250-3000"),),
        tools=tuple(map(tool_option, ("web_search=5:0.01", "news=2:$0.02", "image=1:0.06"))),
    )
    assert typed == example()
    assert tool_option("x=0-2:0.04-0.08").price == cost("0.04", "0.08")


@pytest.mark.parametrize("typed", ["smart", "smart=4", "smart=4:1:x", "=1:1:1", "a=2-1:1:1"])
def test_an_option_of_a_model_that_says_something_else_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match=r"CALLS:INPUT:OUTPUT|no range"):
        model_option(typed)


@pytest.mark.parametrize("typed", ["search=5", "search=5:-1", "search=5:1:1", "search=1:0.2-0.1"])
def test_an_option_of_a_tool_that_says_something_else_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match=r"CALLS:PRICE|no range"):
        tool_option(typed)


@pytest.mark.parametrize("typed", ["many", "-1", "1.5", "9-1"])
def test_a_number_of_tasks_that_is_none_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match=r"no whole number|no range"):
        typed_amount(typed)
