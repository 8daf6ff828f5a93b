"""The timing table: for each failure the attempts that the provider sees, the waits between them,
and what the client is answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from callgate.testing.clocks import FakeClock
from tests.doors.gatehouse import Gatehouse, open_gatehouse

Waits = tuple[tuple[float, float], ...]

BACKOFF: Waits = ((0.375, 0.5), (0.75, 1.0))
"""Two waits, the least and the most of each."""

CLOSE = 0.05
"""How much a wait may differ from what was asked for, as a share of it."""


def exactly(seconds: float) -> Waits:
    """Two waits as a provider asks for them."""
    return ((seconds * (1 - CLOSE), seconds * (1 + CLOSE)),) * 2


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong, and what must come of it."""

    fault: Mapping[str, object]
    attempts: int = 3
    waits: Waits = BACKOFF
    status: int
    retry_after: str | None = None
    """What the client is told besides not to try again."""
    provider: str = ""
    """Lines of the provider's settings."""
    stream: bool = False


def status(number: int, **more: object) -> Mapping[str, object]:
    return {"status": number, **more}


def busy(seconds: float, form: str | None = None) -> Mapping[str, object]:
    return {"status": 429, "retry_after_seconds": seconds, "retry_after_form": form}


ONCE: Any = {"attempts": 1, "waits": ()}
SILENT = {"how": "stall", "at": "after_headers"}
QUICK = 'read_timeout = "0.1s"\nfirst_byte_timeout = "0.1s"'

