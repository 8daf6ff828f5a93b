"""What a door answers to what it cannot take: in its family's words, with what to do, and recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from callgate.call import Claims
from callgate.config.policies import ProviderPolicy
from callgate.testing.fakes import FakeProvider
from tests.doors.gatehouse import open_gatehouse

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
COUNT = MESSAGES + "/count_tokens"
GOOD = b'{"model":"smart","messages":[{"role":"user","content":"hi"}],"max_tokens":9}'
LOSSY = b'{"model":"smart","messages":[{"role":"user","content":"hi"}],"max_tokens":9,"top_k":4}'
MODELS = {CHAT: b"smart", MESSAGES: b"careful"}

BAD = [
    pytest.param(CHAT, b"{nope", 400, "malformed", id="malformed JSON"),
    pytest.param(CHAT, b"", 400, "malformed", id="no body"),
    pytest.param(CHAT, b"[]", 400, "malformed", id="not an object"),
    pytest.param(CHAT, b'{"model":5,"messages":[]}', 400, "wrong_field", id="wrong type"),
    pytest.param(
        CHAT, b'{"model":"a","model":"b","messages":[]}', 400, "duplicate_key", id="twice"
    ),
    pytest.param(CHAT, b'{"model":"nope","messages":[]}', 403, "model_denied", id="not permitted"),
    pytest.param(MESSAGES, b'{"model":"x"}', 400, "wrong_field", id="messages missing"),
    pytest.param(MESSAGES, b"\xff\xfe", 400, "malformed", id="not UTF-8"),
    pytest.param("/v1/audio/speech", b"{}", 404, "unknown_path", id="unknown path"),
    pytest.param(MESSAGES + "/batches", b"{}", 404, "unknown_path", id="unknown path, anthropic"),
    pytest.param(COUNT, GOOD, 403, "other_format", id="a count by the other family"),
    pytest.param(MESSAGES, LOSSY, 403, "meaning_lost", id="more than the other family can say"),
]


@pytest.mark.parametrize(("path", "body", "status", "code"), BAD)
async def test_bad_input_is_told_recorded_once_and_not_forwarded(
    tmp_path: Path, path: str, body: bytes, status: int, code: str
) -> None:
    async with open_gatehouse(tmp_path) as house:
        answered, headers, told = await house.post(path, body)
        page: dict[str, Any] = json.loads(told)
        assert (answered, page["callgate"]["code"]) == (status, code)
        assert page["error"]["message"]
        assert headers["x-should-retry"] == "false"
        assert [(row.state, row.code) for row in house.rows] == [("refused", code)]
        assert house.simulator.requests == ()


async def test_each_door_answers_in_its_own_words(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path) as house:
        _, _, openai = await house.post(CHAT, b"{}")
        _, _, anthropic = await house.post(MESSAGES, b"{}")
        assert set(json.loads(openai)["error"]) == {"message", "type", "param", "code"}
        assert json.loads(anthropic)["type"] == "error"


async def test_an_oversized_body_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, gate_lines='max_body_bytes = "1kB"') as house:
        status, _, told = await house.post(CHAT, b"x" * 5_000)
        assert (status, json.loads(told)["callgate"]["limit"]) == (413, 1000)
        assert [row.code for row in house.rows] == ["too_large"]


async def test_an_unknown_model_is_told_with_what_there_is(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path) as house:
        body = GOOD.replace(b'"smart"', b'"nowhere:x"').replace(b"nowhere", b"no-where")
        status, _, told = await house.post(CHAT, body)
        assert status in {403, 404}
        assert "smart" in json.loads(told)["error"]["message"]


@pytest.mark.parametrize(
    ("key", "says"),
    [("", "no key"), ("sk-something", "not a key of this gate"), ("cg_agent_x", "unknown")],
)
async def test_a_stranger_is_turned_away_without_a_row(tmp_path: Path, key: str, says: str) -> None:
    async with open_gatehouse(tmp_path) as house:
        headers = {"authorization": f"Bearer {key}" if key else ""}
        status, _, told = await house.post(CHAT, GOOD, headers)
        assert (status, house.rows) == (401, [])
        assert says in json.loads(told)["error"]["message"]


async def test_a_revoked_key_is_told_so(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path) as house:
        await house.gate.store.revoke_key("key_1", house.gate.clock.now())
        status, _, told = await house.post(CHAT, GOOD)
        assert (status, "revoked" in json.loads(told)["error"]["message"]) == (401, True)


async def test_an_expired_key_is_told_so(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path) as house:
        task = await house.gate.create_task(house.gate.authenticate(house.key), Claims())
        long_over = msgspec.structs.replace(task, deadline_at=1.0)
        key = await house.gate.create_task_key(long_over)
        status, _, told = await house.post(CHAT, GOOD, {"authorization": f"Bearer {key}"})
        assert (status, "expired" in json.loads(told)["error"]["message"]) == (401, True)


async def test_a_task_key_speaks_for_its_task_only(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path) as house:
        key = await house.task_key()
        headers = {"authorization": f"Bearer {key}", "callgate-task": "another"}
        status, _, told = await house.post(CHAT, GOOD, headers)
        assert (status, json.loads(told)["callgate"]["code"]) == (403, "task_mismatch")


async def test_every_reply_names_its_task_and_its_call(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path) as house:
        _, headers, _ = await house.post(CHAT, GOOD, {"callgate-task": "t-1"})
        assert (headers["callgate-task"], headers["callgate-call"]) == ("t-1", house.rows[0].id)


async def test_a_reply_cut_by_the_gates_own_limit_is_marked(tmp_path: Path) -> None:
    script = {"rules": [{"steps": [{"answer": {"words": 9000}}]}]}
    async with open_gatehouse(tmp_path, script) as house:
        body = b'{"model":"smart","messages":[{"role":"user","content":"hi"}]}'
        _, headers, _ = await house.post(CHAT, body)
        assert headers["callgate-limited"] == "max_tokens=8192"


async def test_the_models_that_an_agent_may_use_are_listed_for_either_family(
    tmp_path: Path,
) -> None:
    async with open_gatehouse(tmp_path) as house, aiohttp.ClientSession() as session:
        headers = {"x-api-key": house.key}
        async with session.get(f"{house.url}/v1/models", headers=headers) as reply:
            openai = await reply.json()
        headers["anthropic-version"] = "2026-10-21"
        async with session.get(f"{house.url}/v1/models", headers=headers) as reply:
            anthropic = await reply.json()
        assert [model["id"] for model in openai["data"]] == ["careful", "quick", "smart"]
        assert [model["type"] for model in anthropic["data"]] == ["model"] * 3


@pytest.mark.parametrize(
    ("status", "seen"), [(400, 400), (404, 404), (429, 429), (500, 500), (529, 529), (401, 502)]
)
async def test_a_providers_refusal_is_passed_on_and_not_to_be_retried(
    tmp_path: Path, status: int, seen: int
) -> None:
    script = {"rules": [{"steps": [{"fault": {"status": status}}]}]}
    async with open_gatehouse(tmp_path, script) as house:
        answered, headers, _ = await house.post(CHAT, GOOD)
        assert (answered, headers["x-should-retry"]) == (seen, "false")
        assert (house.rows[0].state, house.spent_nano_usd) == ("failed", 0)


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_a_mistake_of_the_gates_own_is_told_without_its_insides(
    tmp_path: Path, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    def make_provider(_: ProviderPolicy) -> FakeProvider:
        return FakeProvider(ZeroDivisionError("inside"))

    async with open_gatehouse(tmp_path, make_provider=make_provider) as house:
        status, headers, told = await house.post(path, GOOD.replace(b"smart", MODELS[path]))
        page: dict[str, Any] = json.loads(told)
        assert (status, page["callgate"]["code"]) == (500, "internal")
        assert house.rows[0].id in page["error"]["message"]
        assert (b"inside" in told, headers["x-should-retry"]) == (False, "false")
        assert "ZeroDivisionError: inside" in caplog.text


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ("per_minute = 1", {"retry-after", "retry-after-ms"}),
        ("per_hour = 1", {"x-should-retry"}),
        ("concurrency = 0", {"x-should-retry"}),
    ],
)
async def test_a_client_is_told_to_come_back_only_if_that_is_soon(
    tmp_path: Path, limit: str, told: set[str]
) -> None:
    async with open_gatehouse(tmp_path, gate_lines=f"\n[limits]\n{limit}") as house:
        await house.post(CHAT, GOOD)
        status, headers, body = await house.post(CHAT, GOOD)
        known = {"retry-after", "retry-after-ms", "x-should-retry"}
        assert (status, known & {name.lower() for name in headers}) == (429, told)
        assert json.loads(body)["callgate"]["code"] == limit.split(maxsplit=1)[0]


async def test_an_empty_header_says_nothing(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, gate_lines="\n[users]\nper_minute = 1") as house:
        for _ in range(2):
            status, _, _ = await house.post(CHAT, GOOD, {"callgate-user": ""})
            assert status == 200
        assert {row.user for row in house.rows} == {None}
