"""Chat completions: what a request says, what leaves, and what a plain reply costs."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.call import Meter, Usage
from callgate.errors import BrokenReply, Malformed, Transient
from callgate.wire import Rewrite
from callgate.wire.openai_chat import OpenAIChat, usage_of

CHAT = OpenAIChat()
HELLO: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]


def body(**fields: Any) -> bytes:
    """Return a request in the style of the official SDK."""
    page = {"messages": HELLO, "model": "smart", **fields}
    return json.dumps(page, ensure_ascii=False, separators=(",", ":")).encode()


def rewrite(
    source: bytes,
    *,
    model: str = "smart",
    output_tokens: int | None = None,
    limit_field: str | None = None,
) -> Rewrite:
    """Return a request as it leaves."""
    request = CHAT.parse(source)
    return CHAT.rewrite(request, model=model, output_tokens=output_tokens, limit_field=limit_field)


def test_a_request_says_what_the_gate_must_know() -> None:
    request = CHAT.parse(
        body(stream=True, n=2, max_tokens=1000.0, service_tier="flex", tools=[{"type": "function"}])
    )
    assert (request.model, request.stream, request.choices) == ("smart", True, 2)
    assert (request.output_limit, request.messages, request.has_tools) == (1000, 2, True)
    assert (request.service_tier, request.opaque, request.wants_usage) == ("flex", None, False)


def test_null_is_as_good_as_absent() -> None:
    names = ("stream", "n", "max_tokens", "max_completion_tokens", "tools", "stream_options")
    request = CHAT.parse(body(**dict.fromkeys(names), functions=None, modalities=None))
    assert (request.stream, request.choices, request.output_limit) == (False, 1, None)
    assert (request.has_tools, request.opaque) == (False, None)


def test_the_larger_of_two_limits_is_the_bound() -> None:
    assert CHAT.parse(body(max_tokens=5, max_completion_tokens=9)).output_limit == 9
    assert CHAT.parse(body(max_tokens=9, max_completion_tokens=0)).output_limit == 9


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"model": ""}, "model must be a text that is not empty; found str ''"),
        ({"model": None}, "model must be a text that is not empty; found nothing"),
        ({"model": 5}, "model must be a text that is not empty; found int '5'"),
        ({"messages": None}, "messages must be a list; found nothing"),
        ({"messages": "hi"}, "messages must be a list; found str 'hi'"),
        ({"messages": ["hi"]}, "messages must be a list of objects"),
        ({"tools": {}}, "tools must be a list; found dict"),
        ({"stream": "true"}, "stream must be true or false; found str 'true'"),
        ({"stream": 1}, "stream must be true or false; found int '1'"),
        ({"n": 0}, "n must be a whole number from 1"),
        ({"n": True}, "n must be a whole number from 1"),
        ({"max_tokens": -1}, "max_tokens must be a whole number from 0"),
        ({"max_tokens": 1.5}, "max_tokens must be a whole number from 0"),
        ({"max_tokens": "9"}, "max_tokens must be a whole number from 0"),
        ({"max_completion_tokens": 10**10}, "max_completion_tokens must be a whole number"),
        ({"models": ["dear"]}, "models lets the provider fall back to models that nobody here has"),
        ({"stream_options": []}, "stream_options must be an object"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage must be true"),
    ],
)
def test_a_field_of_the_wrong_type_is_refused_by_its_name(fields: Any, told: str) -> None:
    with pytest.raises(Malformed) as refused:
        CHAT.parse(body(**fields))
    assert refused.value.message.startswith(told)
    assert refused.value.reason.code == "wrong_field"


def test_a_request_without_messages_is_refused() -> None:
    with pytest.raises(Malformed, match="messages must be a list; found nothing"):
        CHAT.parse(b'{"model":"smart"}')


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"type": "image_url", "image_url": {"url": "http://ß.de"}}, "a part of type 'image_url'"),
        ({"type": "input_audio", "input_audio": {}}, "a part of type 'input_audio'"),
        ({"type": "file", "file": {"file_id": "f"}}, "a part of type 'file'"),
        ({"image_url": "https://…"}, "a part of type None"),
        ({"type": ["text"]}, "a part of type ['text']"),
        ("text", "content that is neither a text nor a list of parts"),
    ],
)
def test_a_part_that_its_bytes_do_not_bound_is_named(part: Any, told: str) -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "?"}, part]}
    assert CHAT.parse(body(messages=[*HELLO, message])).opaque == f"messages[1] holds {told}"


def test_an_escape_does_not_hide_what_a_part_is() -> None:
    part = b'{"\\u0074ype":"input\\u005faudio","input_audio":{}}'
    source = b'{"model":"m","messages":[{"content":[' + part + b"]}]}"
    assert CHAT.parse(source).opaque == "messages[0] holds a part of type 'input_audio'"


def test_images_are_counted_with_the_bytes_that_they_take() -> None:
    image = b'{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}'
    content = b'{"content":[' + image + b',{"type":"text","text":"?"},' + image + b"]}"
    request = CHAT.parse(b'{"model":"m","messages":[' + content + b"," + content + b"]}")
    assert (request.opaque, request.image_sizes) == (None, (None,) * 4)
    assert request.image_bytes == 4 * len(image)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"web_search_options": {"search_context_size": "low"}}, "web_search_options adds"),
        ({"previous_response_id": "r"}, "previous_response_id adds"),
        ({"prompt": {"id": "p"}}, "prompt adds"),
        ({"prediction": {"content": "x"}}, "prediction adds"),
        ({"modalities": ["text", "audio"]}, "modalities asks for more than text"),
        ({"tools": [{"type": "web_search"}]}, "tools[0] is of type 'web_search'"),
        ({"tools": [{"type": "function"}, {}]}, "tools[1] is of type None"),
        ({"messages": [{"audio": {"id": "a"}}]}, "messages[0] names an earlier spoken reply"),
    ],
)
def test_what_adds_input_beside_the_bytes_is_named(fields: Any, told: str) -> None:
    assert (CHAT.parse(body(**fields)).opaque or "").startswith(told)


def test_a_conversation_of_text_and_tools_is_bounded_by_its_bytes() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"type":"x"}'}}
    messages = [
        {"role": "system", "content": 'say "type": "image_url"'},
        {"role": "user", "content": [{"type": "text", "text": "?"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "1"}]},
    ]
    tool = {"type": "function", "function": {"parameters": {"type": "object"}}}
    assert CHAT.parse(body(messages=messages, tools=[tool], modalities=["text"])).opaque is None


def test_a_request_that_needs_no_change_leaves_as_the_very_same_bytes() -> None:
    source = body(stream=True, stream_options={"include_usage": True})
    rewritten = rewrite(source)
    assert rewritten.body is source
    assert rewritten.changes == ()


def test_a_request_leaves_with_its_changes_and_every_other_byte_as_it_came() -> None:
    source = b'{ "model":"smart" ,\n"stream": true, "messages":[{"content":"caf\\u00e9"}]\n}\n'
    left = rewrite(source, model="gpt-5.5", output_tokens=80)
    assert left.body == (
        b'{ "model":"gpt-5.5" ,\n"stream": true, "messages":[{"content":"caf\\u00e9"}],'
        b'"max_completion_tokens":80,"stream_options":{"include_usage":true}\n}\n'
    )
    assert left.changes == (
        "model=gpt-5.5", "max_completion_tokens=80", "stream_options.include_usage=true"
    )  # fmt: skip


def test_stream_options_of_the_client_stay() -> None:
    source = (
        b'{"stream_options":{"include_obfuscation": false},"stream":true,"model":"m","messages":[]}'
    )
    assert b'{"include_obfuscation": false,"include_usage":true}' in rewrite(source).body


def test_a_wish_for_usage_is_added_to_streams_only() -> None:
    assert rewrite(body(stream=False)).changes == ()


@pytest.mark.parametrize("options", [None, {"include_usage": False}, {"include_usage": None}])
def test_no_wish_of_the_client_is_replaced_by_the_gates(options: Any) -> None:
    left = rewrite(body(stream=True, stream_options=options))
    assert json.loads(left.body)["stream_options"] == {"include_usage": True}


def test_the_limit_goes_where_the_server_looks_for_it() -> None:
    left = rewrite(body(), output_tokens=7, limit_field="max_tokens")
    assert (json.loads(left.body)["max_tokens"], left.changes) == (7, ("max_tokens=7",))


def test_a_limit_of_the_client_is_lowered_where_it_stands() -> None:
    left = rewrite(body(max_tokens=50), output_tokens=7)
    page = json.loads(left.body)
    assert (page["max_tokens"], page.get("max_completion_tokens")) == (7, None)


def read(page: Any) -> Meter:
    """Return what a plain reply tells."""
    meter = Meter()
    CHAT.read(page if isinstance(page, bytes) else json.dumps(page).encode(), meter)
    return meter


def test_a_plain_reply_tells_who_answered_and_what_it_used() -> None:
    meter = read({
        "id": "chatcmpl-1", "model": "gpt-5.5-2026", "service_tier": "flex",
        "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
    })  # fmt: skip
    assert meter == Meter(
        usage=Usage(input_tokens=9, output_tokens=4), finished=True, model="gpt-5.5-2026",
        reply_id="chatcmpl-1", finish_reason="stop", service_tier="flex",
    )  # fmt: skip


@pytest.mark.parametrize(
    "usage",
    [
        None, {}, "many", {"prompt_tokens": "9"}, {"total_tokens": 5}, {"prompt_tokens": 9},
        {"completion_tokens": 3}, {"prompt_tokens": 3, "completion_tokens": 10**40},
    ],
)  # fmt: skip
def test_usage_that_is_not_told_whole_is_unknown_and_never_zero(usage: Any) -> None:
    assert read({"choices": [], "usage": usage}).usage is None


def test_what_the_official_sdk_can_read_is_no_broken_reply() -> None:
    page = b'{"choices":[{"message":{"content":"\\ud83d"},"logprobs":NaN,"finish_reason":"stop"}],'
    meter = read(page + b'"usage":{"prompt_tokens":1,"completion_tokens":2}}')
    assert (meter.usage, meter.finish_reason) == (Usage(input_tokens=1, output_tokens=2), "stop")


@pytest.mark.parametrize(
    "page", [b"<html>", b"", b"[]", b'{"choices":{}}', b'{"id":"x"}', b"[" * 99999]
)
def test_what_is_no_completion_is_a_broken_reply(page: bytes) -> None:
    with pytest.raises(BrokenReply, match="the provider's reply") as broken:
        read(page)
    assert broken.value.billed


def test_an_error_with_a_status_of_200_is_an_error() -> None:
    with pytest.raises(Transient, match="answered 502: upstream is down") as failed:
        read({"error": {"message": "upstream is down", "code": 502}})
    assert failed.value.billed


@pytest.mark.parametrize(
    ("counters", "usage"),
    [
        (
            {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
             "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30},
             "completion_tokens_details": {"reasoning_tokens": 15}},
            Usage(input_tokens=10, cache_read_tokens=60, cache_write_tokens=30,
                  output_tokens=5, reasoning_tokens=15),
        ),
        (
            {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": None,
             "completion_tokens_details": {"reasoning_tokens": None}},
            Usage(input_tokens=5, output_tokens=2),
        ),
        # Reasoning beside the completion, as xAI and Gemini count it.
        (
            {"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135,
             "completion_tokens_details": {"reasoning_tokens": 94}},
            Usage(input_tokens=32, output_tokens=9, reasoning_tokens=94),
        ),
        (
            {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 40},
            Usage(input_tokens=10, output_tokens=30),
        ),
        # Details that are more than what they are part of.
        (
            {"prompt_tokens": 10, "completion_tokens": 1,
             "prompt_tokens_details": {"cached_tokens": 99, "cache_write_tokens": 99},
             "completion_tokens_details": {"reasoning_tokens": 99}},
            Usage(cache_read_tokens=10, reasoning_tokens=1),
        ),
        ({"prompt_tokens": -5, "completion_tokens": 3.0}, Usage(output_tokens=3)),
        ({"completion_tokens": 3, "total_tokens": 8}, Usage(input_tokens=5, output_tokens=3)),
        ({"prompt_tokens": 3, "total_tokens": 3}, Usage(input_tokens=3)),
    ],
)  # fmt: skip
def test_counters_become_buckets_that_do_not_overlap(counters: Any, usage: Usage) -> None:
    assert usage_of(counters) == usage


COUNTS = st.integers(-5, 10**6) | st.none() | st.floats() | st.text(max_size=2) | st.booleans()
DETAILS = st.dictionaries(
    st.sampled_from(["cached_tokens", "cache_write_tokens", "reasoning_tokens"]), COUNTS
)


@given(st.integers(0, 10**6), st.integers(0, 10**6), COUNTS, DETAILS | st.none(), DETAILS)
def test_whatever_the_details_say_no_token_is_lost_or_counted_twice(
    prompt: int, completion: int, total: Any, of_prompt: Any, of_completion: Any
) -> None:
    usage = usage_of({
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total,
        "prompt_tokens_details": of_prompt, "completion_tokens_details": of_completion,
    })  # fmt: skip
    assert usage is not None
    assert min(msgspec.structs.astuple(usage)) >= 0
    assert usage.total_input_tokens == prompt
    told = int(total) if isinstance(total, int | float) and 0 < total <= 10**12 else 0
    told = 0 if isinstance(total, bool) else told
    assert usage.total_output_tokens == max(completion, told - prompt)
