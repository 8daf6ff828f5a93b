"""OpenAI's own SDK speaks the Responses API and embeddings with the simulator."""

from __future__ import annotations

import base64
import struct
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai.types.responses import Response

from callgate.testing.simulator import Simulator
from tests.unit.testing.raw_client import KEY, ask

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
        {"match": {"text": "refuse"}, "steps": [{"answer": {"refusal": "I will not."}}]},
    ],
}
ASKED: Any = {
    "model": "gpt-5.5",
    "input": "scripted",
    "reasoning": {"summary": "auto"},
    "include": ["reasoning.encrypted_content"],
}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(SCRIPT) as simulator:
        yield simulator


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=sim.openai_url, api_key=KEY, max_retries=0) as made:
        yield made


async def respond(client: openai.AsyncOpenAI, **fields: Any) -> Response:
    create: Any = client.responses.create
    reply = await create(**{**ASKED, **fields})
    assert isinstance(reply, Response)
    return reply


def results(reply: Response, output: Any = "sunny") -> list[dict[str, object]]:
    return [
        {"type": "function_call_output", "call_id": item.call_id, "output": output}
        for item in reply.output
        if item.type == "function_call"
    ]


def sent_back(reply: Response) -> list[dict[str, object]]:
    """Return the items of a reply as a client without stored state sends them back."""
    return [item.model_dump(exclude_none=True) for item in reply.output]


async def test_a_response_has_reasoning_text_and_parallel_calls(client: openai.AsyncOpenAI) -> None:
    reply = await respond(client)
    items = [item.model_dump() for item in reply.output]
    assert [item["type"] for item in items] == [
        "reasoning", "message", "function_call", "function_call",
    ]  # fmt: skip
    assert items[0]["summary"] == [{"type": "summary_text", "text": "Let me see."}]
    assert reply.output_text == "Looking: 🌦 now"
    assert items[2]["arguments"] == '{"city":"Köln","days":[1,2]}'
    assert reply.status == "completed"


async def test_usage_includes_caches_and_reasoning(client: openai.AsyncOpenAI) -> None:
    usage = (await respond(client)).usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (22, 27, 49)
    assert usage.input_tokens_details.cached_tokens == 3
    assert usage.input_tokens_details.cache_write_tokens == 9
    assert usage.output_tokens_details.reasoning_tokens == 7


async def test_it_is_billed_by_the_rules_of_chat(
    sim: Simulator, client: openai.AsyncOpenAI
) -> None:
    await respond(client)
    line = sim.bill().lines[0]
    nano = (10 + 4 + 5) * 5_000 + 3 * 500 + 27 * 30_000
    assert (line.api, line.cost_nano_usd, line.state) == ("openai", nano, "complete")


async def test_a_stream_adds_up_to_the_plain_reply(client: openai.AsyncOpenAI) -> None:
    plain = await respond(client)
    async with client.responses.stream(**ASKED) as stream:
        final = await stream.get_final_response()
    said = [(item.type, getattr(item, "arguments", None)) for item in final.output]
    assert said == [(item.type, getattr(item, "arguments", None)) for item in plain.output]
    assert (final.output_text, final.usage) == (plain.output_text, plain.usage)


async def test_the_events_are_numbered_and_in_order(client: openai.AsyncOpenAI) -> None:
    stream: Any = await client.responses.create(**ASKED, stream=True)
    events = [event async for event in stream]
    kinds = [event.type.removeprefix("response.") for event in events]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert kinds[:3] == ["created", "in_progress", "output_item.added"]
    assert kinds[-2:] == ["output_item.done", "completed"]
    assert kinds.count("output_item.added") == kinds.count("output_item.done") == 4
    assert kinds.count("function_call_arguments.done") == 2
    assert kinds.count("reasoning_summary_text.done") == 1


async def test_a_refusal_is_a_part_of_its_own(client: openai.AsyncOpenAI) -> None:
    reply = await respond(client, input="refuse")
    fields: Any = {**ASKED, "input": "refuse"}
    async with client.responses.stream(**fields) as stream:
        kinds = [event.type async for event in stream]
    content = reply.output[0].model_dump()["content"]
    assert content == [{"type": "refusal", "refusal": "I will not."}]
    assert "response.refusal.delta" in kinds


