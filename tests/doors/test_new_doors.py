"""Responses, embeddings and Gemini over HTTP: what only these doors have."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from google.genai import errors

from callgate.keys import digest, new_key
from callgate.store import Key
from tests.doors.gatehouse import Gatehouse, open_gatehouse
from tests.doors.more_sdks import GEMINI_MODEL, gemini_client, gemini_fields, openai_client

RESPONSES, EMBEDDINGS = "/v1/responses", "/v1/embeddings"
GEMINI = f"/v1beta/models/{GEMINI_MODEL}"
HELLO = b'{"contents":[{"parts":[{"text":"hi"}]}]}'
ASKED: dict[str, Any] = {"model": "gpt-5.5", "max_output_tokens": 50}


def broken(**fault: object) -> Mapping[str, object]:
    return {"rules": [{"steps": [{"fault": fault}]}]}


async def get(house: Gatehouse, path: str, **headers: str) -> tuple[int, Any]:
    """Ask with only these headers; return status and page."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.get(house.url + path, headers=named) as reply,
    ):
        return reply.status, await reply.json()


def converse(url: str, key: str) -> tuple[str, str]:
    """Go on from a streamed response at once; return the words of both."""
    with openai_client(url, key) as client:
        with client.responses.create(**ASKED, input="One?", stream=True) as stream:
            first = next(each.response for each in stream if each.type == "response.completed")
        second = client.responses.create(**ASKED, input="Two?", previous_response_id=first.id)
        return first.output_text, second.output_text


async def test_a_conversation_that_the_provider_keeps_goes_on(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path) as house:
        through = await asyncio.to_thread(converse, house.url, house.key)
        direct = await asyncio.to_thread(converse, house.simulator.url, "k")
        await house.settled()
        assert through == direct
        assert [row.state for row in house.rows] == ["ok", "ok"]
        assert house.spent_nano_usd * 2 == house.simulator.bill().total_nano_usd


async def test_nobody_goes_on_from_the_response_of_another_agents_user(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path) as house:
        _, _, made = await house.post(RESPONSES, json.dumps({**ASKED, "input": "One?"}).encode())
        id = json.loads(made)["id"]
        page = {**ASKED, "input": "Two?", "previous_response_id": id}
        status, _, told = await house.post(
            RESPONSES, json.dumps(page).encode(), {"callgate-user": "u2"}
        )
        assert (status, json.loads(told)["callgate"]["code"]) == (404, "unknown_response")
        assert "send the whole conversation" in json.loads(told)["error"]["message"]


async def test_a_response_in_the_background_is_refused_with_the_reason(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path) as house:
        page = {**ASKED, "input": "hi", "background": True}
        status, _, told = await house.post(RESPONSES, json.dumps(page).encode())
        assert (status, json.loads(told)["callgate"]["code"]) == (400, "wrong_field")
        assert "background must be false" in json.loads(told)["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", [{"how": "error_event"}, {"how": "failed_event"}])
async def test_a_response_that_breaks_off_is_no_success(
    tmp_path: Path, fault: dict[str, Any], stream: bool
) -> None:
    after = 6 if stream else 0
    async with open_gatehouse(tmp_path, broken(**fault, after_events=after)) as house:
        page = {**ASKED, "input": "hi", "stream": True}
        status, _, told = await house.post(RESPONSES, json.dumps(page).encode())
        await house.settled()
        assert [row.state for row in house.rows] == ["failed"]
        ended = b"event: error" in told or b"event: response.failed" in told
        assert (status == 200, ended) == (stream, stream)
        assert b"response.completed" not in told


@pytest.mark.parametrize(
    ("method", "path", "names"),
    [
        ("GET", "/v1/responses/resp_1", "/v1/responses"),
        ("DELETE", "/v1/responses/resp_1", "/v1/embeddings"),
        ("POST", "/v1/responses/resp_1/cancel", "/v1/responses"),
        ("POST", "/v1/responses/input_tokens", "/v1/responses"),
        ("GET", "/v1/responses", "POST to /v1/chat/completions"),
        ("POST", f"{GEMINI}:countTokens", ":streamGenerateContent"),
        ("POST", f"{GEMINI}:batchEmbedContents", ":generateContent"),
        ("POST", "/v1beta/cachedContents", "/v1beta/models"),
        ("GET", f"{GEMINI}:generateContent/x", "agent may use no model"),
    ],
)
async def test_what_is_not_served_is_told_with_what_is(
    tmp_path: Path, method: str, path: str, names: str
) -> None:
    async with open_gatehouse(tmp_path) as house, aiohttp.ClientSession() as session:
        headers = {"authorization": f"Bearer {house.key}"}
        async with session.request(method, house.url + path, headers=headers) as reply:
            page = await reply.json()
        assert reply.status == 404
        assert names in page["error"]["message"]
        assert ("status" in page["error"]) == path.startswith("/v1beta")
        assert house.simulator.requests == ()


