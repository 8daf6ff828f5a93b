"""Gemini: what a request says in either spelling, what leaves, and what a plain reply costs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.call import Meter, Usage
from callgate.errors import BadRequest, BrokenReply, Failed, Malformed, Transient
from callgate.wire import Request, Rewrite
from callgate.wire.gemini_generate_content import GeminiGenerateContent, usage_of

GEMINI = GeminiGenerateContent()
HELLO: list[dict[str, Any]] = [{"role": "user", "parts": [{"text": "hello"}]}]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAoAAAAUCAYAAAA="


def body(**fields: Any) -> bytes:
    """Return a request in the style of the official SDK."""
    return json.dumps({"contents": HELLO, **fields}, separators=(",", ":")).encode()


def parse(source: bytes, *, stream: bool = False) -> Request:
    return GEMINI.parse(source, model="smart", stream=stream)


def holding(*parts: Any) -> Request:
    return parse(body(contents=[*HELLO, {"role": "user", "parts": [*parts]}]))


def test_the_address_says_which_model_and_whether_a_stream() -> None:
    request = parse(body(), stream=True)
    assert (request.model, request.stream, request.wants_usage) == ("smart", True, True)
    assert GEMINI.path(model="gemini-3.5-flash", stream=False) == (
        "/models/gemini-3.5-flash:generateContent"
    )
    assert GEMINI.path(model="models/x", stream=True) == ("/models/x:streamGenerateContent?alt=sse")


def test_a_models_name_cannot_leave_its_place_in_the_address() -> None:
    path = GEMINI.path(model="x:countTokens?key=1#/../é", stream=False)
    assert path == "/models/x%3AcountTokens%3Fkey%3D1%23%2F..%2F%C3%A9:generateContent"


CONFIGS: list[dict[str, Any]] = [
    {"generationConfig": {"maxOutputTokens": 1000.0, "candidateCount": 2}, "serviceTier": "FLEX"},
    {
        "generation_config": {"max_output_tokens": 1000, "candidate_count": 2},
        "service_tier": "SERVICE_TIER_FLEX",
    },
]


@pytest.mark.parametrize("fields", CONFIGS)
def test_a_request_says_what_the_gate_must_know_in_either_spelling(fields: Any) -> None:
    tools = [{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}]
    request = parse(body(tools=tools, **fields))
    assert (request.output_limit, request.choices, request.messages) == (1000, 2, 4)
    assert (request.has_tools, request.service_tier, request.opaque) == (True, "flex", None)


@pytest.mark.parametrize("tier", [None, "unspecified", "SERVICE_TIER_UNSPECIFIED"])
def test_null_is_as_good_as_absent(tier: str | None) -> None:
    config = {"maxOutputTokens": None, "candidateCount": None, "responseModalities": None}
    request = parse(body(generationConfig=config, tools=None, serviceTier=tier))
    assert (request.output_limit, request.choices, request.has_tools) == (None, 1, False)
    assert (request.service_tier, parse(body(generationConfig=None)).output_limit) == (None, None)


UNREADABLE: list[tuple[dict[str, Any], str, str]] = [
    ({"contents": "hi"}, "wrong_field", "contents must be a list; found str 'hi'"),
    ({"contents": ["hi"]}, "wrong_field", "contents must be a list of objects"),
    ({"contents": [{"parts": "hi"}]}, "wrong_field", "parts must be a list; found str"),
    ({"tools": 5}, "wrong_field", "tools must be a list; found int"),
    ({"generationConfig": 5}, "wrong_field", "generationConfig must be an object"),
    ({"generationConfig": {"maxOutputTokens": "9"}}, "wrong_field", "generationConfig.maxOutputTokens must"),
    ({"generation_config": {"candidate_count": 0}}, "wrong_field", "generationConfig.candidate_count must"),
    ({"generationConfig": {}, "generation_config": {}}, "duplicate_key", "the request has generationConfig and"),
    ({"tools": [{"googleSearch": {}, "google_search": {}}]}, "duplicate_key", "the request has googleSearch"),
    ({"model": "models/dear"}, "wrong_field", "the address names the model 'smart', and the body 'models/dear'"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "code", "told"), UNREADABLE)
def test_a_field_that_cannot_be_read_is_refused_by_its_name(
    fields: Any, code: str, told: str
) -> None:
    with pytest.raises(Malformed) as refused:
        parse(body(**fields))
    assert refused.value.message.startswith(told)
    assert refused.value.reason.code == code


def test_a_request_without_a_model_in_its_address_is_refused() -> None:
    with pytest.raises(Malformed, match="model must be named in the address"):
        GEMINI.parse(body())


@pytest.mark.parametrize(
    "part",
    [
        {"text": "?"},
        {"text": "hm", "thought": True, "thoughtSignature": "c2ln"},
        {"functionCall": {"name": "f", "args": {"inlineData": 1}}, "thought_signature": "c2ln"},
        {"function_response": {"name": "f", "response": {"output": "42"}, "parts": None}},
        {"text": "?", "inlineData": None},
        {},
    ],
)
def test_a_part_of_text_is_bounded_by_its_bytes(part: Any) -> None:
    request = holding(part)
    assert (request.opaque, request.image_sizes) == (None, ())


SOUND = {"mimeType": "audio/wav", "data": "AAAA"}


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"inlineData": SOUND}, "inlineData of type 'audio/wav'"),
        ({"inline_data": {"mime_type": "application/pdf", "data": ""}}, "inlineData of type 'application/pdf'"),
        ({"inlineData": {"mimeType": "image/é", "data": ""}}, "inlineData of type 'image/é'"),
        ({"fileData": {"fileUri": "https://youtu.be/x"}}, "fileData of type 'none'"),
        ({"text": "?", "fileData": {"mimeType": "video/mp4"}}, "fileData of type 'video/mp4'"),
        ({"executableCode": {"code": "1"}}, "a part with executableCode"),
        ({"brand_new": {}}, "a part with brandNew"),
        ({"functionResponse": {"name": "f", "parts": [{"inlineData": SOUND}]}}, "inlineData of type 'audio/wav'"),
    ],
)  # fmt: skip
def test_what_its_bytes_do_not_bound_is_named(part: Any, told: str) -> None:
    source = json.dumps({"contents": [*HELLO, {"parts": [part]}]}, ensure_ascii=False).encode()
    assert parse(source).opaque == f"contents[1] holds {told}"


def test_images_are_counted_with_the_bytes_that_they_take_and_their_size() -> None:
    shown = {"mimeType": "image/png", "data": PNG}
    stored = {"mime_type": "image/webp", "file_uri": "https://x/files/1"}
    given: dict[str, Any] = {"name": "f", "response": {}, "parts": [{"inlineData": shown}]}
    request = holding({"text": "?", "inlineData": shown}, {"file_data": stored}, {"functionResponse": given})  # fmt: skip
    assert (request.opaque, request.image_sizes) == (None, ((10, 20), None, (10, 20)))
    sizes = [len(json.dumps(each, separators=(",", ":"))) for each in (shown, stored, shown)]
    assert request.image_bytes == sum(sizes)


def test_one_object_stands_for_a_list_of_one() -> None:
    pdf = {"inlineData": {"mimeType": "application/pdf", "data": ""}}
    alone = parse(body(contents={"parts": pdf}))
    assert alone.opaque == "contents[0] holds inlineData of type 'application/pdf'"
    system = parse(body(system_instruction={"parts": pdf}))
    assert system.opaque == "systemInstruction holds inlineData of type 'application/pdf'"
    assert parse(body(systemInstruction={"parts": {"text": "be brief"}})).opaque is None


BESIDE: list[tuple[dict[str, Any], str, str | None]] = [
    ({"tools": [{"google_search": {}}]}, "tools[0] has googleSearch", "googleSearch"),
    ({"tools": {"googleMaps": {}}}, "tools[0] has googleMaps", "googleMaps"),
    ({"tools": [{"codeExecution": {}}]}, "tools[0] has codeExecution", None),
    ({"tools": [{"functionDeclarations": []}]}, "", None),
    ({"cachedContent": "cachedContents/1"}, "cachedContent adds", None),
    ({"continuation_token": "t"}, "continuationToken adds", None),
    ({"generationConfig": {"responseModalities": ["TEXT", "IMAGE"]}}, "generationConfig.resp", None),
    ({"generationConfig": {"response_modalities": ["text"]}}, "", None),
    ({"generationConfig": {"responseModalities": 5}}, "generationConfig.resp", None),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "opaque", "charged"), BESIDE)
def test_what_adds_input_or_cost_beside_the_bytes_is_named(
    fields: Any, opaque: str, charged: str | None
) -> None:
    request = parse(body(**fields))
    assert (request.opaque or "").startswith(opaque)
    assert bool(request.opaque) == bool(opaque)
    assert request.charged == charged


def rewrite(source: bytes, *, model: str = "smart", output_tokens: int | None = None) -> Rewrite:
    request = parse(source)
    return GEMINI.rewrite(request, model=model, output_tokens=output_tokens, limit_field=None)


def test_a_request_that_needs_no_change_leaves_as_the_very_same_bytes() -> None:
    source = body(generationConfig={"maxOutputTokens": 9})
    left = rewrite(source)
    assert left.body is source
    assert left.changes == ()


@pytest.mark.parametrize(
    ("source", "left"),
    [
        (b'{ "contents":[] }', b'{ "contents":[],"generationConfig":{"maxOutputTokens":80} }'),
        (
            b'{"generationConfig" : { "topK": 5 }, "contents":[]}',
            b'{"generationConfig" : { "topK": 5,"maxOutputTokens":80 }, "contents":[]}',
        ),
        (
            b'{"contents":[],"generation_config":{"max_output_tokens" : null}}',
            b'{"contents":[],"generation_config":{"max_output_tokens" : 80}}',
        ),
        (
            b'{"contents":[],"generationConfig":null}',
            b'{"contents":[],"generationConfig":{"maxOutputTokens":80}}',
        ),
    ],
)
def test_a_limit_goes_where_the_request_has_its_settings(source: bytes, left: bytes) -> None:
    rewritten = rewrite(source, output_tokens=80)
    assert rewritten.body == left
    assert rewritten.changes == ("generationConfig.maxOutputTokens=80",)


def test_a_model_changes_in_the_address_and_where_else_it_is_named() -> None:
    source = b'{"contents":[]}'
    left = rewrite(source, model="gemini-x")
    assert (left.body, left.changes) == (source, ("model=gemini-x",))
    named = rewrite(b'{"model":"models/smart","contents":[]}', model="gemini-x")
    assert named.body == b'{"model":"models/gemini-x","contents":[]}'


def read(page: Any) -> Meter:
    """Return what a plain reply tells."""
    meter = Meter()
    GEMINI.read(page if isinstance(page, bytes) else json.dumps(page).encode(), meter)
    return meter


def reply(*, finish: Any = "STOP", **fields: Any) -> dict[str, Any]:
    candidate = {"content": {"parts": [{"text": "hi"}]}, "finishReason": finish, "index": 0}
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 4, "totalTokenCount": 13}
    page = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-3.5-flash"}
    return {**page, "responseId": "r1", **fields}


USED = Usage(input_tokens=9, output_tokens=4)


def test_a_plain_reply_tells_who_answered_and_what_it_used() -> None:
    assert read(reply()) == Meter(
        usage=USED, finished=True, model="gemini-3.5-flash", reply_id="r1", finish_reason="STOP"
    )


def test_a_blocked_prompt_is_an_answer_without_candidates() -> None:
    feedback = {"blockReason": "SAFETY"}
    meter = read({"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 9}})
    assert (meter.finished, meter.finish_reason) == (True, "SAFETY")
    assert meter.usage == Usage(input_tokens=9)


@pytest.mark.parametrize("reason", ["STOP", "MAX_TOKENS", "SAFETY", "MODEL_ARMOR", "CONTINUATION"])
def test_a_reply_may_end_in_many_ways(reason: str) -> None:
    assert read(reply(finish=reason)).finish_reason == reason


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("MALFORMED_FUNCTION_CALL", BrokenReply),
        ("OTHER", BrokenReply),
        ("BRAND_NEW", BrokenReply),
        (None, BrokenReply),
        ("MISSING_THOUGHT_SIGNATURE", BadRequest),
    ],
)
def test_a_model_that_failed_with_a_status_of_200_has_failed(
    reason: str | None, kind: type[Failed]
) -> None:
    meter = Meter()
    with pytest.raises(kind, match="no end of an answer") as failed:
        GEMINI.read(json.dumps(reply(finish=reason)).encode(), meter)
    assert (type(failed.value), failed.value.billed) == (kind, True)
    assert (meter.usage, meter.finished) == (USED, True)


@pytest.mark.parametrize("page", [b"<html>", b"[]", b"{}", b'{"candidates":[]}', b"[" * 99999])
def test_what_is_no_reply_is_a_broken_reply(page: bytes) -> None:
    with pytest.raises(BrokenReply, match="the provider's reply"):
        read(page)


def test_an_error_with_a_status_of_200_is_an_error() -> None:
    with pytest.raises(Transient, match="answered 503: later"):
        read({"error": {"message": "later", "status": "UNAVAILABLE"}})


def test_what_the_official_sdk_can_read_is_no_broken_reply() -> None:
    page = json.dumps(reply()).replace('"hi"', '"\\ud83d","avgLogprobs":NaN').encode()
    assert read(page).usage == USED


@pytest.mark.parametrize(
    ("told", "tier"),
    [
        ({}, None),
        ({"trafficType": "ON_DEMAND"}, "standard"),
        ({"trafficType": "ON_DEMAND_FLEX"}, "flex"),
        ({"serviceTier": "priority", "trafficType": "ON_DEMAND"}, "priority"),
        ({"serviceTier": "SERVICE_TIER_FLEX"}, "flex"),
    ],
)
def test_a_reply_tells_how_it_was_served(told: dict[str, str], tier: str | None) -> None:
    assert read(reply(usageMetadata={"promptTokenCount": 1, **told})).service_tier == tier


def test_a_reply_that_rests_on_searches_costs_more_than_its_tokens() -> None:
    candidate = {"finishReason": "STOP", "groundingMetadata": {"webSearchQueries": ["x"]}}
    assert read(reply(candidates=[candidate])).unpriced == "groundingMetadata"
    empty: dict[str, Any] = {"finishReason": "STOP", "groundingMetadata": {}}
    assert read(reply(candidates=[empty])).unpriced is None


@pytest.mark.parametrize("where", ["prompt", "candidates", "cache", "toolUsePrompt"])
def test_tokens_that_may_cost_more_than_text_are_noticed(where: str) -> None:
    def noticed(modality: str, tokens: int) -> bool:
        details = [{"modality": modality, "tokenCount": tokens}]
        return read(reply(usageMetadata={f"{where}TokensDetails": details})).has_media

    assert noticed("AUDIO", 5)
    assert not noticed("AUDIO", 0)
    assert not noticed("TEXT", 5)


@pytest.mark.parametrize(
    ("counters", "usage"),
    [
        (
            {"promptTokenCount": 100, "cachedContentTokenCount": 60, "candidatesTokenCount": 20,
             "thoughtsTokenCount": 15, "toolUsePromptTokenCount": 7, "totalTokenCount": 142},
            Usage(input_tokens=47, cache_read_tokens=60, output_tokens=20, reasoning_tokens=15),
        ),
        # Thoughts that only the total counts.
        ({"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 40},
         Usage(input_tokens=10, output_tokens=5, reasoning_tokens=25)),
        ({"promptTokenCount": 5, "cachedContentTokenCount": 99}, Usage(cache_read_tokens=5)),
        ({"candidatesTokenCount": 3}, None),
        ({"totalTokenCount": 3}, None),
    ],
)  # fmt: skip
def test_counters_become_buckets_that_do_not_overlap(counters: Any, usage: Usage | None) -> None:
    assert usage_of(counters) == usage


@given(*[st.integers(0, 10**6)] * 5)
def test_the_sum_of_the_buckets_is_the_total_that_is_billed(
    prompt: int, cached: int, said: int, thought: int, added: int
) -> None:
    usage = usage_of({
        "promptTokenCount": prompt, "cachedContentTokenCount": cached,
        "candidatesTokenCount": said, "thoughtsTokenCount": thought,
        "toolUsePromptTokenCount": added, "totalTokenCount": prompt + said + thought + added,
    })  # fmt: skip
    assert usage is not None
    assert usage.total_input_tokens == prompt + added
    assert (usage.output_tokens, usage.reasoning_tokens) == (said, thought)