async def test_input_may_be_absent_a_text_or_items(client: openai.AsyncOpenAI) -> None:
    message = {"role": "user", "content": [{"type": "input_text", "text": "hello"}]}
    texts = [(await respond(client, input=given)).output_text for given in ("hello", [message])]
    absent: Any = await client.responses.create(model="gpt-5.5")
    assert texts[0] == texts[1]
    assert absent.status == "completed"


async def test_a_response_cut_by_its_limit_says_why(
    sim: Simulator, client: openai.AsyncOpenAI
) -> None:
    sim.play({"rules": [{"steps": [{"answer": {"words": 100}}]}]})
    cut: dict[str, Any] = {"input": "q", "max_output_tokens": 20}
    reply = await respond(client, **cut)
    fields: Any = {**ASKED, **cut}
    async with client.responses.stream(**fields) as stream:
        assert [event.type async for event in stream][-1] == "response.incomplete"
    assert reply.status == "incomplete"
    assert reply.incomplete_details is not None
    assert reply.incomplete_details.reason == "max_output_tokens"
    assert reply.usage is not None
    assert reply.usage.output_tokens == 20


# State.


async def test_a_stored_response_is_gone_on_from(client: openai.AsyncOpenAI) -> None:
    first = await respond(client)
    second = await respond(client, input=results(first), previous_response_id=first.id)
    assert second.output_text == "It is sunny."
    assert second.previous_response_id == first.id
    assert first.usage is not None
    assert second.usage is not None
    assert second.usage.input_tokens > len("scripted") // 4


@pytest.mark.parametrize("how", ["unknown", "not stored", "another key"])
async def test_what_this_key_did_not_store_is_not_found(
    client: openai.AsyncOpenAI, how: str
) -> None:
    stranger = client.with_options(api_key="sk-another-key-42")
    by = stranger if how == "another key" else client
    first = await respond(by, store=how != "not stored", input="hello")
    name = "resp_nothing" if how == "unknown" else first.id
    with pytest.raises(openai.BadRequestError) as caught:
        await respond(client, input="more", previous_response_id=name)
    assert (caught.value.code, caught.value.param) == (
        "previous_response_not_found",
        "previous_response_id",
    )


async def test_a_conversation_without_state_sends_its_reasoning_back(
    client: openai.AsyncOpenAI,
) -> None:
    first = await respond(client, store=False)
    question = {"role": "user", "content": "scripted"}
    parts = [
        {"type": "input_text", "text": "sunny"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"},
    ]
    given = [question, *sent_back(first), *results(first, parts)]
    assert (await respond(client, input=given, store=False)).output_text == "It is sunny."


async def test_reasoning_of_another_key_is_refused(client: openai.AsyncOpenAI) -> None:
    first = await respond(client.with_options(api_key="sk-another-key-42"), store=False)
    given = [{"role": "user", "content": "scripted"}, *sent_back(first), *results(first)]
    with pytest.raises(openai.BadRequestError) as caught:
        await respond(client, input=given)
    assert caught.value.code == "invalid_encrypted_content"


async def test_reasoning_is_encrypted_only_on_request(client: openai.AsyncOpenAI) -> None:
    item = (await respond(client, include=[])).output[0].model_dump()
    assert (item["type"], item["encrypted_content"]) == ("reasoning", None)


BROKEN: list[tuple[list[dict[str, Any]], str]] = [
    (
        [{"type": "function_call_output", "call_id": "call_x", "output": "1"}],
        "No tool call found for function call output with call_id call_x.",
    ),
    (
        [{"type": "function_call", "call_id": "call_y", "name": "f", "arguments": "{}"}],
        "No tool output found for function call call_y.",
    ),
    ([{"type": "teleport"}], "Invalid value: 'teleport'."),
    ([{"role": "user", "content": [{"type": "output_text", "text": "x"}]}], "Invalid value"),
    ([{"role": "wizard", "content": "x"}], "Invalid value: 'wizard'."),
    ([{"type": "reasoning", "id": "rs_1", "summary": []}], "Item with id 'rs_1' not found."),
]


@pytest.mark.parametrize(("items", "message"), BROKEN)
async def test_items_that_do_not_belong_together_are_refused(
    client: openai.AsyncOpenAI, items: list[dict[str, object]], message: str
) -> None:
    with pytest.raises(openai.APIStatusError, match=message.replace("(", r"\(")):
        await respond(client, input=items)


async def test_every_one_of_parallel_calls_needs_its_result(client: openai.AsyncOpenAI) -> None:
    first = await respond(client)
    with pytest.raises(openai.BadRequestError, match="No tool output found for function call"):
        await respond(client, input=results(first)[1:], previous_response_id=first.id)


async def test_a_response_can_be_read_again_and_deleted(client: openai.AsyncOpenAI) -> None:
    made = await respond(client)
    again = await client.responses.retrieve(made.id)
    items = await client.responses.input_items.list(made.id)
    assert again == made
    assert [item.model_dump()["content"][0]["text"] for item in items.data] == ["scripted"]
    await client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)


