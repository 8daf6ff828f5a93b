"""Responses: what a request says, what leaves, and what a plain reply costs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.call import Meter, Usage
from callgate.errors import BadRequest, BrokenReply, Malformed, RateLimited, Transient
from callgate.wire import Rewrite
from callgate.wire.openai_responses import OpenAIResponses, usage_of

RESPONSES = OpenAIResponses()
PNG = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAoAAAAUCAYAAAA="


def body(**fields: Any) -> bytes:
    """Return a request in the style of the official SDK."""
    page = {"input": "hello", "model": "smart", **fields}
    return json.dumps(page, ensure_ascii=False, separators=(",", ":")).encode()


def rewrite(source: bytes, *, model: str = "smart", output_tokens: int | None = None) -> Rewrite:
    """Return a request as it leaves."""
    request = RESPONSES.parse(source)
    return RESPONSES.rewrite(request, model=model, output_tokens=output_tokens, limit_field=None)


def says(*parts: Any, **item: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts), **item}


def test_a_request_says_what_the_gate_must_know() -> None:
    request = RESPONSES.parse(
        body(
            stream=True, max_output_tokens=1000.0, service_tier="flex", instructions="be brief",
            input=[says({"type": "input_text", "text": "?"})], tools=[{"type": "function"}],
        )
    )  # fmt: skip
    assert (request.model, request.stream, request.output_limit) == ("smart", True, 1000)
    assert (request.messages, request.has_tools, request.service_tier) == (3, True, "flex")
    assert (request.opaque, request.charged, request.choices) == (None, None, 1)


@pytest.mark.parametrize("given", ["hello", None, []])
def test_the_input_may_be_a_text_or_left_out(given: Any) -> None:
    request = RESPONSES.parse(body(input=given, max_output_tokens=None, tools=None))
    assert (request.opaque, request.messages, request.output_limit) == (None, 1, None)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"model": None}, "model must be a text that is not empty; found nothing"),
        ({"input": 5}, "input must be a text or a list; found int '5'"),
        ({"input": {}}, "input must be a text or a list; found dict"),
        ({"input": ["hi"]}, "input must be a list of objects"),
        ({"tools": {}}, "tools must be a list; found dict"),
        ({"stream": "true"}, "stream must be true or false; found str 'true'"),
        ({"max_output_tokens": "9"}, "max_output_tokens must be a whole number from 0"),
        ({"background": True}, "background must be false"),
        ({"models": ["dear"]}, "models lets the provider fall back"),
        ({"background": 1}, "background must be true or false"),
    ],
)
def test_a_field_of_the_wrong_type_is_refused_by_its_name(fields: Any, told: str) -> None:
    with pytest.raises(Malformed) as refused:
        RESPONSES.parse(body(**fields))
    assert refused.value.message.startswith(told)
    assert refused.value.reason.code == "wrong_field"


PLAIN: list[dict[str, Any]] = [
    says({"type": "input_text", "text": "?"}, type="message"),
    {"role": "assistant", "content": [{"type": "output_text", "text": "!"}], "id": "msg_1"},
    {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
    {"role": "user", "content": "a text"},
    {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": "42"},
    {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "4"}]},
    {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"},
    {"type": "custom_tool_call_output", "call_id": "c", "output": "x"},
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"},
]  # fmt: skip


@pytest.mark.parametrize("item", PLAIN)
def test_an_item_of_text_is_bounded_by_its_bytes(item: dict[str, Any]) -> None:
    assert RESPONSES.parse(body(input=[item])).opaque is None


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ({"id": "msg_1"}, "an item of type None"),
        ({"type": "item_reference", "id": "msg_1"}, "an item of type 'item_reference'"),
        ({"type": ["message"]}, "an item of type ['message']"),
        ({"type": "reasoning", "id": "rs_1", "summary": []}, "a thought that the provider has kept"),
        ({"type": "web_search_call", "id": "ws_1"}, "an item of type 'web_search_call'"),
        (says({"type": "input_file", "file_id": "f"}), "a part of type 'input_file'"),
        (says({"type": "input_audio"}), "a part of type 'input_audio'"),
        ({"type": "function_call_output", "output": [{"type": "input_file"}]}, "a part of type 'input_file'"),
        ({"role": "user", "content": {"text": "?"}}, "content that is neither a text nor a list of parts"),
    ],
)  # fmt: skip
def test_what_its_bytes_do_not_bound_is_named(item: dict[str, Any], told: str) -> None:
    request = RESPONSES.parse(body(input=[PLAIN[0], item]))
    assert request.opaque == f"input[1] holds {told}"


def test_images_are_counted_with_the_bytes_that_they_take_and_their_size() -> None:
    image = {"type": "input_image", "image_url": PNG, "detail": "auto"}
    stored = {"type": "input_image", "file_id": "file_1"}
    result = {"type": "function_call_output", "call_id": "c", "output": [image]}
    source = body(input=[says(image, stored), result])
    request = RESPONSES.parse(source)
    assert (request.opaque, request.image_sizes) == (None, ((10, 20), None, (10, 20)))
    written = json.dumps(image, separators=(",", ":"))
    assert request.image_bytes == 2 * len(written) + len(
        '{"type":"input_image","file_id":"file_1"}'
    )


@pytest.mark.parametrize(
    ("fields", "opaque", "charged"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0] is of type 'web_search'", True),
        ({"tools": [{"type": "code_interpreter"}]}, "tools[0] is of type 'code_int", True),
        ({"tools": [{"type": "apply_patch"}]}, "tools[0] is of type 'apply_patch'", False),
        ({"tools": [{"type": "function"}, {"type": "custom"}]}, "", False),
        ({"prompt": {"id": "p"}}, "prompt adds", False),
        ({"conversation": "conv_1"}, "conversation adds", False),
        ({"context_management": [{"type": "compaction"}]}, "context_management adds", False),
    ],
)
def test_what_adds_input_or_cost_beside_the_bytes_is_named(
    fields: Any, opaque: str, charged: bool
) -> None:
    request = RESPONSES.parse(body(**fields))
    assert (request.opaque or "").startswith(opaque)
    assert (request.charged is not None) == charged


def test_a_request_that_needs_no_change_leaves_as_the_very_same_bytes() -> None:
    source = body(stream=True, max_output_tokens=9)
    left = rewrite(source)
    assert left.body is source
    assert left.changes == ()


def test_a_request_leaves_with_its_changes_and_every_other_byte_as_it_came() -> None:
    source = b'{ "model":"smart" ,\n"input":"caf\\u00e9"\n}\n'
    left = rewrite(source, model="gpt-5.5", output_tokens=80)
    assert left.body == b'{ "model":"gpt-5.5" ,\n"input":"caf\\u00e9","max_output_tokens":80\n}\n'
    assert left.changes == ("model=gpt-5.5", "max_output_tokens=80")


def read(page: Any) -> Meter:
    """Return what a plain reply tells."""
    meter = Meter()
    RESPONSES.read(page if isinstance(page, bytes) else json.dumps(page).encode(), meter)
    return meter


def response(**fields: Any) -> dict[str, Any]:
    return {
        "id": "resp_1", "object": "response", "model": "gpt-5.5-2026", "service_tier": "flex",
        "status": "completed", "output": [{"type": "message"}], "error": None,
        "usage": {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}, **fields,
    }  # fmt: skip


def test_a_plain_reply_tells_who_answered_and_what_it_used() -> None:
    assert read(response()) == Meter(
        usage=Usage(input_tokens=9, output_tokens=4), finished=True, model="gpt-5.5-2026",
        reply_id="resp_1", finish_reason="completed", service_tier="flex",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "max_output_tokens"),
        ({"status": "incomplete", "incomplete_details": None}, "incomplete"),
        ({"status": None}, None),
    ],
)  # fmt: skip
def test_a_reply_that_ended_in_another_way_is_whole_too(fields: Any, reason: str | None) -> None:
    meter = read(response(**fields))
    assert (meter.finished, meter.finish_reason) == (True, reason)


@pytest.mark.parametrize(
    ("code", "kind"),
    [("server_error", Transient), ("rate_limit_exceeded", RateLimited), ("invalid_image", BadRequest)],
)  # fmt: skip
def test_a_response_that_failed_is_what_its_code_says(code: str, kind: type[Exception]) -> None:
    meter = Meter()
    page = response(status="failed", error={"code": code, "message": "it broke"})
    with pytest.raises(kind, match="it broke") as failed:
        RESPONSES.read(json.dumps(page).encode(), meter)
    assert type(failed.value) is kind
    assert meter.usage == Usage(input_tokens=9, output_tokens=4)


@pytest.mark.parametrize(
    "page",
    [b"<html>", b"[]", b'{"id":"x"}', b'{"output":{}}', response(status="queued"), b"[" * 99999],
)
def test_what_is_no_whole_response_is_a_broken_reply(page: Any) -> None:
    with pytest.raises(BrokenReply, match="the provider's reply") as broken:
        read(page)
    assert broken.value.billed


def test_a_response_that_was_cancelled_is_no_answer() -> None:
    with pytest.raises(Transient, match="the response ended as 'cancelled'"):
        read(response(status="cancelled"))


def test_an_error_with_a_status_of_200_is_an_error() -> None:
    with pytest.raises(Transient, match="answered 502: upstream is down"):
        read({"error": {"message": "upstream is down", "code": 502}})


def test_what_the_official_sdk_can_read_is_no_broken_reply() -> None:
    page = b'{"output":[{"text":"\\ud83d","logprobs":NaN}],"status":"completed",'
    meter = read(page + b'"usage":{"input_tokens":1,"output_tokens":2}}')
    assert meter.usage == Usage(input_tokens=1, output_tokens=2)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"tool_usage": {"web_search": {"num_requests": 1}}}, "tool_usage"),
        ({"tool_usage": {"web_search": {"num_requests": 0}, "image_gen": {"total_tokens": 0}}}, None),
        ({"usage": {"input_tokens": 1, "num_server_side_tools_used": 2}}, "num_server_side_tools_used"),
    ],
)  # fmt: skip
def test_a_response_tells_what_is_charged_by_its_uses(fields: Any, told: str | None) -> None:
    assert read(response(**fields)).unpriced == told


def test_tokens_that_may_cost_more_than_text_are_noticed() -> None:
    usage = {"input_tokens": 9, "input_tokens_details": {"image_tokens": 5}}
    assert read(response(usage=usage)).has_media


def test_a_cost_that_is_believed_is_read() -> None:
    meter = Meter(believed="openrouter")
    RESPONSES.read(
        json.dumps(response(usage={"input_tokens": 1, "output_tokens": 1, "cost": 0.25})).encode(),
        meter,
    )
    assert meter.reported is not None
    assert meter.reported.nano == 250_000_000


@pytest.mark.parametrize(
    ("counters", "usage"),
    [
        (
            {"input_tokens": 100, "output_tokens": 20,
             "input_tokens_details": {
                 "cached_tokens": 50, "cache_write_tokens": 30,
                 "cache_write_tokens_details": {"ttl_30m_tokens": 10, "ttl_12h_tokens": 20}},
             "output_tokens_details": {"reasoning_tokens": 15}},
            Usage(input_tokens=20, cache_read_tokens=50, cache_write_tokens=10,
                  cache_write_long_tokens=20, output_tokens=5, reasoning_tokens=15),
        ),
        ({"input_tokens": 5}, None),
        ({"input_tokens": 5, "output_tokens": 0, "input_tokens_details": {"cached_tokens": 99}},
         Usage(cache_read_tokens=5)),
        ({"total_tokens": 5}, None),
    ],
)  # fmt: skip
def test_counters_become_buckets_that_do_not_overlap(counters: Any, usage: Usage | None) -> None:
    assert usage_of(counters) == usage


@given(st.integers(0, 10**6), st.integers(0, 10**6), *[st.integers(-5, 10**6)] * 4)
def test_whatever_the_details_say_no_token_is_lost_or_counted_twice(
    input: int, output: int, cached: int, written: int, long: int, thought: int
) -> None:
    by_lifetime = {"ttl_12h_tokens": long}
    details = {"cached_tokens": cached, "cache_write_tokens": written}
    usage = usage_of({
        "input_tokens": input, "output_tokens": output,
        "input_tokens_details": {**details, "cache_write_tokens_details": by_lifetime},
        "output_tokens_details": {"reasoning_tokens": thought},
    })  # fmt: skip
    assert usage is not None
    assert (usage.total_input_tokens, usage.total_output_tokens) == (input, output)
