"""The timing table: for each failure the attempts that the provider sees, the waits between them,
and what the client is answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from callgate.testing.clocks import FakeClock
from tests.doors.gatehouse import Gatehouse, open_gatehouse

BACKOFF = ((0.375, 0.5), (0.75, 1.0))
"""Two waits, the least and the most of each."""


def exactly(seconds: float) -> tuple[tuple[float, float], ...]:
    """Two waits as a provider asks for them."""
    return ((seconds, seconds * 1.05),) * 2


def body() -> bytes:
    page = {"model": "smart", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    return json.dumps(page).encode()


async def ask(house: Gatehouse) -> tuple[int, dict[str, str], Any]:
    status, headers, told = await house.post("/v1/chat/completions", body())
    named = {name.lower(): value for name, value in headers.items()}
    return status, named, json.loads(told)


@pytest.mark.parametrize(
    ("fault", "attempts", "waits", "status"),
    [
        ({"status": 500}, 3, BACKOFF, 500),
        ({"status": 503}, 3, BACKOFF, 503),
        ({"status": 408}, 3, BACKOFF, 408),
        ({"how": "close"}, 3, BACKOFF, 502),
        ({"how": "reset"}, 3, BACKOFF, 502),
        ({"status": 429, "retry_after_seconds": 2}, 3, exactly(2), 429),
        (
            {"status": 429, "retry_after_seconds": 1.5, "retry_after_form": "ms"},
            3,
            exactly(1.5),
            429,
        ),
        ({"status": 429, "retry_after_seconds": 3000}, 1, (), 429),
        ({"status": 400}, 1, (), 400),
        ({"status": 422}, 1, (), 422),
        ({"status": 401}, 1, (), 502),
        ({"status": 403}, 1, (), 502),
        ({"status": 429, "kind": "money"}, 1, (), 502),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
async def test_a_failure_is_sent_waited_for_and_answered_as_the_matrix_says(
    tmp_path: Path,
    fault: dict[str, object],
    attempts: int,
    waits: tuple[tuple[float, float], ...],
    status: int,
) -> None:
    clock = FakeClock()
    script = {"rules": [{"steps": [{"fault": fault}] * 5}]}
    lines = 'timeout = "60s"'
    async with open_gatehouse(tmp_path, script, task_lines=lines, clock=clock) as house:
        answered, headers, told = await ask(house)
        assert (len(house.simulator.requests), answered) == (attempts, status)
        assert len(clock.waits) == len(waits)
        assert all(
            least <= wait <= most for wait, (least, most) in zip(clock.waits, waits, strict=True)
        )
        assert headers["x-should-retry"] == "false"
        assert headers["callgate-call"] == house.rows[0].id
        assert told["error"]["message"]


async def test_a_deadline_ends_a_call_that_its_provider_does_not_answer(tmp_path: Path) -> None:
    script = {"rules": [{"steps": [{"fault": {"how": "stall"}}]}]}
    async with open_gatehouse(tmp_path, script, task_lines='timeout = "1s"') as house:
        status, headers, told = await ask(house)
    assert (status, told["callgate"]["code"]) == (504, "deadline_passed")
    assert headers["x-should-retry"] == "false"


async def test_what_was_put_right_is_sent_and_what_was_not_is_told_again(tmp_path: Path) -> None:
    script = {"rules": [{"steps": [{"fault": {"status": 400}}, {}]}]}
    async with open_gatehouse(tmp_path, script) as house:
        named = {"callgate-task": "t1"}
        path = "/v1/chat/completions"
        assert (await house.post(path, body(), named))[0] == 400
        status, _, told = await house.post(path, body(), named)
        assert (status, json.loads(told)["callgate"]["code"]) == (400, "same_request")
        changed = body().replace(b"hi", b"ho")
        status, _, _ = await house.post(path, changed, named)
        assert (status, len(house.simulator.requests)) == (200, 2)
