"""Google's own SDK finds Gemini where the simulator is."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from callgate.testing.simulator import Simulator
from tests.unit.testing.raw_client import KEY, Answered, ask, exchange, request

# The SDK inherits from a class of aiohttp that warns of it.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")

MODEL = "gemini-3.1-pro-preview"
TOOLS: list[dict[str, Any]] = [
    {"name": "weather", "arguments": {"city": "Köln", "days": [1, 2]}},
    {"name": "news", "arguments": {}, "id": "mine"},
]
USAGE = {
    "input_tokens": 10,
    "cache_read_tokens": 3,
    "cache_write_tokens": 4,
    "output_tokens": 20,
    "reasoning_tokens": 7,
}
ANSWER = {
    "thinking": "Let me see.",
    "text": "Looking: 🌦 now",
    "tool_calls": TOOLS,
    "usage": USAGE,
}
SCRIPT: dict[str, Any] = {
    "strict": True,
    "rules": [
        {"match": {"last": "tool"}, "steps": [{"answer": {"text": "It is sunny."}}]},
        {"match": {"text": "scripted"}, "steps": [{"answer": ANSWER}]},
    ],
}
DECLARED = types.FunctionDeclaration(
    name="weather",
    parameters=types.Schema(
        type=types.Type.OBJECT, properties={"city": types.Schema(type=types.Type.STRING)}
    ),
)
CONFIG = types.GenerateContentConfig(
    system_instruction="Be brief.",
    thinking_config=types.ThinkingConfig(include_thoughts=True),
    tools=[types.Tool(function_declarations=[DECLARED])],
    automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
)


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(SCRIPT) as simulator:
        yield simulator


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[genai.client.AsyncClient]:
    async with connect(sim) as made:
        yield made


def connect(sim: Simulator, key: str = KEY) -> genai.client.AsyncClient:
    options = types.HttpOptions(base_url=sim.gemini_url)
    return genai.Client(api_key=key, http_options=options).aio


async def generate(
    client: genai.client.AsyncClient, contents: Any = "scripted", **fields: Any
) -> types.GenerateContentResponse:
    models: Any = client.models
    asked = {"model": MODEL, "contents": contents, "config": CONFIG, **fields}
    reply = await models.generate_content(**asked)
    assert isinstance(reply, types.GenerateContentResponse)
    return reply


async def chunks_of(
    client: genai.client.AsyncClient, contents: Any = "scripted"
) -> list[types.GenerateContentResponse]:
    models: Any = client.models
    stream = await models.generate_content_stream(model=MODEL, contents=contents, config=CONFIG)
    return [chunk async for chunk in stream]


def parts_of(reply: types.GenerateContentResponse) -> list[types.Part]:
    assert reply.candidates
    content = reply.candidates[0].content
    return (content.parts if content else None) or []


def history(parts: list[types.Part]) -> list[types.Content]:
    """Return a conversation whose tools have been called, for the next turn."""
    called = [part.function_call.name for part in parts if part.function_call]
    given = [types.Part.from_function_response(name=name or "", response={}) for name in called]
    return [
        types.Content(role="user", parts=[types.Part(text="scripted")]),
        types.Content(role="model", parts=parts),
        types.Content(role="user", parts=given),
    ]


async def test_a_reply_has_thoughts_text_and_parallel_calls(
    client: genai.client.AsyncClient,
) -> None:
    thought, text, first, second = parts_of(await generate(client))
    assert (thought.text, thought.thought, text.text) == ("Let me see.", True, "Looking: 🌦 now")
    assert first.function_call is not None
    assert second.function_call is not None
    assert (first.function_call.args, first.function_call.id) == (TOOLS[0]["arguments"], None)
    assert second.function_call.id == "mine"
    assert (first.thought_signature is not None, second.thought_signature) == (True, None)


async def test_usage_has_caches_within_the_prompt_and_thoughts_apart(
    sim: Simulator, client: genai.client.AsyncClient
) -> None:
    usage = (await generate(client)).usage_metadata
    assert usage is not None
    assert (usage.prompt_token_count, usage.cached_content_token_count) == (17, 3)
    assert (usage.candidates_token_count, usage.thoughts_token_count) == (20, 7)
    assert usage.total_token_count == 44
    billed = sim.bill().lines[0].usage
    assert (billed.input_tokens, billed.cache_write_tokens) == (14, 0)
    assert sim.bill().lines[0].cost_nano_usd == 14 * 2_000 + 3 * 200 + 27 * 12_000


async def test_a_stream_adds_up_and_its_usage_is_cumulative(
    client: genai.client.AsyncClient,
) -> None:
    plain, chunks = await generate(client), await chunks_of(client)
    said = [part for chunk in chunks for part in parts_of(chunk)]
    totals = [chunk.usage_metadata.total_token_count for chunk in chunks if chunk.usage_metadata]
    assert "".join(part.text or "" for part in said if not part.thought) == "Looking: 🌦 now"
    assert [part.function_call.name for part in said if part.function_call] == ["weather", "news"]
    assert totals == sorted(total or 0 for total in totals)
    assert plain.usage_metadata is not None
    assert (len(totals), totals[-1]) == (len(chunks), plain.usage_metadata.total_token_count)


async def test_only_the_last_chunk_tells_the_reason(client: genai.client.AsyncClient) -> None:
    chunks = await chunks_of(client, "hello")
    reasons = [chunk.candidates and chunk.candidates[0].finish_reason for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + [types.FinishReason.STOP]


async def test_thoughts_are_silent_unless_asked_for(client: genai.client.AsyncClient) -> None:
    quiet = CONFIG.model_copy(update={"thinking_config": None})
    assert not any(part.thought for part in parts_of(await generate(client, config=quiet)))


async def test_events_end_by_crlf_without_done(sim: Simulator) -> None:
    answered = await ask(sim, "gemini", stream=True)
    assert answered.headers["content-type"].startswith("text/event-stream")
    assert all(
        chunk.startswith(b"data: {") and chunk.endswith(b"}\r\n\r\n")
        for chunk in answered.chunks[:-1]
    )
    assert b"[DONE]" not in answered.payload


async def array(sim: Simulator) -> Answered:
    path = "/v1beta/models/gemini-3.5-flash:streamGenerateContent"
    return await ask(sim, "gemini", path=path)


async def test_without_alt_a_stream_is_one_json_array(sim: Simulator) -> None:
    answered = await array(sim)
    events = await ask(sim, "gemini", stream=True)
    elements: list[Any] = json.loads(b"".join(answered.chunks))
    assert answered.headers["content-type"].startswith("application/json")
    assert len(elements) == len(events.chunks) - 1
    assert elements[-1]["candidates"][0]["finishReason"] == "STOP"


async def test_an_error_in_an_array_keeps_it_one(sim: Simulator) -> None:
    sim.play({"rules": [{"steps": [{"fault": {"how": "error_event", "after_events": 2}}]}]})
    elements: list[Any] = json.loads(b"".join((await array(sim)).chunks))
    assert [set(element) & {"error", "candidates"} for element in elements] == [
        {"candidates"},
        {"candidates"},
        {"error"},
    ]


async def test_candidates_come_as_many_as_asked_for(client: genai.client.AsyncClient) -> None:
    config = types.GenerateContentConfig(candidate_count=3)
    reply = await generate(client, "hello", config=config)
    assert [candidate.index for candidate in reply.candidates or []] == [0, 1, 2]


async def test_an_output_limit_and_a_stop_sequence_end_an_answer(
    sim: Simulator, client: genai.client.AsyncClient
) -> None:
    sim.play({"rules": [{"steps": [{"answer": {"text": "one two three four"}}]}]})
    short = await generate(client, config=types.GenerateContentConfig(max_output_tokens=2))
    stopped = await generate(
        client, config=types.GenerateContentConfig(stop_sequences=[" four", " three"])
    )
    assert short.candidates
    assert (short.text, short.candidates[0].finish_reason) == (
        "one two",
        types.FinishReason.MAX_TOKENS,
    )
    assert stopped.text == "one two"


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "SAFETY", "SOMETHING_NEW"])
async def test_any_reason_can_be_given_without_content(sim: Simulator, reason: str) -> None:
    sim.play({"rules": [{"steps": [{"answer": {"text": "", "finish_reason": reason}}]}]})
    for stream in (False, True):
        answered = await ask(sim, "gemini", stream=stream)
        raw = answered.chunks[-2][len("data: ") :] if stream else answered.payload
        candidate = json.loads(raw)["candidates"][0]
        assert candidate["finishReason"] == reason
        assert candidate["content"] == {"role": "model"}


async def test_a_blocked_prompt_has_no_candidates_and_costs_its_input(
    sim: Simulator, client: genai.client.AsyncClient
) -> None:
    sim.play({"rules": [{"steps": [{"answer": {"block_reason": "SAFETY"}}]}]})
    reply, chunks = await generate(client), await chunks_of(client)
    assert reply.prompt_feedback is not None
    assert (reply.candidates, reply.prompt_feedback.block_reason) == (None, "SAFETY")
    assert len(chunks) == 1
    usage = sim.bill().lines[0].usage
    assert (usage.input_tokens > 0, usage.output_tokens) == (True, 0)


# Signatures.


async def test_a_tool_loop_goes_on_with_its_signature(client: genai.client.AsyncClient) -> None:
    parts = parts_of(await generate(client))
    assert (await generate(client, history(parts))).text == "It is sunny."


@pytest.mark.parametrize("how", ["lost", "another key", "forged"])
async def test_a_tool_loop_without_its_signature_is_refused(
    sim: Simulator, client: genai.client.AsyncClient, how: str
) -> None:
    async with connect(sim, "sk-another-key-42") as stranger:
        parts = parts_of(await generate(stranger if how == "another key" else client))
    for part in parts:
        if how == "lost":
            part.thought_signature = None
        if how == "forged" and part.thought_signature:
            part.thought_signature = b"x" * 48
    with pytest.raises(errors.ClientError, match=r"(?i)thought.signature") as caught:
        await generate(client, history(parts))
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")


async def test_older_models_need_no_signature(client: genai.client.AsyncClient) -> None:
    parts = parts_of(await generate(client, model="gemini-2.5-flash"))
    for part in parts:
        part.thought_signature = None
    assert (await generate(client, history(parts), model="gemini-2.5-flash")).text is not None


async def test_a_turn_may_be_in_several_contents_as_chats_leave_a_stream(
    client: genai.client.AsyncClient,
) -> None:
    first, said, results = history(parts_of(await generate(client)))
    pieces = [types.Content(role="model", parts=[part]) for part in said.parts or []]
    assert len(pieces) > 1
    assert (await generate(client, [first, *pieces, results])).candidates


async def test_a_call_that_lacks_a_result_is_refused(client: genai.client.AsyncClient) -> None:
    turns = history(parts_of(await generate(client)))
    turns[-1].parts = (turns[-1].parts or [])[:1]
    with pytest.raises(errors.ClientError, match="function response parts is equal"):
        await generate(client, turns)


# Strictness.


def body_with(parameters: dict[str, object]) -> dict[str, Any]:
    declared = {"name": "f", "parameters": parameters}
    return {"tools": [{"functionDeclarations": [declared]}]}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"foo": 1}, 'Unknown name "foo": Cannot find field.'),
    ({"generationConfig": {"n": 1}}, "Unknown name \"n\" at 'generation_config'"),
    (
        body_with({"type": "object", "$schema": "x", "properties": {"a": {"type": "string"}}}),
        "Unknown name \"$schema\" at 'tools[0].function_declarations[0].parameters'",
    ),
    (
        body_with({"type": "object", "properties": {"a": {"additionalProperties": False}}}),
        "at 'tools[0].function_declarations[0].parameters.properties[0].value'",
    ),
    (
        body_with({"type": "object", "properties": {"a": {"type": ["string", "null"]}}}),
        "Proto field is not repeating",
    ),
    (body_with({"type": "object", "properties": {}}), "should be non-empty for OBJECT type"),
    ({"tools": [{"functionDeclarations": [{"name": "a b"}]}]}, "Invalid function name"),
    ({"contents": []}, "contents is not specified"),
    ({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}, "valid role"),
    ({"contents": [{"role": "user", "parts": []}]}, "must not be empty"),
    (
        {"contents": [{"parts": [{"functionCall": {"name": "f", "args": "{}"}}]}]},
        "google.protobuf.Struct",
    ),
    ({"generationConfig": {"maxOutputTokens": 0}}, "must be positive"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED)
async def test_what_google_refuses_is_a_400_that_says_where(
    sim: Simulator, fields: dict[str, Any], message: str
) -> None:
    answered = await ask(sim, "gemini", **fields)
    error = answered.json()["error"]
    assert (answered.status, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert message in error["message"]
    assert not sim.bill().lines[0].billed


async def test_every_unknown_name_is_told_at_once(sim: Simulator) -> None:
    error = (await ask(sim, "gemini", foo=1, generationConfig={"n": 1})).json()["error"]
    violations = error["details"][0]["fieldViolations"]
    assert [one["field"] for one in violations] == ["", "generation_config"]
    assert len(error["message"].splitlines()) == 2


async def test_names_of_protocol_buffers_are_taken_too(sim: Simulator) -> None:
    fields: dict[str, Any] = {
        "system_instruction": {"parts": [{"text": "x"}]},
        "generation_config": {"max_output_tokens": 1},
    }
    answered = await ask(sim, "gemini", **fields)
    assert answered.json()["candidates"][0]["finishReason"] == "MAX_TOKENS"


# Keys, models, counts.


async def test_a_wrong_key_is_a_400_and_a_missing_one_a_403(sim: Simulator) -> None:
    sim.play({"keys": [KEY]})
    path, body = "/v1beta/models/gemini-3.5-flash:generateContent", b'{"contents":[]}'
    wrong = {"authorization": "", "x-goog-api-key": "AIza-wrong", "connection": "close"}
    none = {"authorization": "", "connection": "close"}
    refused = await exchange(sim, request(path, body, headers=wrong))
    unknown = await exchange(sim, request(path, body, headers=none))
    details = refused.json()["error"]["details"]
    assert (refused.status, details[0]["reason"]) == (400, "API_KEY_INVALID")
    assert (unknown.status, unknown.json()["error"]["status"]) == (403, "PERMISSION_DENIED")


async def test_a_key_may_come_in_the_query_and_is_not_shown(sim: Simulator) -> None:
    sim.play({"keys": [KEY]})
    path = f"/v1beta/models/m:generateContent?x=1&key={KEY}"
    body = json.dumps({"contents": [{"parts": [{"text": "hi"}]}]}).encode()
    headers = {"authorization": "", "connection": "close"}
    assert (await exchange(sim, request(path, body, headers=headers))).status == 200
    assert sim.requests[0].query == "x=1&key=***"


async def test_models_are_listed_and_tokens_counted(client: genai.client.AsyncClient) -> None:
    models: Any = client.models
    names = [model.name async for model in await models.list()]
    counted = await models.count_tokens(model=MODEL, contents="x" * 41)
    assert "models/gemini-3.5-flash" in names
    assert not [name for name in names if "gpt" in str(name)]
    assert counted.total_tokens == 11


@pytest.mark.parametrize(
    ("status", "kind", "error", "word"),
    [
        (400, None, errors.ClientError, "INVALID_ARGUMENT"),
        (400, "money", errors.ClientError, "FAILED_PRECONDITION"),
        (403, "money", errors.ClientError, "PERMISSION_DENIED"),
        (404, None, errors.ClientError, "NOT_FOUND"),
        (429, None, errors.ClientError, "RESOURCE_EXHAUSTED"),
        (429, "money", errors.ClientError, "RESOURCE_EXHAUSTED"),
        (500, None, errors.ServerError, "INTERNAL"),
        (503, None, errors.ServerError, "UNAVAILABLE"),
        (504, None, errors.ServerError, "DEADLINE_EXCEEDED"),
    ],
)
async def test_errors_are_worded_as_google_does(
    sim: Simulator,
    client: genai.client.AsyncClient,
    status: int,
    kind: str | None,
    error: type[errors.APIError],
    word: str,
) -> None:
    fault = {"status": status, **({"kind": kind} if kind else {})}
    sim.play({"rules": [{"steps": [{"fault": fault}]}]})
    with pytest.raises(error) as caught:
        await generate(client)
    assert (caught.value.code, caught.value.status) == (status, word)


async def test_an_error_in_a_stream_reaches_the_sdk(
    sim: Simulator, client: genai.client.AsyncClient
) -> None:
    sim.play({"rules": [{"steps": [{"fault": {"how": "error_event", "after_events": 2}}]}]})
    with pytest.raises(errors.ServerError, match="overloaded"):
        await chunks_of(client, "hello")
