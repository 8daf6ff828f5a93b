"""Bedrock and Azure serve every door: translated or as bytes, signed or with a key, and billed."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from callgate.doors.python import open_gate
from tests.doors.gatehouse import ENVIRON, Gatehouse, open_gatehouse

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
CLAUDE: Final = "eu.anthropic.claude-sonnet-5-v1:0"
SECRET: Final = "a-secret/of+some=kind"
SIGNED: Final = 'api = "bedrock"\nbase_url = "URL"\naws_region = "eu-central-1"'
AZURE: Final = 'api = "azure"\nprice_source = "openai"'
PROVIDERS: Final[dict[str, str]] = {
    "bedrock": SIGNED,
    "bearer": 'api = "bedrock"\nbase_url = "URL"\nkey = "env:OPENAI_API_KEY"',
    "azure": f'{AZURE}\nbase_url = "URL"\nkey = "env:OPENAI_API_KEY"',
    "entra": f'{AZURE}\nbase_url = "URL/openai/v1"\nkey = "file:entra.token"',
    "older": f'{AZURE}\nbase_url = "URL?api-version=2024-10-21"\nkey = "env:OPENAI_API_KEY"',
}
ROUTES: Final = {
    "signed": f'use = ["bedrock:{CLAUDE}"]',
    "bearer": f'use = ["bearer:{CLAUDE}"]',
    "azure": 'use = ["azure:gpt-5.5"]',
    "entra": 'use = ["entra:gpt-5.5"]',
    "older": 'use = ["older:gpt-5.5"]',
    "out": f'use = ["openai:gpt-5.4-mini", "bedrock:{CLAUDE}"]',
}
TOKEN: Final = "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.c2ln"
CALLS: Final[list[dict[str, Any]]] = [
    {"name": "sun", "arguments": {"in": "Köln 🌞"}},
    {"name": "rain", "arguments": {"mm": 3}},
]
USAGE: Final = {"cache_read_tokens": 64, "cache_write_tokens": 32, "cache_write_long_tokens": 8}
ANSWER: Final = {"text": "Look: 🌦", "tool_calls": CALLS, "usage": USAGE}
PRICE: Final = {
    "api": "bedrock",
    "input": "2.2",
    "cache_read": "0.22",
    "cache_write": "2.75",
    "cache_write_long": "4.4",
    "output": "11",
}
TOOLS: Any = [
    {"type": "function", "function": {"name": each["name"], "parameters": {"type": "object"}}}
    for each in CALLS
]


@pytest.fixture(autouse=True)
def aws_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Set what AWS's own chain looks at, and nothing else of this machine's."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDSIMULATED")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)


def script(*steps: Mapping[str, object]) -> Mapping[str, object]:
    """Return a strict script that answers with two calls, then with words."""
    after = {"match": {"last": "tool"}, "steps": [{"answer": {"text": "It is sunny."}}]}
    first = {"steps": list(steps) or [{"answer": ANSWER}]}
    return {"strict": True, "prices": {CLAUDE: PRICE}, "rules": [after, first]}


@asynccontextmanager
async def house_with(
    path: Path, played: Mapping[str, object] | None = None, *, task_lines: str = "retries = 0"
) -> AsyncGenerator[Gatehouse]:
    """Open a gate to Bedrock and Azure."""
    token = path / "entra.token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    async with open_gatehouse(
        path, played or script(), routes=ROUTES, providers=PROVIDERS, task_lines=task_lines
    ) as house:
        yield house


def openai_of(house: Gatehouse) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{house.url}/v1", api_key=house.key, max_retries=0)


def anthropic_of(house: Gatehouse) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=house.url, api_key=house.key, max_retries=0)


def google_of(house: Gatehouse) -> Any:
    options = types.HttpOptions(base_url=house.url)
    return genai.Client(api_key=house.key, http_options=options).aio


def asked(model: str, **more: object) -> bytes:
    page = {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
    return json.dumps({**page, **more}).encode()


@pytest.mark.parametrize("model", ["signed", "bearer", "azure", "entra", "older"])
async def test_the_openai_sdk_calls_two_tools_at_once_and_goes_on(
    tmp_path: Path, model: str
) -> None:
    async with house_with(tmp_path) as house, openai_of(house) as client:
        turns: list[Any] = [{"role": "user", "content": "hi"}]
        async with client.chat.completions.stream(
            model=model, messages=turns, tools=TOOLS, stream_options={"include_usage": True}
        ) as stream:
            said: Any = (await stream.get_final_completion()).choices[0].message
        calls = [(call.function.name, call.function.arguments) for call in said.tool_calls]
        assert [(name, json.loads(told)) for name, told in calls] == [
            (each["name"], each["arguments"]) for each in CALLS
        ]
        turns.append(said.model_dump(exclude_none=True, include={"role", "content", "tool_calls"}))
        turns += [
            {"role": "tool", "tool_call_id": call.id, "content": "7"} for call in said.tool_calls
        ]
        reply = await client.chat.completions.create(model=model, messages=turns, tools=TOOLS)
        assert reply.choices[0].message.content == "It is sunny."


@pytest.mark.parametrize("model", ["signed", "azure"])
async def test_the_python_door_asks_as_openai_does(tmp_path: Path, model: str) -> None:
    async with (
        house_with(tmp_path, script({"answer": {"text": "yes"}})),
        open_gate(tmp_path / "callgate.toml", agent="worker") as gate,
        gate.task() as task,
    ):
        reply = await task.model(model, messages=[{"role": "user", "content": "hi"}])
        assert reply.text == "yes"


@pytest.mark.parametrize("model", ["signed", "azure"])
async def test_the_anthropic_sdk_calls_two_tools_at_once_and_goes_on(
    tmp_path: Path, model: str
) -> None:
    tools: Any = [{"name": each["name"], "input_schema": {"type": "object"}} for each in CALLS]
    asking: Any = {"model": model, "max_tokens": 900, "tools": tools}
    turns: list[Any] = [{"role": "user", "content": "hi"}]
    async with house_with(tmp_path) as house, anthropic_of(house) as client:
        messages: Any = client.messages
        plain = await messages.create(**asking, messages=turns)
        async with messages.stream(**asking, messages=turns) as stream:
            streamed = await stream.get_final_message()
        assert calls_in(plain) == calls_in(streamed) == [tuple(each.values()) for each in CALLS]
        uses = [block.id for block in streamed.content if block.type == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": id, "content": "7"} for id in uses]
        turns += [{"role": "assistant", "content": streamed.content}]
        turns += [{"role": "user", "content": results}]
        reply = await messages.create(**asking, messages=turns)
        assert (reply.content[0].text, reply.stop_reason) == ("It is sunny.", "end_turn")


def calls_in(message: Any) -> list[tuple[str, Any]]:
    return [(block.name, block.input) for block in message.content if block.type == "tool_use"]


@pytest.mark.parametrize("model", ["signed", "azure"])
async def test_the_openai_sdk_streams_a_response(tmp_path: Path, model: str) -> None:
    tools: Any = [{"type": "function", **each["function"], "strict": False} for each in TOOLS]
    async with house_with(tmp_path) as house, openai_of(house) as client:
        async with client.responses.stream(
            model=model, input="hi", store=False, tools=tools
        ) as stream:
            response: Any = await stream.get_final_response()
        calls = [item for item in response.output if item.type == "function_call"]
        assert response.output_text == "Look: 🌦"
        assert [(call.name, json.loads(call.arguments)) for call in calls] == [
            tuple(each.values()) for each in CALLS
        ]


@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")
@pytest.mark.parametrize("model", ["signed", "azure"])
async def test_the_google_sdk_streams_a_generation(tmp_path: Path, model: str) -> None:
    declared = [types.FunctionDeclaration(name=each["name"]) for each in CALLS]
    config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=declared)])
    async with house_with(tmp_path) as house, google_of(house) as client:
        models: Any = client.models
        stream = await models.generate_content_stream(model=model, contents="hi", config=config)
        chunks: list[Any] = [chunk async for chunk in stream]
        calls: list[Any] = []
        for chunk in chunks:
            calls += chunk.function_calls or []
        assert [(call.name, call.args) for call in calls] == [
            tuple(each.values()) for each in CALLS
        ]


@pytest.mark.parametrize("stream", [False, True])
async def test_what_bedrock_charged_is_booked_to_the_nano_dollar(
    tmp_path: Path, stream: bool
) -> None:
    async with house_with(tmp_path) as house:
        status, _, _ = await house.post(CHAT, asked("signed", stream=stream))
        await house.settled()
        assert status == 200
        assert house.spent_nano_usd == house.simulator.bill().total_nano_usd > 0


async def test_a_request_to_bedrock_is_signed_and_says_where_it_went(tmp_path: Path) -> None:
    played = {**script(), "aws_keys": {"AKIDSIMULATED": SECRET}}
    async with house_with(tmp_path, played) as house:
        status, _, body = await house.post(CHAT, asked("signed"))
        received = house.simulator.requests[-1]
        assert (status, json.loads(body)["model"]) == (200, CLAUDE)
        assert received.path == "/model/eu.anthropic.claude-sonnet-5-v1%3A0/converse"
        assert "/eu-central-1/bedrock/" in (received.header("authorization") or "")
        assert json.loads(received.body)["inferenceConfig"] == {"maxTokens": 50}


async def test_a_wrong_signature_is_a_credential_that_an_operator_must_see_to(
    tmp_path: Path,
) -> None:
    played = {**script(), "aws_keys": {"AKIDSIMULATED": "another"}}
    async with house_with(tmp_path, played) as house:
        status, _, _ = await house.post(CHAT, asked("signed"))
        again, _, _ = await house.post(CHAT, asked("signed"))
        assert (status, again) == (502, 502)
        assert len(house.simulator.requests) == 1


async def test_a_gate_without_credentials_of_aws_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    async with house_with(tmp_path) as house:
        status, _, body = await house.post(CHAT, asked("signed"))
        assert (status, b"aws sts get-caller-identity" in body) == (502, True)
        assert not house.simulator.requests


async def test_the_limit_that_the_gate_chose_goes_to_bedrock(tmp_path: Path) -> None:
    body = json.dumps({"model": "signed", "messages": [{"role": "user", "content": "hi"}]}).encode()
    async with house_with(tmp_path, task_lines="retries = 0\nmax_output_tokens = 77") as house:
        await house.post(CHAT, body)
        sent = json.loads(house.simulator.requests[-1].body)
        assert sent["inferenceConfig"] == {"maxTokens": 77}


async def test_bedrock_stands_in_for_a_provider_that_is_out(tmp_path: Path) -> None:
    out = {"match": {"model": "gpt-5.4-mini"}, "steps": [{"fault": {"status": 503}}]}
    played: dict[str, Any] = dict(script({"answer": {"text": "yes"}}))
    played["rules"] = [out, *played["rules"]]
    async with house_with(tmp_path, played) as house:
        status, _, body = await house.post(CHAT, asked("out"))
        assert (status, json.loads(body)["choices"][0]["message"]["content"]) == (200, "yes")


@pytest.mark.parametrize(
    ("fault", "status", "tries"),
    [
        ({"status": 429}, 429, 2),
        ({"status": 503}, 503, 2),
        ({"status": 424}, 500, 2),
        ({"status": 400, "kind": "rate"}, 429, 2),
        ({"status": 400}, 400, 1),
        ({"status": 403}, 502, 1),
        ({"status": 404}, 404, 1),
    ],
)
async def test_what_bedrock_refuses_is_retried_by_what_it_means(
    tmp_path: Path, fault: Mapping[str, object], status: int, tries: int
) -> None:
    played = {**script({"fault": fault}), "clock": "instant"}
    async with house_with(tmp_path, played, task_lines="retries = 1") as house:
        got, _, body = await house.post(CHAT, asked("signed"))
        assert (got, len(house.simulator.requests)) == (status, tries), body


async def test_an_exception_inside_a_stream_ends_it_with_the_error_of_who_asked(
    tmp_path: Path,
) -> None:
    fault = {"how": "error_event", "status": 429, "after_events": 4}
    async with house_with(
        tmp_path, script({"answer": {"text": "a b c d e f"}, "fault": fault})
    ) as house:
        _, _, body = await house.post(MESSAGES, asked("signed", stream=True))
        events = [line for line in body.split(b"\n") if line.startswith(b"event: ")]
        assert (events[0], events[-1]) == (b"event: message_start", b"event: error")
        await house.settled()
        assert house.spent_nano_usd > 0


async def test_azure_gets_the_bytes_of_a_chat_and_its_key_in_a_header_of_its_own(
    tmp_path: Path,
) -> None:
    async with house_with(tmp_path) as house:
        body = asked("azure")
        await house.post(CHAT, body)
        received = house.simulator.requests[-1]
        assert received.path == "/openai/v1/chat/completions"
        assert received.header("api-key") == ENVIRON["OPENAI_API_KEY"]
        assert received.header("authorization") is None
        assert received.body == body.replace(b'"azure"', b'"gpt-5.5"')


async def test_a_token_of_entra_id_goes_where_tokens_go(tmp_path: Path) -> None:
    async with house_with(tmp_path) as house:
        await house.post(CHAT, asked("entra"))
        received = house.simulator.requests[-1]
        assert received.header("authorization") == f"Bearer {TOKEN}"
        assert received.header("api-key") is None


async def test_an_older_address_of_azure_names_deployment_and_version(tmp_path: Path) -> None:
    async with house_with(tmp_path) as house:
        status, _, _ = await house.post(CHAT, asked("older"))
        received = house.simulator.requests[-1]
        assert status == 200
        assert received.path == "/openai/deployments/gpt-5.5/chat/completions"
        assert received.query == "api-version=2024-10-21"


AZURE_ERRORS: Final[dict[str, tuple[int, Any]]] = {
    "DeploymentNotFound": (404, {"code": "DeploymentNotFound", "message": "no such deployment"}),
    "content_filter": (400, {"code": "content_filter", "message": "filtered", "param": "prompt"}),
    "429": (429, {"code": "429", "message": "Requests have exceeded the call rate limit"}),
}


@pytest.mark.parametrize(
    ("code", "status"), [("DeploymentNotFound", 404), ("content_filter", 400), ("429", 429)]
)
async def test_what_azure_refuses_is_known_by_its_code(
    tmp_path: Path, code: str, status: int
) -> None:
    told, error = AZURE_ERRORS[code]
    headers = {"x-ratelimit-remaining-requests": "-1", "x-ratelimit-reset-requests": "0"}
    fault = {"status": told, "body": {"error": error}, "headers": headers}
    async with house_with(tmp_path, script({"fault": fault})) as house:
        got, _, _ = await house.post(CHAT, asked("azure"))
        assert got == status