async def test_embeddings_hold_the_bytes_of_all_inputs_and_no_output(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path) as house:
        page = {"model": "text-embedding-3-small", "input": ["x" * 6_000] * 20}
        status, _, _ = await house.post(EMBEDDINGS, json.dumps(page).encode())
        attempt = house.rows[0].attempts[0]
        assert attempt.reserved is not None
        # $0.02 for a million tokens: 120,000 of them are more than one input may have.
        assert (status, attempt.changes, attempt.output_tokens_limit) == (200, (), 0)
        assert attempt.reserved.nano > 120_000 * 20


@pytest.mark.parametrize("by", ["x-goog-api-key", "query", "bearer"])
async def test_a_key_is_found_where_googles_clients_put_it_and_stays_here(
    tmp_path: Path, by: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_gatehouse(tmp_path) as house:
        path = f"{GEMINI}:generateContent"
        headers = {"authorization": ""}
        if by == "query":
            path += f"?key={house.key}"
        else:
            name, value = ("authorization", f"Bearer {house.key}")
            headers |= {name: value} if by == "bearer" else {by: house.key}
        status, _, _ = await house.post(path, HELLO, headers)
        sent = house.simulator.requests[0]
        assert status == 200
        assert (
            house.key
            not in f"{sent.path} {sent.query} {sent.raw_headers} {sent.body!r} {caplog.text}"
        )


async def test_a_stranger_is_turned_away_in_googles_words(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path) as house:
        headers = {"authorization": "", "x-goog-api-key": "AIza-stranger"}
        status, _, told = await house.post(f"{GEMINI}:generateContent", HELLO, headers)
        assert (status, json.loads(told)["error"]["status"]) == (401, "UNAUTHENTICATED")


async def test_without_alt_sse_a_stream_is_an_array_of_the_same_elements(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path) as house:
        path = f"{GEMINI}:streamGenerateContent"
        _, as_events, events = await house.post(f"{path}?alt=sse", HELLO)
        _, as_array, array = await house.post(path, HELLO)
        told = [json.loads(line[6:]) for line in events.splitlines() if line.startswith(b"data: ")]
        elements = json.loads(array)
        assert as_events["content-type"].startswith("text/event-stream")
        assert as_array["content-type"].startswith("application/json")
        assert [each["candidates"] for each in elements] == [each["candidates"] for each in told]


async def test_an_error_inside_an_array_is_its_last_element(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, broken(how="error_event", after_events=3)) as house:
        _, _, array = await house.post(f"{GEMINI}:streamGenerateContent", HELLO)
        *said, last = json.loads(array)
        assert len(said) == 3
        assert last["callgate"]["code"] == "broken_reply"


async def test_a_stream_that_breaks_raises_in_googles_sdk(tmp_path: Path) -> None:
    def read(url: str, key: str) -> int:
        with gemini_client(url, key) as client:
            stream = client.models.generate_content_stream(**gemini_fields("hi"))
            return sum(1 for _ in stream)

    async with open_gatehouse(tmp_path, broken(how="end", after_events=3)) as house:
        with pytest.raises(errors.ServerError, match="ended the stream before a finishReason"):
            await asyncio.to_thread(read, house.url, house.key)


async def test_a_refusal_of_the_gate_raises_in_googles_sdk(tmp_path: Path) -> None:
    def ask(url: str, key: str) -> None:
        with gemini_client(url, key) as client:
            client.models.generate_content(model="gemini:dear", contents="hi")

    async with open_gatehouse(tmp_path) as house:
        with pytest.raises(errors.ClientError, match="it may use: smart, careful, quick") as raised:
            await asyncio.to_thread(ask, house.url, house.key)
        assert (raised.value.code, raised.value.status) == (403, "PERMISSION_DENIED")


async def test_a_wrong_key_of_gemini_is_the_operators_matter(tmp_path: Path) -> None:
    script = broken(status=400, kind="credential")
    async with open_gatehouse(tmp_path, script) as house:
        status, _, told = await house.post(f"{GEMINI}:generateContent", HELLO)
        assert (status, json.loads(told)["callgate"]["code"]) == (502, "bad_credential")
        assert house.rows[0].attempts[0].http_status == 400
        await house.post(f"{GEMINI}:generateContent", HELLO)
        assert len(house.simulator.requests) == 1


async def test_a_call_that_the_model_could_not_write_is_tried_again(tmp_path: Path) -> None:
    bad = {"answer": {"text": "", "finish_reason": "MALFORMED_FUNCTION_CALL"}}
    script = {"rules": [{"steps": [bad, {"answer": {"text": "hi"}}]}]}
    async with open_gatehouse(tmp_path, script, task_lines="retries = 1") as house:
        status, _, told = await house.post(f"{GEMINI}:generateContent", HELLO)
        said = json.loads(told)["candidates"][0]["content"]["parts"][0]["text"]
        assert (status, said) == (200, "hi")
        assert [attempt.state for attempt in house.rows[0].attempts] == ["failed", "ok"]
        # What it cost to try is known, and booked so.
        assert house.spent_nano_usd == house.simulator.bill().total_nano_usd


async def test_models_are_listed_and_told_in_googles_words(tmp_path: Path) -> None:
    def names(url: str, key: str) -> tuple[list[str | None], str | None]:
        with gemini_client(url, key) as client:
            listed = [model.name for model in client.models.list()]
            return listed, client.models.get(model="quick").display_name

    async with open_gatehouse(tmp_path) as house:
        listed, told = await asyncio.to_thread(names, house.url, house.key)
        assert (listed, told) == (["models/careful", "models/quick", "models/smart"], "quick")
        status, page = await get(house, "/v1/models", x_goog_api_key=house.key)
        assert (status, page["models"][0]["name"]) == (200, "models/careful")


async def test_one_model_is_told_in_the_words_of_the_other_families(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path) as house:
        with openai_client(house.url, house.key) as client:
            one = await asyncio.to_thread(client.models.retrieve, "smart")
            assert one.id == "smart"
            with pytest.raises(openai.NotFoundError, match="it may use: careful, quick, smart"):
                await asyncio.to_thread(client.models.retrieve, "dear")


FALLBACKS = [
    ("/v1/chat/completions", "quick", {"messages": [{"role": "user", "content": "hi"}]}),
    ("/v1/messages", "quick", {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}),
    ("/v1/responses", "careful", {"input": "hi", "store": False}),
    ("/v1/responses", "quick", {"input": "hi", "store": False}),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "model", "fields"), FALLBACKS)
