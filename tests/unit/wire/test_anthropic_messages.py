"""Messages: what a request says, what leaves, and what a plain reply costs."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.call import Meter, Usage
from callgate.errors import BrokenReply, Malformed, Transient
from callgate.wire.anthropic_messages import AnthropicMessages, CountTokens, usage_of

MESSAGES = AnthropicMessages()
COUNT = CountTokens()
HELLO: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]


def body(**fields: Any) -> bytes:
    """Return a request in the style of the official SDK."""
    page = {"max_tokens": 50, "messages": HELLO, "model": "careful", **fields}
    return json.dumps(page, ensure_ascii=False, separators=(",", ":")).encode()


def test_a_request_says_what_the_gate_must_know() -> None:
    request = MESSAGES.parse(body(stream=True, tools=[{"name": "f"}], service_tier="auto"))
    assert (request.model, request.stream, request.output_limit) == ("careful", True, 50)
    assert (request.messages, request.has_tools, request.opaque) == (3, True, None)
    assert (request.choices, request.wants_usage, request.service_tier) == (1, True, "auto")


def test_system_parts_are_counted_one_by_one() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert MESSAGES.parse(body(system=parts)).messages == 3
    assert MESSAGES.parse(body(system="a")).messages == 2


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"model": []}, "model must be a text that is not empty; found list"),
        ({"messages": {}}, "messages must be a list; found dict"),
        ({"messages": [1]}, "messages must be a list of objects"),
        ({"tools": "f"}, "tools must be a list; found str 'f'"),
        ({"stream": "yes"}, "stream must be true or false; found str 'yes'"),
        ({"max_tokens": True}, "max_tokens must be a whole number from 0"),
    ],
)
def test_a_field_of_the_wrong_type_is_refused_by_its_name(fields: Any, told: str) -> None:
    with pytest.raises(Malformed) as refused:
        MESSAGES.parse(body(**fields))
    assert refused.value.message.startswith(told)


IMAGE = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
DRAWING = {"type": "drawing"}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"messages": [{"content": [DRAWING]}]}, "messages[0] holds a part of type 'drawing'"),
        (
            {"messages": [{"content": [{"type": "tool_result", "content": [DRAWING]}]}]},
            "messages[0] holds a part of type 'drawing'",
        ),
        (
            {"messages": [*HELLO, {"content": [{"type": "document", "title": "t"}]}]},
            "messages[1] holds a part of type 'document'",
        ),
        ({"messages": [{"content": [{"type": None}]}]}, "messages[0] holds a part of type None"),
        ({"system": [DRAWING]}, "system holds a part of type 'drawing'"),
        ({"tools": [{"type": "web_search_20260318"}]}, "tools[0] is of type 'web_search_20260318'"),
        ({"tools": [{}, {"type": ["custom"]}]}, "tools[1] is of type ['custom']"),
        ({"mcp_servers": [{"url": "https://…"}]}, "mcp_servers adds to the input"),
        ({"container": "c"}, "container adds to the input"),
        ({"context_management": {"edits": [1]}}, "context_management adds to the input"),
        ({"thread": {"type": "continue"}}, "thread adds to the input"),
        ({"fallbacks": [{"model": "m"}]}, "fallbacks adds to the input"),
    ],
)
def test_what_its_bytes_do_not_bound_is_named(fields: Any, told: str) -> None:
    assert (MESSAGES.parse(body(**fields)).opaque or "").startswith(told)


def test_images_are_counted_wherever_they_are() -> None:
    result = {"type": "tool_result", "content": [IMAGE, {"type": "text", "text": "?"}]}
    request = MESSAGES.parse(body(messages=[{"content": [IMAGE, result]}], system=[IMAGE]))
    assert (request.opaque, request.image_sizes) == (None, (None,) * 3)
    assert request.image_bytes == 3 * len(msgspec.json.encode(IMAGE))


def test_a_conversation_of_text_and_tools_is_bounded_by_its_bytes() -> None:
    cached = {"type": "text", "text": '"type":"image"', "cache_control": {"type": "ephemeral"}}
    used = {"type": "tool_use", "id": "t", "name": "f", "input": {"type": "image"}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [cached]}
    messages = [
        {"role": "user", "content": [cached]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "…"}, used]},
        {"role": "user", "content": [result, {"type": "tool_result", "content": "ok"}]},
    ]
    tools = [{"name": "f", "input_schema": {"type": "object"}}, {"type": None}, {"type": "custom"}]
    assert MESSAGES.parse(body(messages=messages, tools=tools, system=[cached])).opaque is None


def test_a_request_that_needs_no_change_leaves_as_the_very_same_bytes() -> None:
    source = body(stream=True)
    rewritten = MESSAGES.rewrite(
        MESSAGES.parse(source), model="careful", output_tokens=None, limit_field="other"
    )
    assert rewritten.body is source
    assert rewritten.changes == ()


def test_a_request_leaves_with_its_changes_and_every_other_byte_as_it_came() -> None:
    source = b'{"messages" : [ ],\r\n "model":"careful", "x": "\\u00e9"  }'
    left = MESSAGES.rewrite(
        MESSAGES.parse(source), model="claude-sonnet-5", output_tokens=9, limit_field=None
    )
    assert left.body == (
        b'{"messages" : [ ],\r\n "model":"claude-sonnet-5", "x": "\\u00e9","max_tokens":9  }'
    )
    assert left.changes == ("model=claude-sonnet-5", "max_tokens=9")


def read(page: Any) -> Meter:
    """Return what a plain reply tells."""
    meter = Meter()
    MESSAGES.read(page if isinstance(page, bytes) else json.dumps(page).encode(), meter)
    return meter


def test_a_plain_reply_tells_who_answered_and_what_it_used() -> None:
    meter = read({
        "type": "message", "id": "msg_1", "model": "claude-x", "stop_reason": "end_turn",
        "content": [], "usage": {"input_tokens": 9, "output_tokens": 4, "service_tier": "priority"},
    })  # fmt: skip
    assert meter == Meter(
        usage=Usage(input_tokens=9, output_tokens=4), finished=True, model="claude-x",
        reply_id="msg_1", finish_reason="end_turn", service_tier="priority",
    )  # fmt: skip


@pytest.mark.parametrize(("speed", "tier"), [("fast", "fast"), ("standard", "standard")])
def test_the_speed_that_costs_more_counts_as_a_service_tier(speed: str, tier: str) -> None:
    usage = {"input_tokens": 9, "service_tier": "standard", "speed": speed}
    assert read({"type": "message", "usage": usage}).service_tier == tier
    request = MESSAGES.parse(body(speed=speed, service_tier="standard"))
    assert request.service_tier == tier


@pytest.mark.parametrize(
    "usage",
    [None, {}, "many", {"input_tokens": None}, {"input_tokens": 9}, {"output_tokens": 10**40}],
)
def test_usage_that_counts_no_output_is_unknown_and_never_zero(usage: Any) -> None:
    assert read({"type": "message", "usage": usage}).usage is None


def test_what_the_official_sdk_can_read_is_no_broken_reply() -> None:
    page = b'{"type":"message","content":[{"text":"\\ud83d"}],"usage":{"output_tokens":2}}'
    assert read(page).usage == Usage(output_tokens=2)


@pytest.mark.parametrize("page", [b"<html>", b"", b"[]", b'{"type":"completion"}', b"{}"])
def test_what_is_no_message_is_a_broken_reply(page: bytes) -> None:
    with pytest.raises(BrokenReply, match="the provider's reply"):
        read(page)


def test_an_error_with_a_status_of_200_is_an_error() -> None:
    with pytest.raises(Transient, match="answered 529: busy"):
        read({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}})


HOUR = {"ephemeral_1h_input_tokens": 30, "ephemeral_5m_input_tokens": 4}
SPENT = {"input_tokens": 1, "output_tokens": 2}


@pytest.mark.parametrize(
    ("counters", "usage"),
    [
        (
            {"input_tokens": 10, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 34,
             "cache_creation": HOUR, "output_tokens": 20,
             "output_tokens_details": {"thinking_tokens": 15}},
            Usage(input_tokens=10, cache_read_tokens=5, cache_write_tokens=4,
                  cache_write_long_tokens=30, output_tokens=5, reasoning_tokens=15),
        ),
        (
            {"input_tokens": 1, "cache_creation_input_tokens": 7, "cache_creation": None,
             "output_tokens": 2, "output_tokens_details": None},
            Usage(input_tokens=1, cache_write_tokens=7, output_tokens=2),
        ),
        # More was written than the split by lifetime covers: the dearer one.
        (
            {"output_tokens": 0, "cache_creation_input_tokens": 40, "cache_creation": HOUR},
            Usage(cache_write_tokens=4, cache_write_long_tokens=36),
        ),
        (
            {"output_tokens": 0, "cache_creation": HOUR},
            Usage(cache_write_tokens=4, cache_write_long_tokens=30),
        ),
        (
            {"output_tokens": 3, "output_tokens_details": {"thinking_tokens": 9}},
            Usage(reasoning_tokens=3),
        ),
        # Compactions and advisors are billed beside the top level, messages within it.
        (
            {**SPENT, "iterations": [
                {"type": "message", **SPENT},
                {"type": "compaction", "input_tokens": 100, "output_tokens": 10,
                 "cache_creation_input_tokens": 34, "cache_creation": HOUR},
                {"type": "advisor_message", "model": "m", "cache_read_input_tokens": 1000},
                "odd",
            ]},
            Usage(input_tokens=101, cache_read_tokens=1000, cache_write_tokens=4,
                  cache_write_long_tokens=30, output_tokens=12),
        ),
        (
            {**SPENT, "iterations": [
                {"type": "message", "input_tokens": 50, "output_tokens": 1},
                {"type": "fallback_message", "model": "m", **SPENT},
            ]},
            Usage(input_tokens=51, output_tokens=3),
        ),
    ],
)  # fmt: skip
def test_counters_become_buckets_that_do_not_overlap(counters: Any, usage: Usage) -> None:
    assert usage_of(counters) == usage


COUNTS = st.integers(-5, 10**6) | st.none() | st.floats() | st.text(max_size=2)
LIFETIMES = st.dictionaries(
    st.sampled_from(["ephemeral_1h_input_tokens", "ephemeral_5m_input_tokens"]), COUNTS
)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), LIFETIMES, COUNTS)
def test_whatever_the_details_say_no_token_is_lost(
    fresh: int, written: int, output: int, lifetimes: Any, thinking: Any
) -> None:
    usage = usage_of({
        "input_tokens": fresh, "cache_creation_input_tokens": written, "output_tokens": output,
        "cache_creation": lifetimes, "output_tokens_details": {"thinking_tokens": thinking},
    })  # fmt: skip
    assert usage is not None
    assert min(msgspec.structs.astuple(usage)) >= 0
    assert usage.total_input_tokens >= fresh + written
    assert usage.total_output_tokens == output


def test_counting_tokens_is_free_and_needs_no_bound() -> None:
    request = COUNT.parse(body(stream=True, system=[IMAGE], messages=[{"content": [IMAGE]}]))
    assert (COUNT.costs_output, request.output_limit, request.opaque) == (False, None, None)
    path = COUNT.path(model="m", stream=False)
    assert (path, request.stream) == ("/v1/messages/count_tokens", False)


def test_a_count_is_read_and_anything_else_is_broken() -> None:
    meter = Meter()
    COUNT.read(b'{"input_tokens":7}', meter)
    assert (meter.finished, meter.usage) == (True, None)
    with pytest.raises(BrokenReply, match="is no count of tokens"):
        COUNT.read(b'{"type":"message"}', meter)
