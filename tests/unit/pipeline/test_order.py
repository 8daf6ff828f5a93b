"""Every stage is needed: without it, a test of the road that names its work fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from callgate.gate import roads as composition
from callgate.pipeline import ORDER
from callgate.pipeline.admit import Admit
from callgate.pipeline.breaker import Breaker
from callgate.pipeline.conditions import Conditions
from callgate.pipeline.identify import Identify
from callgate.pipeline.parse import Parse
from callgate.pipeline.permission import Permission
from callgate.pipeline.record import Record
from callgate.pipeline.replay import Replay
from callgate.pipeline.retry import Retry
from callgate.pipeline.route import Route
from callgate.pipeline.secrets import Secrets
from callgate.pipeline.validate import Validate
from tests.unit.pipeline import test_breaker as breaker
from tests.unit.pipeline import test_conditions as conditions
from tests.unit.pipeline import test_once as once
from tests.unit.pipeline import test_road as road
from tests.unit.pipeline import test_tool_road as tools

Behaviour = Callable[[Path], Awaitable[None]]

SHOWN_BY: dict[type, Behaviour] = {
    Record: road.test_a_refused_call_leaves_a_row_and_no_attempt,
    Identify: road.test_a_task_of_another_user_is_refused,
    Parse: road.test_what_cannot_be_read_leaves_a_row_too,
    Permission: road.test_a_refused_call_leaves_a_row_and_no_attempt,
    Validate: tools.test_arguments_that_the_schema_does_not_allow_are_refused,
    Conditions: conditions.test_a_call_of_which_a_condition_is_false_is_refused,
    Replay: once.test_what_is_done_is_told_and_not_done_again,
    Route: road.test_when_retries_run_out_the_next_candidate_answers,
    Retry: road.test_a_transient_failure_is_tried_again_after_growing_waits,
    Breaker: breaker.test_who_fails_again_and_again_is_not_asked_any_more,
    Admit: road.test_a_call_that_does_not_fit_is_refused_before_it_leaves,
    Secrets: road.test_the_key_reaches_the_provider_and_nothing_else,
}


def test_the_table_names_every_stage() -> None:
    assert set(SHOWN_BY) == set(ORDER)


@pytest.mark.parametrize("stage", ORDER)
async def test_a_stage_is_missed_when_it_is_gone(
    stage: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    await SHOWN_BY[stage](tmp_path / "whole")
    rest = tuple(other for other in ORDER if other is not stage)
    monkeypatch.setattr(composition, "ORDER", rest)
    # Whatever it is that goes wrong; a road that misses a stage is not fit to say what.
    with pytest.raises((Exception, pytest.fail.Exception)):
        await SHOWN_BY[stage](tmp_path)
