"""The same scenario through every door leaves the same rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from callgate.call import Caller
from callgate.doors.python import GateDoor
from callgate.errors import CallgateError
from tests.doors.gatehouse import Gatehouse, open_gatehouse

SCRIPT: Mapping[str, object] = {
    "rules": [
        {"match": {"text": "bad"}, "steps": [{"fault": {"status": 400}}]},
        {"match": {"text": "down"}, "steps": [{"fault": {"status": 500}}]},
        {"match": {"text": "cut"}, "steps": [{"fault": {"how": "end", "after_events": 3}}]},
    ]
}
PORT = re.compile(r"(?<=127\.0\.0\.1):\d+")
VARYING = {"id", "door", "task_id", "started_at", "ended_at", "request_bytes", "message"}
VARYING_IN_ATTEMPTS = {"id", "sent_at", "first_byte_at", "ended_at", "reply_id", "reserved"}


def alike(house: Gatehouse) -> tuple[list[Any], list[Any]]:
    """The audit rows and the ledger, without ids, times and the door."""
    rows = [msgspec.structs.asdict(row) for row in house.rows]
    for row in rows:
        row["attempts"] = [
            {k: v for k, v in msgspec.structs.asdict(a).items() if k not in VARYING_IN_ATTEMPTS}
            | {"error": PORT.sub("", a.error or "")}
            for a in row["attempts"]
        ]
    audit = [{key: value for key, value in row.items() if key not in VARYING} for row in rows]
    ledger = [(row.spent, row.held, row.calls, row.refused) for row in house.gate.store.tasks()]
    return audit, ledger


def fields(model: str, text: str) -> dict[str, Any]:
    if model == "quick":
        contents = [{"role": "user", "parts": [{"text": text}]}]
        return {"contents": contents, "generationConfig": {"maxOutputTokens": 50}}
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 50}


async def by_http(house: Gatehouse, model: str, text: str, *, stream: bool, task: str) -> None:
    page = fields(model, text)
    if model == "quick":
        action = "streamGenerateContent" if stream else "generateContent"
        path = f"/v1beta/models/{model}:{action}"
    else:
        path = "/v1/messages" if model == "careful" else "/v1/chat/completions"
        page = {"model": model, **page, "stream": stream}
    body = msgspec.json.encode(page)
    await house.post(path, body, {"callgate-task": task})


async def by_python(house: Gatehouse, model: str, text: str, *, stream: bool, task: str) -> None:
    door = GateDoor(house.gate, Caller(agent="worker").agent)
    try:
        async with door.task(id=task) as running:
            if stream:
                async with running.stream(model, **fields(model, text)) as events:
                    _ = [event async for event in events]
            else:
                await running.model(model, **fields(model, text), stream=False)
    except CallgateError:
        pass
    await door.finish()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["smart", "careful", "quick", "unknown:model"])
@pytest.mark.parametrize("text", ["good", "bad", "down", "cut"])
async def test_the_python_door_and_the_http_doors_leave_the_same_rows(
    tmp_path: Path, model: str, text: str, *, stream: bool
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with open_gatehouse(tmp_path / "a", SCRIPT) as first:
        await by_http(first, model, text, stream=stream, task="t1")
        await first.settled()
        http = alike(first)
    async with open_gatehouse(tmp_path / "b", SCRIPT) as second:
        await by_python(second, model, text, stream=stream, task="t1")
        python = alike(second)
    assert http == python
    assert len(http[0]) == 1


async def test_the_python_door_gives_the_words_of_every_family(tmp_path: Path) -> None:
    script = {"rules": [{"steps": [{"answer": {"thinking": "Hm.", "text": "Überlegt: 42 🚢"}}]}]}
    async with open_gatehouse(tmp_path, script) as house:
        door = GateDoor(house.gate, "worker")
        async with door.task() as task:
            for model in ("smart", "careful", "quick"):
                reply = await task.model(model, **fields(model, "hi"))
                assert reply.text == "Überlegt: 42 🚢"
        await door.finish()
