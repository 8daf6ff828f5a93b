"""Conditions in the settings: read, and refused where they could not be decided or do nothing."""

from __future__ import annotations

import pytest

from tests.unit.config.files import problem_of, problems_of, read

AGENT = '[agents.support]\ntools = ["create_refund", "git.*"]\n'


def test_an_agent_and_a_task_type_may_have_conditions() -> None:
    settings = read(
        f'{AGENT}when.create_refund = "args.amount <= 5000"\n'
        '[tasks.night]\ntools = ["git.log"]\nmodels = []\nwhen = { "git.*" = "user == null" }\n'
    )
    (condition,) = settings.agents["support"].conditions
    assert (condition.pattern, condition.text) == ("create_refund", "args.amount <= 5000")
    assert condition.place == "agents.support.when.create_refund"
    night = settings.tasks["night"]
    assert (night.tools, night.models) == (("git.log",), ())
    assert night.conditions[0].place == 'tasks.night.when."git.*"'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("args.amount <=", "Syntax error"),
        ("arg.amount <= 5", "undeclared reference to 'arg.amount'"),
        ("limit(args.amount)", "undeclared reference to 'limit'"),
        ("args.amount + 1", "it gives int, which is neither true nor false"),
        ("tool <= 5", "no matching overload"),
        ("(" * 40 + "true" + ")" * 40, "recursion limit"),
        ("'" + "a" * 100_000 + "' == tool", "size exceeds"),
        ("", "Syntax error"),
    ],
)
def test_what_is_no_condition_is_refused_with_its_line(text: str, told: str) -> None:
    problem = problem_of(f'{AGENT}[agents.support.when]\ncreate_refund = "{text}"\n')
    assert (problem.line, problem.key) == (4, "agents.support.when.create_refund")
    assert problem.allowed.startswith("an expression in CEL that is true or false, of args, tool")
    assert problem.remedy is not None
    assert told in problem.remedy


def test_the_nearest_of_what_it_may_speak_of_is_told() -> None:
    problem = problem_of(f'{AGENT}when."git.*" = "arg.amount <= 5"\n')
    assert problem.nearest == "args"


def test_a_condition_that_is_no_text_is_refused() -> None:
    problem = problem_of(f"{AGENT}when.create_refund = true\n")
    assert (problem.key, problem.allowed) == (
        "agents.support.when.create_refund",
        "text, in quotes",
    )


def test_a_condition_for_a_tool_that_is_not_named_is_refused() -> None:
    problem = problem_of(f'{AGENT}when.create_refnd = "true"\n')
    assert problem.found == "a condition for 'create_refnd', which is none of its tools"
    assert (problem.allowed, problem.nearest) == ("create_refund, git.*", "create_refund")
    assert problem.remedy == "correct the name, or add it to tools under [agents.support]"


def test_an_agent_without_tools_has_no_conditions() -> None:
    problem = problem_of('[agents.a]\nwhen.x = "true"\n')
    assert problem.allowed == "nothing: [agents.a] names no tools"


@pytest.mark.parametrize("pattern", ["create_refund", "create_*", "git.log", "git.*", "*"])
def test_a_condition_may_be_for_several_tools_or_for_one_of_several(pattern: str) -> None:
    assert problems_of(f'{AGENT}[agents.support.when]\n"{pattern}" = "true"\n') == []


def test_a_task_type_that_names_no_tools_may_have_conditions_for_any() -> None:
    assert problems_of('[tasks.x]\nwhen.anything = "true"\n') == []
    assert problems_of('[tasks.x]\ntools = ["a"]\nwhen.b = "true"\n') != []


def test_a_task_type_names_models_that_are_there() -> None:
    assert problem_of('[tasks.x]\nmodels = ["nosuch"]\n').key == "tasks.x.models[0]"