CASES: Mapping[str, Case] = {
    "500": Case(fault=status(500), status=500),
    "502 in HTML": Case(fault=status(502, body="<html>Bad gateway</html>"), status=502),
    "503": Case(fault=status(503), status=503),
    "504": Case(fault=status(504), status=504),
    "529": Case(fault=status(529), status=529),
    "408": Case(fault=status(408), status=408),
    "425": Case(fault=status(425), status=425),
    "503 with retry-after": Case(
        fault=status(503, retry_after_seconds=4), waits=exactly(4), status=503
    ),
    "connection refused": Case(fault={"how": "refuse", "for_seconds": 30}, attempts=1, status=502),
    "closed before headers": Case(fault={"how": "close"}, status=502),
    "reset before headers": Case(fault={"how": "reset"}, status=502),
    "no first byte in time": Case(fault={"how": "stall"}, provider=QUICK, status=504),
    "silence in a plain reply": Case(fault=SILENT, provider=QUICK, status=504),
    "no first token in time": Case(
        fault=SILENT, provider='first_token_timeout = "0.1s"', stream=True, status=504
    ),
    "silence before content": Case(fault=SILENT, provider=QUICK, stream=True, status=504),
    "reply of which half comes": Case(fault={"how": "malformed"}, status=502),
    "stream cut before content": Case(
        fault={"how": "close", "after_events": 0}, stream=True, status=502
    ),
    "429 without a wait": Case(fault=status(429), status=429),
    "429 seconds": Case(fault=busy(2), waits=exactly(2), status=429, retry_after="2"),
    "429 float": Case(fault=busy(1.5, "float"), waits=exactly(1.5), status=429, retry_after="2"),
    "429 ms": Case(fault=busy(1.25, "ms"), waits=exactly(1.25), status=429, retry_after="1"),
    "429 date": Case(fault=busy(24, "date"), waits=exactly(24), status=429, retry_after="24"),
    "429 reset headers": Case(fault=busy(3, "reset"), waits=exactly(3), status=429, retry_after="3"),
    "429 in RetryInfo": Case(
        fault=status(429, body=json.dumps({"error": {"message": "m", "details": [
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2.25s"}]}})),
        waits=exactly(2.25), status=429, retry_after="2",
    ),
    "429 beyond the deadline": Case(fault=busy(3000), **ONCE, status=429, retry_after="3000"),
    "429 absurd": Case(fault=busy(10**9), **ONCE, status=429, retry_after=str(10**9)),
    "429 of money": Case(fault=status(429, kind="money"), **ONCE, status=502),
    "402": Case(fault=status(402), **ONCE, status=502),
    "400": Case(fault=status(400), **ONCE, status=400),
    "409": Case(fault=status(409), **ONCE, status=409),
    "422": Case(fault=status(422), **ONCE, status=422),
    "401": Case(fault=status(401), **ONCE, status=502),
    "403": Case(fault=status(403), **ONCE, status=502),
    "404 of a model": Case(
        fault=status(404, body='{"error":{"message":"no","code":"model_not_found"}}'),
        **ONCE, status=404,
    ),
}  # fmt: skip


def body(*, stream: bool = False, model: str = "smart") -> bytes:
    messages = [{"role": "user", "content": "hi"}]
    page = {"model": model, "max_tokens": 9, "stream": stream, "messages": messages}
    return json.dumps(page).encode()


async def ask(house: Gatehouse, **more: Any) -> tuple[int, dict[str, str], Any]:
    status, headers, told = await house.post("/v1/chat/completions", body(**more))
    named = {name.lower(): value for name, value in headers.items()}
    return status, named, json.loads(told)


@pytest.mark.parametrize("name", CASES)
async def test_a_failure_is_sent_waited_for_and_answered_as_the_matrix_says(
    tmp_path: Path, name: str
) -> None:
    case, clock = CASES[name], FakeClock()
    script = {"rules": [{"steps": [{"fault": case.fault}] * 5}]}
    async with open_gatehouse(
        tmp_path,
        script,
        task_lines='timeout = "60s"',
        providers={"openai": case.provider},
        clock=clock,
    ) as house:
        answered, headers, told = await ask(house, stream=case.stream)
        assert (len(house.simulator.requests), answered) == (case.attempts, case.status)
        assert len(clock.waits) == len(case.waits)
        pairs = zip(clock.waits, case.waits, strict=True)
        assert all(least <= wait <= most for wait, (least, most) in pairs), clock.waits
        assert headers["x-should-retry"] == "false"
        assert headers.get("retry-after") == case.retry_after
        assert headers["callgate-call"] == house.rows[0].id
        assert told["error"]["message"]


@pytest.mark.parametrize("how", ["close", "reset", "stall"])
async def test_a_stream_that_breaks_after_content_is_not_begun_again(
    tmp_path: Path, how: str
) -> None:
    step = {"answer": {"words": 9}, "fault": {"how": how, "after_events": 4}}
    async with open_gatehouse(
        tmp_path, {"rules": [{"steps": [step]}]}, task_lines="", providers={"openai": QUICK}
    ) as house:
        answered, _, told = await house.post("/v1/chat/completions", body(stream=True))
        await house.settled()
        events = told.strip().split(b"\n\n")
        assert (answered, len(house.simulator.requests)) == (200, 1)
        assert json.loads(events[-1].removeprefix(b"data: "))["error"]["message"]
        (attempt,) = house.rows[0].attempts
        assert (attempt.state, attempt.estimated, attempt.cost) == (
            "failed",
            True,
            attempt.reserved,
        )


async def test_what_may_have_been_answered_is_booked_at_what_it_held(tmp_path: Path) -> None:
    script = {"rules": [{"steps": [{"fault": {"how": "reset"}}]}]}
    async with open_gatehouse(tmp_path, script) as house:
        await ask(house)
        (attempt,) = house.rows[0].attempts
        assert (attempt.estimated, attempt.cost) == (True, attempt.reserved)


PAIR = {"pair": 'use = ["openai:gpt-5.5", "openai:gpt-5.4"]'}


@pytest.mark.parametrize(
    ("fault", "waits", "sent"),
    [
        (busy(2), 2, ["gpt-5.5"] * 3 + ["gpt-5.4"]),
        (busy(5.5), 0, ["gpt-5.5", "gpt-5.4"]),
        (busy(3000), 0, ["gpt-5.5", "gpt-5.4"]),
        (status(401), 0, ["gpt-5.5"]),
        (status(403), 0, ["gpt-5.5", "gpt-5.4"]),
        (status(402), 0, ["gpt-5.5"]),
        (status(400), 0, ["gpt-5.5"]),
        (status(500), 2, ["gpt-5.5"] * 3 + ["gpt-5.4"]),
    ],
)
async def test_with_another_candidate_a_long_wait_is_not_waited_for(
    tmp_path: Path, fault: Mapping[str, object], waits: int, sent: list[str]
) -> None:
    clock = FakeClock()
    script = {"rules": [{"match": {"model": "gpt-5.5"}, "steps": [{"fault": fault}]}]}
    async with open_gatehouse(
        tmp_path, script, task_lines='timeout = "60s"', routes=PAIR, clock=clock
    ) as house:
        await ask(house, model="pair")
        asked = [json.loads(request.body)["model"] for request in house.simulator.requests]
    assert (asked, len(clock.waits)) == (sent, waits)


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
