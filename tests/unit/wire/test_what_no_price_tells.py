"""What a request or a reply tells of that is charged, and that no price of tokens covers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from callgate.call import Meter, Usage
from callgate.wire.anthropic_messages import AnthropicMessages
from callgate.wire.openai_chat import OpenAIChat
from tests.unit.wire.streams import message_events, scan

CHAT, MESSAGES = OpenAIChat(), AnthropicMessages()


def chat(**usage: Any) -> Meter:
    meter = Meter()
    counted: dict[str, Any] = {"prompt_tokens": 100, "completion_tokens": 20, **usage}
    CHAT.read(json.dumps({"choices": [], "usage": counted}).encode(), meter)
    return meter


def message(**usage: Any) -> Meter:
    meter = Meter()
    counted = {"input_tokens": 100, "output_tokens": 20, **usage}
    MESSAGES.read(json.dumps({"type": "message", "usage": counted}).encode(), meter)
    return meter


MESSAGES_TELL: list[tuple[dict[str, Any], str | None]] = [
        ({"server_tool_use": {"web_search_requests": 2}}, "web_search_requests"),
        ({"server_tool_use": {"web_search_requests": 0}}, None),
        ({"server_tool_use": {"web_fetch_requests": 2}}, None),
        ({"server_tool_use": {"dig_requests": 1}}, "dig_requests"),
        ({"server_tool_use": None}, None),
        ({"iterations": [{"type": "message"}, {"type": "compaction", "input_tokens": 5}]}, None),
        ({"iterations": [{"type": "advisor_message", "model": "dear"}]}, "another model's tokens (advisor_message)"),
        ({"iterations": [{"type": "fallback_message", "model": "dear"}]}, "another model's tokens (fallback_message)"),
        ({"iterations": [{}]}, "another model's tokens (None)"),
        ({"fallback_credit": {"status": {"type": "not_applied"}}}, None),
        ({"fallback_credit": {"status": {"type": "redeemed"}}}, "fallback_credit"),
]  # fmt: skip


@pytest.mark.parametrize(("usage", "told"), MESSAGES_TELL)
def test_a_message_tells_what_the_price_of_its_model_does_not_cover(
    usage: dict[str, Any], told: str | None
) -> None:
    assert message(**usage).unpriced == told


def test_a_stream_of_a_message_tells_it_too() -> None:
    used = {"output_tokens": 7, "server_tool_use": {"web_search_requests": 1}}
    stream = [b"".join(message_events(delta_usage=used))]
    request = b'{"model":"m","messages":[],"max_tokens":9,"stream":true}'
    assert scan(MESSAGES, request, stream).meter.unpriced == "web_search_requests"
    placed = [b"".join(message_events(delta_usage={"output_tokens": 7, "inference_geo": "us"}))]
    assert scan(MESSAGES, request, placed).meter.service_tier == "us"


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ({"tool_usage": {"web_search": {"num_requests": 0}, "image_gen": {"input_tokens": 0}}}, None),
        ({"tool_usage": {"web_search": {"num_requests": 1}}}, "tool_usage"),
        ({"server_tool_use": {"web_search_requests": 1}}, "server_tool_use"),
        ({"server_side_tool_usage_details": {"x_search_calls": 2}}, "server_side_tool_usage_details"),
        ({"num_sources_used": 3}, "num_sources_used"),
        ({"num_sources_used": 0}, None),
        ({"num_search_queries": 1}, "num_search_queries"),
    ],
)  # fmt: skip
def test_a_completion_tells_what_is_charged_by_its_uses(
    usage: dict[str, Any], told: str | None
) -> None:
    assert chat(**usage).unpriced == told


@pytest.mark.parametrize("kind", ["audio_tokens", "image_tokens", "video_tokens"])
def test_tokens_that_may_cost_more_than_text_are_noticed(kind: str) -> None:
    assert chat(prompt_tokens_details={kind: 5}).has_media
    assert chat(completion_tokens_details={kind: 5}).has_media
    assert not chat(prompt_tokens_details={kind: 0, "text_tokens": 9}).has_media


def test_writes_to_a_cache_are_told_apart_by_their_lifetime() -> None:
    by_lifetime = {"ttl_30m_tokens": 10, "ttl_12h_tokens": 30}
    details = {"cache_write_tokens": 40, "cache_write_tokens_details": by_lifetime}
    written = Usage(
        input_tokens=60, cache_write_tokens=10, cache_write_long_tokens=30, output_tokens=20
    )
    assert chat(prompt_tokens_details=details).usage == written
    alone = Usage(input_tokens=60, cache_write_tokens=40, output_tokens=20)
    assert chat(prompt_tokens_details={"cache_write_tokens": 40}).usage == alone


@pytest.mark.parametrize(
    ("fields", "tier"),
    [
        ({}, None),
        ({"service_tier": "batch"}, "batch"),
        ({"inference_geo": "global", "service_tier": "standard"}, "standard"),
        ({"inference_geo": "not_available"}, None),
        ({"inference_geo": "us"}, "us"),
        ({"inference_geo": "us", "service_tier": "priority"}, "us"),
        ({"inference_geo": "us", "service_tier": "batch"}, "batch us"),
        ({"inference_geo": "us", "service_tier": "standard", "speed": "fast"}, "fast us"),
        ({"inference_geo": "mars"}, "mars"),
    ],
)
def test_where_a_message_was_served_is_a_part_of_its_service_tier(
    fields: dict[str, str], tier: str | None
) -> None:
    assert message(**fields).service_tier == tier
    request: dict[str, Any] = {"model": "m", "messages": [], "max_tokens": 9, **fields}
    assert MESSAGES.parse(json.dumps(request).encode()).service_tier == tier


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, None),
        ({"web_search_options": {"user_location": "here"}}, "web_search_options"),
        ({"search_parameters": {"mode": "auto"}}, "search_parameters"),
        ({"plugins": [{"id": "web"}]}, "plugins"),
        ({"data_sources": [{"type": "azure_search"}]}, "data_sources"),
        ({"tools": [{"type": "web_search"}]}, "tools that the provider runs"),
        ({"tools": [{"type": "function"}]}, None),
    ],
)
def test_a_completion_that_may_search_is_known_by_its_request(
    fields: dict[str, Any], told: str | None
) -> None:
    request: dict[str, Any] = {"model": "m", "messages": [], **fields}
    assert CHAT.parse(json.dumps(request).encode()).charged == told


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"tools": [{"type": "code_execution_20260120", "name": "c"}]}, "code_execution"),
        ({"container": "c1"}, "code_execution"),
        ({"tools": [{"type": "web_search_20260209", "name": "w"}]}, None),
        ({"tools": [{"name": "f"}]}, None),
    ],
)
def test_a_message_that_may_run_code_is_known_by_its_request(
    fields: dict[str, Any], told: str | None
) -> None:
    request: dict[str, Any] = {"model": "m", "messages": [], "max_tokens": 9, **fields}
    assert MESSAGES.parse(json.dumps(request).encode()).charged == told