async def test_input_tokens_are_counted_as_they_are_billed(
    sim: Simulator, client: openai.AsyncOpenAI
) -> None:
    counted = await client.responses.input_tokens.count(model="gpt-5.5", input="x" * 41)
    await respond(client, input="x" * 41)
    assert counted.input_tokens == sim.bill().lines[1].usage.input_tokens == 11
    assert [line.billed for line in sim.bill().lines] == [False, True]


async def test_an_error_event_is_numbered(sim: Simulator, client: openai.AsyncOpenAI) -> None:
    sim.play({"rules": [{"steps": [{"fault": {"how": "error_event", "after_events": 4}}]}]})
    stream: Any = await client.responses.create(**ASKED, stream=True)
    events = [event async for event in stream]
    assert (len(events), events[-1].type, events[-1].sequence_number) == (5, "error", 4)
    assert events[-1].code == "server_is_overloaded"


# Embeddings.


async def test_an_embedding_follows_from_its_text_alone(client: openai.AsyncOpenAI) -> None:
    model = "text-embedding-3-small"
    both = await client.embeddings.create(model=model, input=["a", "b"])
    alone = await client.with_options(api_key="sk-other").embeddings.create(model=model, input="b")
    assert len(both.data[0].embedding) == 1536
    assert both.data[1].embedding == alone.data[0].embedding != both.data[0].embedding
    assert sum(x * x for x in alone.data[0].embedding) == pytest.approx(1)


async def test_both_encodings_of_an_embedding_are_the_same_numbers(sim: Simulator) -> None:
    fields: Any = {"model": "text-embedding-3-large", "input": "hi", "dimensions": 8}
    path = "/v1/embeddings"
    sim.play({})
    plain = (await ask(sim, "openai", path=path, **fields)).json()
    packed = (await ask(sim, "openai", path=path, encoding_format="base64", **fields)).json()
    raw = base64.b64decode(packed["data"][0]["embedding"])
    assert list(struct.unpack("<8f", raw)) == plain["data"][0]["embedding"]


async def test_embeddings_are_billed_by_their_input(
    sim: Simulator, client: openai.AsyncOpenAI
) -> None:
    model = "text-embedding-3-large"
    reply = await client.embeddings.create(model=model, input=[[1, 2, 3], [4, 5]])
    line = sim.bill().lines[0]
    assert (reply.usage.prompt_tokens, reply.usage.total_tokens) == (5, 5)
    assert (line.usage.input_tokens, line.usage.output_tokens) == (5, 0)
    assert line.cost_nano_usd == 5 * 130


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"input": ""}, "'$.input' is invalid"),
        ({"input": []}, "'$.input' is invalid"),
        ({"input": "x", "dimensions": 4_000}, "Invalid value for 'dimensions'"),
        ({"input": "x", "encoding_format": "hex"}, "Invalid value for 'encoding_format'"),
        ({"input": "x", "foo": 1}, "Unknown parameter: 'foo'."),
    ],
)
async def test_an_embedding_that_openai_refuses_is_a_400(
    client: openai.AsyncOpenAI, fields: dict[str, Any], message: str
) -> None:
    foo = {"foo": fields.pop("foo")} if "foo" in fields else None
    with pytest.raises(openai.BadRequestError) as caught:
        await client.embeddings.create(model="text-embedding-3-large", **fields, extra_body=foo)
    assert message in caught.value.message
