"""What is known of a server is kept to on the road: what it refuses is not sent to it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.doors.gatehouse import Gatehouse, open_gatehouse

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
MISTRAL = 'api = "openai"\nserver = "mistral"\nbase_url = "URL/v1"\nprice_source = "openai"'
ROUTES = {"strict": 'use = ["mistral:gpt-5.5"]'}
TOLD_ANYWAY = {"steps": [{"answer": {"text": "a b c"}, "shape": {"usage": "every"}}]}
HI: dict[str, Any] = {"role": "user", "content": "hi"}


@asynccontextmanager
async def mistral(
    path: Path, script: Mapping[str, object] | None = None
) -> AsyncGenerator[Gatehouse]:
    """Open a gate to a server that refuses what Mistral refuses."""
    providers = {"mistral": MISTRAL}
    async with open_gatehouse(path, script, routes=ROUTES, providers=providers) as house:
        yield house


async def ask(house: Gatehouse, path: str, **fields: Any) -> Any:
    """Ask it through a door, and return what it was sent."""
    status, _, body = await house.post(path, json.dumps({"model": "strict", **fields}).encode())
    assert status == 200, body
    return json.loads(house.simulator.requests[-1].body)


@pytest.mark.parametrize(("path", "more"), [(CHAT, {}), (MESSAGES, {"max_tokens": 9})])
async def test_a_server_that_tells_usage_unasked_is_not_asked_and_what_it_tells_is_booked(
    tmp_path: Path, path: str, more: dict[str, Any]
) -> None:
    async with mistral(tmp_path, {"rules": [TOLD_ANYWAY]}) as house:
        sent = await ask(house, path, messages=[HI], stream=True, **more)
        await house.settled()
        assert "stream_options" not in sent
        assert house.spent_nano_usd == house.simulator.bill().total_nano_usd > 0


async def test_a_limit_goes_into_the_field_that_a_server_knows(tmp_path: Path) -> None:
    async with mistral(tmp_path) as house:
        sent = await ask(house, CHAT, messages=[HI])
        assert (sent["max_tokens"], "max_completion_tokens" in sent) == (8192, False)


async def test_ids_of_calls_are_written_as_a_stricter_server_takes_them(tmp_path: Path) -> None:
    use: dict[str, Any] = {"type": "tool_use", "id": "toolu_01", "name": "sun", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_01", "content": "7"}
    said = [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    tools = [{"name": "sun", "input_schema": {"type": "object"}}]
    async with mistral(tmp_path) as house:
        sent = await ask(house, MESSAGES, max_tokens=9, messages=[HI, *said], tools=tools)
        id = sent["messages"][1]["tool_calls"][0]["id"]
        assert (len(id), id.isalnum(), sent["messages"][2]["tool_call_id"]) == (9, True, id)


async def test_what_a_server_lacks_is_a_loss_of_a_translation(tmp_path: Path) -> None:
    page = {"model": "strict", "max_tokens": 9, "messages": [HI], "metadata": {"user_id": "u"}}
    async with mistral(tmp_path) as house:
        status, _, body = await house.post(MESSAGES, json.dumps(page).encode())
        assert (status, b'allow_loss = [\\"metadata\\"]' in body) == (403, True)