async def test_every_upstream_can_be_reached_through_every_door(
    tmp_path: Path, path: str, model: str, fields: dict[str, Any], stream: bool
) -> None:
    async with open_gatehouse(tmp_path) as house:
        body = json.dumps({"model": model, "stream": stream, **fields}).encode()
        status, _, told = await house.post(path, body)
        await house.settled()
        assert status == 200, told
        assert house.rows[0].state == "ok"
        assert house.spent_nano_usd == house.simulator.bill().total_nano_usd


@pytest.mark.parametrize("action", ["generateContent", "streamGenerateContent?alt=sse"])
@pytest.mark.parametrize("model", ["smart", "careful", "quick"])
async def test_every_model_answers_at_the_door_of_gemini(
    tmp_path: Path, model: str, action: str
) -> None:
    async with open_gatehouse(tmp_path) as house:
        status, _, told = await house.post(f"/v1beta/models/{model}:{action}", HELLO)
        await house.settled()
        assert status == 200, told
        assert b'"finishReason":"STOP"' in told
        assert house.spent_nano_usd == house.simulator.bill().total_nano_usd


async def test_another_agent_lists_its_own_models(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path) as house:
        key = new_key("agent")
        row = Key(id="key_2", digest=digest(key), agent="nobody", created_at=0.0)
        await house.gate.store.create_key(row)
        assert await get(house, f"/v1beta/models?key={key}") == (200, {"models": []})
