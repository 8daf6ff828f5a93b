"""The official SDKs with the retries that they have by default: none of them asks the gate twice for what
it has already tried, and what comes again all the same is known again."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import errors

from tests.doors.gatehouse import Gatehouse, open_gatehouse
from tests.doors.test_official_sdks import anthropic_fields, openai_fields

CHAT = "/v1/chat/completions"
BODY = b'{"model":"smart","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'
ERRORS = (openai.OpenAIError, anthropic.AnthropicError, errors.APIError)

FAULTS: list[dict[str, object]] = [
    {"status": 400}, {"status": 401}, {"status": 402}, {"status": 403}, {"status": 404},
    {"status": 408}, {"status": 409}, {"status": 422}, {"status": 429},
    {"status": 429, "retry_after_seconds": 121}, {"status": 429, "kind": "money"},
    {"status": 500}, {"status": 503}, {"status": 529}, {"how": "close"}, {"how": "reset"},
]  # fmt: skip


def ask(family: str, url: str, key: str, **more: Any) -> None:
    """Ask with an SDK as it comes out of its box."""
    if family == "openai":
        with openai.OpenAI(base_url=f"{url}/v1", api_key=key, **more) as client:
            chats: Any = client.chat.completions
            chats.create(**openai_fields("hi"))
    elif family == "google":
        milliseconds = int(more.get("timeout", 60) * 1_000)
        options: Any = {"base_url": url, "timeout": milliseconds}
        with genai.Client(api_key=key, http_options=options) as client:
            models: Any = client.models
            models.generate_content(model="smart", contents="hi")
    else:
        with anthropic.Anthropic(base_url=url, api_key=key, **more) as client:
            messages: Any = client.messages
            messages.create(**anthropic_fields("hi"))


def told_status(error: BaseException) -> int:
    """Return the status that an SDK was answered with."""
    if isinstance(error, errors.APIError):
        return error.code
    assert isinstance(error, openai.APIStatusError | anthropic.APIStatusError)
    return error.status_code


@pytest.mark.parametrize("family", ["openai", "anthropic", "google"])
async def test_no_sdk_asks_the_gate_twice_for_what_has_failed(tmp_path: Path, family: str) -> None:
    asked: dict[str, int] = {}
    for n, fault in enumerate(FAULTS):
        script = {"rules": [{"steps": [{"fault": fault}]}]}
        (tmp_path / str(n)).mkdir()
        async with open_gatehouse(tmp_path / str(n), script) as house:
            with pytest.raises(ERRORS):
                await asyncio.to_thread(ask, family, house.url, house.key)
            asked[json.dumps(fault)] = len(house.rows)
    assert asked == {json.dumps(fault): 1 for fault in FAULTS}


@pytest.mark.parametrize("family", ["openai", "anthropic", "google"])
async def test_a_client_hears_that_it_is_too_late_before_it_asks_again(
    tmp_path: Path, family: str
) -> None:
    script = {"rules": [{"steps": [{"fault": {"how": "stall"}}]}]}
    async with open_gatehouse(tmp_path, script) as house:
        with pytest.raises(ERRORS) as failure:
            await asyncio.to_thread(ask, family, house.url, house.key, timeout=1.0)
        assert told_status(failure.value) == 504
        assert [(row.status, row.code) for row in house.rows] == [(504, "client_timeout")]


async def post(house: Gatehouse, retries: str) -> tuple[int, Any, Any]:
    """Send the same request as an SDK does that has sent it so often before."""
    status, headers, told = await house.post(CHAT, BODY, {"x-stainless-retry-count": retries})
    return status, headers, json.loads(told)


async def test_who_asks_again_all_the_same_is_stopped_when_the_retries_are_used_up(
    tmp_path: Path,
) -> None:
    script = {"rules": [{"steps": [{"fault": {"status": 500}}]}]}
    lines = "retries = 0\nmax_retries = 2"
    async with open_gatehouse(tmp_path, script, task_lines=lines) as house:
        answers = [await post(house, str(n)) for n in range(4)]
        assert [status for status, _, _ in answers] == [500, 500, 500, 403]
        assert len({headers["callgate-task"] for _, headers, _ in answers}) == 1
        _, headers, told = answers[-1]
        assert headers["x-should-retry"] == "false"
        assert told["callgate"]["code"] == "retries_used_up"
        assert [row.client_retry for row in house.rows] == [0, 1, 2, 3]
        assert len(house.simulator.requests) == 3


@pytest.mark.parametrize("said", ["", "0", "-1", "1e3", "٣", "9999999", "many"])
async def test_what_is_no_count_is_no_retry(tmp_path: Path, said: str) -> None:
    script = {"rules": [{"steps": [{"fault": {"status": 500}}]}]}
    async with open_gatehouse(tmp_path, script) as house:
        await post(house, "0")
        await post(house, said)
        assert [row.client_retry for row in house.rows] == [0, 0]


@pytest.mark.parametrize("said", ["", "none", "0", "-1", "nan", "inf", "1e999"])
async def test_what_is_no_length_of_time_ends_nothing(tmp_path: Path, said: str) -> None:
    async with open_gatehouse(tmp_path) as house:
        status, _, _ = await house.post(CHAT, BODY, {"x-stainless-read-timeout": said})
        assert status == 200
