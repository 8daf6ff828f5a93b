"""AWS's own client finds Bedrock where the simulator is, and signs for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError
from botocore.session import Session

from callgate.testing.simulator import Simulator

MODEL = "global.anthropic.claude-sonnet-5-v1:0"
KEYS = {"AKIDSIMULATED": "a-secret/of+some=kind"}
TOOLS: list[dict[str, Any]] = [
    {"name": "weather", "arguments": {"city": "Köln", "days": [1, 2]}},
    {"name": "news", "arguments": {}},
]
USAGE = {
    "input_tokens": 10,
    "cache_read_tokens": 3,
    "cache_write_tokens": 4,
    "cache_write_long_tokens": 5,
    "output_tokens": 20,
    "reasoning_tokens": 7,
}
ANSWER: dict[str, Any] = {
    "thinking": "Let me see.",
    "text": "Looking: 🌦 now",
    "tool_calls": TOOLS,
    "usage": USAGE,
}
SCRIPT: dict[str, Any] = {
    "strict": True,
    "aws_keys": KEYS,
    "prices": {MODEL: {"api": "bedrock", "input": "2", "output": "10"}},
    "rules": [
        {"match": {"last": "tool"}, "steps": [{"answer": {"text": "It is sunny."}}]},
        {"match": {"text": "scripted"}, "steps": [{"answer": ANSWER}]},
        {"match": {"text": "busy"}, "steps": [{"fault": {"status": 429}}]},
        {
            "match": {"text": "breaks"},
            "steps": [{"fault": {"how": "error_event", "status": 424, "after_events": 3}}],
        },
    ],
}
SPEC = {"name": "weather", "inputSchema": {"json": {"type": "object"}}}
ASKED: Any = {"toolConfig": {"tools": [{"toolSpec": SPEC}]}}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(SCRIPT) as simulator:
        yield simulator


@pytest.fixture
def client(sim: Simulator) -> Iterator[Any]:
    with connected(sim) as made:
        yield made


@contextmanager
def connected(
    sim: Simulator, *, secret: str = KEYS["AKIDSIMULATED"], **config: Any
) -> Generator[Any]:
    session: Any = Session()
    client = session.create_client(
        "bedrock-runtime",
        region_name="eu-central-1",
        endpoint_url=sim.bedrock_url,
        aws_access_key_id="AKIDSIMULATED",
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}, **config),
    )
    try:
        yield client
    finally:
        client.close()


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"text": text}]}]


async def call(ask: Callable[..., Any], text: str = "scripted", **fields: Any) -> Any:
    asked = {"modelId": MODEL, "messages": said(text), **ASKED, **fields}
    return await asyncio.to_thread(ask, **asked)


async def stream(client: Any, text: str = "scripted") -> list[dict[str, Any]]:
    reply = await call(client.converse_stream, text)
    with closing(reply["stream"]) as events:
        return await asyncio.to_thread(list, events)


async def test_a_reply_has_thoughts_text_and_parallel_calls(client: Any) -> None:
    reply = await call(client.converse)
    thought, text, first, second = reply["output"]["message"]["content"]
    assert thought["reasoningContent"]["reasoningText"]["text"] == "Let me see."
    assert text == {"text": "Looking: 🌦 now"}
    assert first["toolUse"]["input"] == TOOLS[0]["arguments"]
    assert second["toolUse"]["name"] == "news"
    assert reply["stopReason"] == "tool_use"


async def test_its_own_thoughts_come_back_with_the_results(client: Any) -> None:
    message = (await call(client.converse))["output"]["message"]
    calls = [block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block]
    results = [{"toolResult": {"toolUseId": id, "content": [{"text": "7"}]}} for id in calls]
    turns = [*said("scripted"), message, {"role": "user", "content": results}]
    reply = await call(client.converse, messages=turns)
    assert reply["output"]["message"]["content"] == [{"text": "It is sunny."}]


async def test_a_thought_that_was_not_its_own_is_refused(client: Any) -> None:
    told = {"text": "Let me see.", "signature": "Zm9yZWlnbg=="}
    turns = [
        *said("scripted"),
        {"role": "assistant", "content": [{"reasoningContent": {"reasoningText": told}}]},
        *said("go on"),
    ]
    with pytest.raises(ClientError, match="Invalid `signature`"):
        await call(client.converse, messages=turns)


async def test_a_stream_says_the_same_in_pieces(client: Any) -> None:
    events = await stream(client)
    deltas = [event["contentBlockDelta"] for event in events if "contentBlockDelta" in event]
    words = "".join(each["delta"].get("text", "") for each in deltas)
    inputs = [each["delta"]["toolUse"]["input"] for each in deltas if "toolUse" in each["delta"]]
    assert words == "Looking: 🌦 now"
    assert "".join(inputs) == '{"city":"Köln","days":[1,2]}{}'
    assert list(events[-2]) == ["messageStop"]


async def test_usage_leaves_out_of_the_input_what_a_cache_held(client: Any) -> None:
    told = (await stream(client))[-1]["metadata"]["usage"]
    assert (told["inputTokens"], told["outputTokens"], told["totalTokens"]) == (10, 27, 49)
    assert (told["cacheReadInputTokens"], told["cacheWriteInputTokens"]) == (3, 9)
    assert told["cacheDetails"] == [
        {"ttl": "1h", "inputTokens": 5},
        {"ttl": "5m", "inputTokens": 4},
    ]


async def test_the_bill_charges_a_stream_as_it_charges_a_reply(sim: Simulator, client: Any) -> None:
    await call(client.converse)
    await stream(client)
    plain, streamed = sim.bill().lines
    assert plain.cost_nano_usd == streamed.cost_nano_usd == 22 * 2_000 + 27 * 10_000
    assert plain.model == MODEL


async def test_a_rate_limit_has_its_code_in_a_header(client: Any) -> None:
    with pytest.raises(ClientError) as caught:
        await call(client.converse, "busy")
    told: Any = caught.value.response
    assert told["Error"]["Code"] == "ThrottlingException"
    assert told["ResponseMetadata"]["HTTPStatusCode"] == 429


async def test_a_stream_that_breaks_raises_its_exception(client: Any) -> None:
    with pytest.raises(EventStreamError, match="modelStreamErrorException"):
        await stream(client, "breaks")


async def test_a_request_that_is_signed_with_another_secret_is_refused(sim: Simulator) -> None:
    with (
        connected(sim, secret="another") as client,
        pytest.raises(ClientError, match="InvalidSignatureException"),
    ):
        await call(client.converse)


async def test_a_request_that_is_not_signed_is_refused(sim: Simulator) -> None:
    with (
        connected(sim, signature_version=UNSIGNED) as client,
        pytest.raises(ClientError, match="UnrecognizedClientException"),
    ):
        await call(client.converse)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"messages": [{"role": "assistant", "content": [{"text": "hi"}]}]}, "must start with"),
        ({"messages": [*said("a"), *said("b")]}, "must alternate"),
        ({"messages": said(" ")}, "is blank"),
        ({"inferenceConfig": {"temperature": 2.0}}, "between 0 and 1"),
    ],
)
async def test_a_strict_simulator_refuses_what_bedrock_refuses(
    client: Any, fields: dict[str, Any], told: str
) -> None:
    with pytest.raises(ClientError, match=told):
        await call(client.converse, **fields)
