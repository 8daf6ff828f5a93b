"""Every shape of a stream, and what the official SDKs make of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from callgate.testing.simulator import Simulator
from tests.unit.testing.raw_client import KEY, ask

CALLS: list[dict[str, Any]] = [
    {"name": "weather", "arguments": {"city": "a city with a long name"}},
    {"name": "news", "arguments": {"topic": "the weather of tomorrow"}},
]
ARGUMENTS = [json.dumps(call["arguments"], separators=(",", ":")) for call in CALLS]
STREAMS = ["openai", "responses", "anthropic"]


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


async def events(sim: Simulator, api: str, answer: dict[str, Any], **shape: Any) -> list[bytes]:
    """Return the events of a stream, without what ends a chunked body."""
    sim.play({"rules": [{"steps": [{"answer": answer, "shape": shape}]}]})
    fields: dict[str, Any] = {}
    if api == "openai":
        fields["stream_options"] = {"include_usage": True}
    return (await ask(sim, api, stream=True, **fields)).chunks[:-1]


def data_of(chunks: list[bytes]) -> list[Any]:
    lines = [line for chunk in chunks for line in chunk.splitlines() if line[:6] == b"data: "]
    return [json.loads(line[6:]) for line in lines if line != b"data: [DONE]"]


def tool_deltas(chunks: list[bytes]) -> list[dict[str, Any]]:
    """Return the tool calls in the deltas of a Chat Completions stream."""
    return [
        call
        for chunk in data_of(chunks)
        for choice in chunk["choices"]
        for call in choice["delta"].get("tool_calls", [])
    ]


def gathered(deltas: list[dict[str, Any]]) -> dict[int, str]:
    """Return the arguments by index, as every client puts them together."""
    found: dict[int, str] = {}
    for delta in deltas:
        index = delta["index"]
        found[index] = found.get(index, "") + delta["function"]["arguments"]
    return found


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ("usual", {0: ARGUMENTS[0], 1: ARGUMENTS[1]}),
        ("gaps", {3: ARGUMENTS[0], 5: ARGUMENTS[1]}),
        ("zero", {0: ARGUMENTS[0] + ARGUMENTS[1]}),
    ],
)
async def test_tool_calls_are_numbered_as_the_script_says(
    sim: Simulator, index: str, expected: dict[int, str]
) -> None:
    chunks = await events(sim, "openai", {"tool_calls": CALLS}, tool_index=index)
    assert gathered(tool_deltas(chunks)) == expected


async def test_parallel_calls_can_take_turns(sim: Simulator) -> None:
    chunks = await events(sim, "openai", {"tool_calls": CALLS}, tool_order="interleaved")
    deltas = tool_deltas(chunks)
    assert [delta["index"] for delta in deltas[:4]] == [0, 1, 0, 1]
    assert gathered(deltas) == {0: ARGUMENTS[0], 1: ARGUMENTS[1]}


@pytest.mark.parametrize("api", STREAMS)
async def test_blocks_and_items_can_take_turns_too(sim: Simulator, api: str) -> None:
    chunks = await events(sim, api, {"tool_calls": CALLS}, tool_order="interleaved")
    usual = await events(sim, api, {"tool_calls": CALLS})
    assert chunks != usual
    assert len(chunks) == len(usual)


@pytest.mark.parametrize(
    ("how", "first"),
    [("fragments", ""), ("with_name", ARGUMENTS[0][:16]), ("whole", ARGUMENTS[0])],
)
async def test_arguments_begin_where_the_script_says(sim: Simulator, how: str, first: str) -> None:
    chunks = await events(sim, "openai", {"tool_calls": CALLS}, tool_arguments=how)
    deltas = tool_deltas(chunks)
    assert deltas[0]["function"] == {"name": "weather", "arguments": first}
    assert gathered(deltas) == {0: ARGUMENTS[0], 1: ARGUMENTS[1]}


async def test_a_name_can_come_with_every_fragment(sim: Simulator) -> None:
    chunks = await events(sim, "openai", {"tool_calls": CALLS}, tool_name="repeated")
    assert all("name" in delta["function"] and delta["id"] for delta in tool_deltas(chunks))


@pytest.mark.parametrize(
    ("place", "told"), [("usual", [-1]), ("every", None), ("never", []), ("before_finish", [-2])]
)
async def test_chat_tells_usage_where_the_script_says(
    sim: Simulator, place: str, told: list[int] | None
) -> None:
    said = data_of(await events(sim, "openai", {"text": "a b"}, usage=place))
    at = [n - len(said) for n, chunk in enumerate(said) if chunk.get("usage")]
    assert at == (list(range(-len(said), 0)) if told is None else told)


@pytest.mark.parametrize("api", ["responses", "anthropic", "gemini"])
async def test_usage_can_be_missing_everywhere(sim: Simulator, api: str) -> None:
    sim.play({"rules": [{"steps": [{"shape": {"usage": "never"}}]}]})
    for stream in (False, True):
        raw = (await ask(sim, api, stream=stream)).raw
        assert b'"usage":{' not in raw
        assert b"usageMetadata" not in raw
    assert sim.bill().usage.output_tokens > 0


async def test_anthropic_can_tell_usage_before_the_end(sim: Simulator) -> None:
    said = data_of(await events(sim, "anthropic", {"text": "a b"}, usage="before_finish"))
    deltas = [event for event in said if event["type"] == "message_delta"]
    assert [delta["delta"]["stop_reason"] for delta in deltas] == [None, "end_turn"]
    assert [set(delta["usage"]) == {"output_tokens"} for delta in deltas] == [False, True]


@pytest.mark.parametrize(
    ("api", "done"), [("openai", 0), ("openai", 2), ("anthropic", 1), ("gemini", 1)]
)
async def test_done_comes_as_often_as_the_script_says(sim: Simulator, api: str, done: int) -> None:
    chunks = await events(sim, api, {"text": "a"}, done=done)
    assert chunks.count(b"data: [DONE]\n\n") == done
    assert chunks[len(chunks) - done :] == [b"data: [DONE]\n\n"] * done


@pytest.mark.parametrize(
    ("api", "kind", "expected"),
    [
        ("openai", "comment", b": keepalive\n\n"),
        ("anthropic", "event", b'event: ping\ndata: {"type":"ping"}\n\n'),
        ("responses", "event", b'event: keepalive\ndata: {"type":"keepalive"}\n\n'),
    ],
)
async def test_keepalives_come_between_events(
    sim: Simulator, api: str, kind: str, expected: bytes
) -> None:
    usual = await events(sim, api, {"text": "a b c"})
    chunks = await events(sim, api, {"text": "a b c"}, keepalive=kind, keepalive_every=2)
    assert chunks.count(expected) == (len(usual) - 1) // 2
    assert [chunk for chunk in chunks if chunk != expected] == usual


async def test_ids_and_comments_together_break_the_official_parser(sim: Simulator) -> None:
    """A client of today that a gateway must not feed this; see openai-python issue 2722."""
    chunks = await events(sim, "openai", {"text": "a"}, ids=True, keepalive="comment")
    assert chunks[0].startswith(b"id: 0\ndata: ")
    assert chunks[1] == b": keepalive\n\n"
    async with openai.AsyncOpenAI(base_url=sim.openai_url, api_key=KEY, max_retries=0) as client:
        stream: Any = await client.chat.completions.create(
            model="gpt-5.5", messages=[{"role": "user", "content": "x"}], stream=True
        )
        with pytest.raises(json.JSONDecodeError):
            [chunk async for chunk in stream]


async def test_event_names_can_be_left_out(sim: Simulator) -> None:
    chunks = await events(sim, "anthropic", {"text": "a"}, event_names=False)
    assert all(chunk.startswith(b"data: ") for chunk in chunks)
    assert data_of(chunks)[-1] == {"type": "message_stop"}


@pytest.mark.parametrize("api", [*STREAMS, "gemini"])
async def test_what_nobody_knows_comes_among_what_everybody_knows(sim: Simulator, api: str) -> None:
    usual = await events(sim, api, {"text": "a b"})
    chunks = await events(sim, api, {"text": "a b"}, unknown_events=True, unknown_fields=True)
    known = [event for event in data_of(chunks) if event.get("type") != "simulated.unknown"]
    assert len(chunks) == len(usual) + 1
    assert all(event.pop("simulated") for event in known)
    assert [list(event) for event in known] == [list(event) for event in data_of(usual)]


async def test_data_can_be_empty_and_lines_can_end_otherwise(sim: Simulator) -> None:
    chunks = await events(sim, "openai", {"text": "a"}, empty_data=True, newline="crlf")
    assert chunks[1] == b"data:\r\n\r\n"
    assert all(chunk.endswith(b"\r\n\r\n") for chunk in chunks)
    assert b"\n" not in b"".join(await events(sim, "openai", {"text": "a"}, newline="cr"))


async def test_a_shape_does_not_change_the_bill(sim: Simulator) -> None:
    bills: list[int] = []
    for shape in ({}, {"keepalive": "comment", "unknown_events": True, "done": 3}):
        await events(sim, "openai", {"text": "a b c"}, **shape)
        await sim.wait_idle()
        bills.append(sim.bill().total_nano_usd)
    assert bills[0] == bills[1] > 0
