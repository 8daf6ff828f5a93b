"""Every mistake in a script is told with its place."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from callgate.testing.simulator import Script, ScriptError, parse_script, read_script

ANSWER = {"answer": {"text": "hi"}}


def rule(step: object, **match: object) -> dict[str, object]:
    return {"rules": [{"match": match, "steps": [step]}]}


MISTAKES: list[tuple[dict[str, Any], str]] = [
    (rule(ANSWER, modle="x"), 'rules[0].match.modle: unknown key; did you mean "model"?'),
    (rule({"answr": {}}), 'rules[0].steps[0].answr: unknown key; did you mean "answer"?'),
    (rule(ANSWER, text="("), "rules[0].match.text: '(' is not a regular expression"),
    (rule({"fault": {}}), "rules[0].steps[0].fault: a fault needs a status, or how = one of"),
    (
        rule({"fault": {"status": 700}}),
        "fault.status: Input should be less than or equal to 599",
    ),
    (
        rule({"fault": {"how": "reset", "kind": "money"}}),
        "kind: only status, error_event and failed_event",
    ),
    (rule({"fault": {"status": 500, "after_events": 1}}), "a status has no place in a stream"),
    (rule({"fault": {"how": "end", "at": "before_headers"}}), "cannot happen before_headers"),
    (
        rule({"fault": {"how": "end", "at": "after_headers", "after_events": 1}}),
        "at and after_events exclude each other",
    ),
    (rule({"answer": {"text": "a", "words": 3}}), "text and words exclude each other"),
    (rule({"answer": {"usage": {"input_tokens": -1}}}), "usage.input_tokens: Input should be"),
    (rule({"pace": {"event_seconds": "1"}}), "pace.event_seconds: '1' is not a number"),
    ({"rules": [{"steps": []}]}, "rules[0].steps: [] is empty"),
    ({"rules": [{}]}, "rules[0].steps: Field required"),
    ({"keys": []}, "keys: [] is empty"),
    ({"strict": "yes"}, "strict: Input should be a valid boolean (found 'yes')"),
    ({"prices": {"m": {"input": -1, "output": 1}}}, "prices.m.input: -1 is not a price"),
    ({"prices": {"m": {"input": True, "output": 1}}}, "True is not an amount of dollars"),
    ({"prices": {"m": {"input": "x", "output": 1}}}, "'x' is not an amount of dollars"),
]


@pytest.mark.parametrize(("tables", "message"), MISTAKES)
def test_a_mistake_is_named_with_its_place(tables: dict[str, object], message: str) -> None:
    with pytest.raises(ScriptError) as caught:
        read_script(tables)
    assert message in str(caught.value)


def test_every_mistake_is_listed_at_once() -> None:
    with pytest.raises(ScriptError) as caught:
        read_script({"strikt": True, "keys": [3], "rules": [{"steps": [{"time": 1}]}]})
    assert len(str(caught.value).splitlines()) == 3


def test_a_file_is_named_in_its_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "outage.toml"
    path.write_text("[[rules]]\n", encoding="utf-8")
    with pytest.raises(ScriptError, match=r"outage\.toml: rules\[0\]\.steps: Field required"):
        read_script(path)


def test_a_file_that_is_missing_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match="cannot be read"):
        read_script(str(tmp_path / "none.toml"))


@pytest.mark.parametrize(("form", "text"), [("toml", "a = "), ("json", "{")])
def test_text_that_cannot_be_read_is_a_mistake(form: str, text: str) -> None:
    with pytest.raises(ScriptError, match=f"not valid {form.upper()}"):
        parse_script(text, form="toml" if form == "toml" else "json")


def test_prices_keep_every_digit_that_is_written() -> None:
    script = parse_script('[prices."m"]\ninput = 0.1000000000000000055\noutput = "2.5"\n')
    price = script.prices["m"]
    assert (price.input, price.output) == (Decimal("0.1000000000000000055"), Decimal("2.5"))


def test_a_float_in_python_is_the_price_that_it_prints() -> None:
    script = read_script({"prices": {"m": {"input": 0.1, "output": 3}}})
    assert script.prices["m"].input == Decimal("0.1")


def test_numbers_in_arguments_become_numbers_of_json() -> None:
    script = parse_script(
        '[[rules]]\nsteps = [{answer={tool_calls=[{name="f",arguments={x=[1.5]}}]}}]'
    )
    answer = script.rules[0].steps[0].answer
    assert answer is not None
    assert answer.tool_calls[0].arguments == {"x": [1.5]}


def test_no_script_is_an_empty_script() -> None:
    assert read_script(None) == Script()
