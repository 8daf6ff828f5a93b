"""Settings that could be lower, by what calls had."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from callgate.config.policies import TaskPolicy
from callgate.money import Money
from callgate.observe.loose import Loose, loose
from callgate.store import Bounded

ROW = Bounded(
    task_type="mail", model="openai:gpt-5.5", attempts=20, counted=0, passed=0, reserved=Money(9),
    cost=Money(1), request_bytes=400, input_tokens=100, most_input_tokens=70, p50_output_tokens=100,
    p95_output_tokens=290, most_output_tokens=300, output_tokens_limit=8_192,
)  # fmt: skip


def row(**changes: Any) -> Bounded:
    return msgspec.structs.replace(ROW, **changes)


def found(*rows: Bounded, **policy: Any) -> list[Loose]:
    return list(loose(rows, {"mail": TaskPolicy(type="mail", **policy)}))


def enough(*rows: Bounded, **policy: Any) -> list[tuple[str, int]]:
    return [(each.setting, each.enough_tokens) for each in found(*rows, **policy)]


def test_a_limit_of_which_replies_use_little_could_be_twice_the_longest() -> None:
    assert found(ROW) == [
        Loose(task_type="mail", setting="max_output_tokens", tokens=8_192, most_tokens=300,
              enough_tokens=1_024, attempts=20)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("most", "tokens"), [(0, 256), (1, 256), (128, 256), (129, 512), (2_048, 4_096)]
)
def test_what_is_advised_is_a_power_of_two_and_not_too_small(most: int, tokens: int) -> None:
    assert enough(row(most_output_tokens=most)) == [("max_output_tokens", tokens)]


def test_what_would_free_less_than_half_is_not_worth_a_word() -> None:
    assert enough(row(most_output_tokens=2_049)) == []


def test_few_attempts_tell_nothing_and_those_of_all_models_are_taken_together() -> None:
    assert enough(row(attempts=19)) == []
    both = [row(attempts=19), row(attempts=1, model="openai:gpt-5", most_output_tokens=600)]
    assert enough(*both) == [("max_output_tokens", 2_048)]


def test_a_setting_that_no_request_was_held_to_is_left_alone() -> None:
    assert enough(row(output_tokens_limit=9_000)) == []
    assert enough(row(output_tokens_limit=500)) == []


def test_an_input_limit_that_somebody_set_is_looked_at_too() -> None:
    own = {"max_output_tokens": 400, "max_input_tokens": 50_000}
    assert enough(ROW, **own) == [("max_input_tokens", 256)]


def test_each_task_type_is_by_itself_and_one_that_is_gone_has_no_settings() -> None:
    assert enough(row(task_type="gone"), row(attempts=19)) == []
