"""Gemini's streams: relayed to the byte, metered on the way, and never taken for whole if they broke."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.call import Meter, Usage
from callgate.errors import (
    Answer,
    BadCredential,
    BadRequest,
    BrokenReply,
    Failed,
    NoSuchModel,
    OutOfCredit,
    RateLimited,
    TimedOut,
    Transient,
)
from callgate.wire.gemini_generate_content import GeminiGenerateContent
from tests.unit.wire.streams import Scanned, cut, scan

GEMINI = GeminiGenerateContent()
REQUEST = b'{"contents":[]}'
WORDS = 'an "error" with "finishReason":"STOP", é'


def framed(page: Any) -> bytes:
    return b"data: %b\r\n\r\n" % json.dumps(page).encode()


def chunk(*parts: Any, finish: str | None = None, index: int = 0, **fields: Any) -> bytes:
    """Return an event of a stream, with what it has used so far."""
    candidate: dict[str, Any] = {"content": {"parts": [*parts], "role": "model"}, "index": index}
    if finish is not None:
        candidate["finishReason"] = finish
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 2}
    page = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-x"}
    return framed({**page, "responseId": "r1", **fields})


END_USAGE = {"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 3}
OPENING = chunk({"text": ""})
HI = chunk({"text": WORDS})
END = chunk({"text": ""}, finish="STOP", usageMetadata=END_USAGE)
USED = Usage(input_tokens=9, output_tokens=4, reasoning_tokens=3)
BROKE = framed({"error": {"code": 503, "message": "it broke", "status": "UNAVAILABLE"}})


def scanned(*events: bytes) -> Scanned:
    return scan(GEMINI, REQUEST, events, model="m", stream=True)


def test_a_whole_stream_passes_to_the_byte_and_is_metered() -> None:
    result = scanned(OPENING + HI + END)
    assert (result.relayed, result.failure) == (OPENING + HI + END, None)
    assert result.meter == Meter(
        usage=USED, finished=True, model="gemini-x", reply_id="r1", finish_reason="STOP"
    )


@given(
    st.data(),
    st.sampled_from([b"", BROKE, b"data: <html>\r\n\r\n", chunk(finish="MALFORMED_FUNCTION_CALL")]),
    st.booleans(),
)
def test_the_relay_and_the_meter_do_not_depend_on_the_chunks(
    data: st.DataObject, last: bytes, feeds: bool
) -> None:
    stream = b"".join([*[OPENING, HI, END][: data.draw(st.integers(0, 3))], last])
    stream = stream.replace(b"\r\n", b"\n") if feeds else stream
    whole, pieces = scanned(stream), scanned(*cut(data, stream))
    assert (pieces.relayed, pieces.meter) == (whole.relayed, whole.meter)
    assert (type(pieces.failure), str(pieces.failure)) == (type(whole.failure), str(whole.failure))


def test_repeated_counters_are_cumulative_and_never_added_up() -> None:
    assert scanned(HI, HI, HI, END).meter.usage == USED


def test_usage_that_came_before_the_end_stands_if_the_end_has_none() -> None:
    counted = chunk({"text": "x"}, usageMetadata=END_USAGE)
    assert scanned(HI, counted, chunk(finish="STOP", usageMetadata=None)).meter.usage == USED


@pytest.mark.parametrize(
    "event",
    [
        HI,
        chunk({"functionCall": {"name": "f", "args": {}}}),
        chunk({"text": "hm", "thought": True}),
        chunk(finish="STOP"),
        framed({"promptFeedback": {"blockReason": "SAFETY"}}),
    ],
)
def test_content_begins_with_the_first_thing_that_a_reader_would_miss(event: bytes) -> None:
    scanner = GEMINI.scanner(GEMINI.parse(REQUEST, model="m", stream=True), Meter())
    scanner.feed(OPENING + chunk({"text": "", "thought": True}))
    assert not scanner.has_content
    scanner.feed(event)
    assert scanner.has_content


def test_a_blocked_prompt_ends_its_stream() -> None:
    result = scanned(framed({"promptFeedback": {"blockReason": "OTHER"}, "usageMetadata": {}}))
    assert (result.failure, result.meter.finished) == (None, True)
    assert result.meter.finish_reason == "OTHER"


def test_a_stream_of_two_answers_ends_with_both() -> None:
    first, second = chunk({"text": "a"}, index=0), chunk({"text": "b"}, index=1)
    ends = [chunk(finish="STOP", index=index) for index in (0, 1)]
    assert scanned(first, second, *ends).failure is None
    assert type(scanned(first, second, ends[0]).failure) is BrokenReply


@pytest.mark.parametrize(
    "events",
    [
        [], [OPENING], [HI[:30]], [b"data: <html>\r\n\r\n"], [OPENING, BROKE],
        [OPENING, chunk(finish="MALFORMED_FUNCTION_CALL")], [chunk(finish="BRAND_NEW")],
    ],
)  # fmt: skip
def test_a_stream_that_breaks_before_content_may_be_tried_again(events: list[bytes]) -> None:
    result = scanned(*events)
    assert (result.relayed, type(result.failure)) == (b"", Transient)
    assert result.failure is not None
    assert result.failure.billed


@pytest.mark.parametrize(
    ("last", "told"),
    [
        ([], "ended the stream before a finishReason"),
        ([b"data: {"], "before a finishReason"),
        ([b"data: {\r\n\r\n"], "is not JSON"),
        ([b"data: 5\r\n\r\n"], "is no JSON object"),
        ([BROKE], "answered 503: it broke"),
        ([BROKE.rstrip()], "answered 503: it broke"),
        ([b'data: {"error":{"message":"it broke"}}\r\n\r\n'], "answered 500: it broke"),
        ([chunk(finish="UNEXPECTED_TOOL_CALL")], "ended the reply with 'UNEXPECTED_TOOL_CALL'"),
        ([chunk(finish="MISSING_THOUGHT_SIGNATURE")], "MISSING_THOUGHT_SIGNATURE"),
    ],
)
def test_a_stream_that_breaks_after_content_is_a_broken_reply(last: list[bytes], told: str) -> None:
    result = scanned(HI, *last)
    assert type(result.failure) is BrokenReply
    assert told in result.failure.message
    assert result.relayed.startswith(HI)
    assert b"it broke" not in result.relayed


def test_a_signature_that_is_missing_is_the_requests_own_fault() -> None:
    failure = scanned(chunk(finish="MISSING_THOUGHT_SIGNATURE")).failure
    assert type(failure) is BadRequest


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 400, "status": "INVALID_ARGUMENT"}, BadRequest),
        ({"status": "FAILED_PRECONDITION"}, BadRequest),
        ({"code": 429, "status": "RESOURCE_EXHAUSTED"}, RateLimited),
        ({"status": "RESOURCE_EXHAUSTED"}, RateLimited),
        ({"code": 404, "status": "NOT_FOUND"}, NoSuchModel),
        ({"code": 504, "status": "DEADLINE_EXCEEDED"}, TimedOut),
        ({"code": 500, "status": "INTERNAL"}, Transient),
    ],
)
def test_an_error_event_before_content_means_what_its_code_says(
    error: Any, kind: type[Failed]
) -> None:
    assert type(scanned(OPENING, framed({"error": {"message": "x", **error}})).failure) is kind


def refusal(status: int, error: dict[str, Any]) -> Failed:
    body = json.dumps({"error": {"code": status, "message": "no", **error}}).encode()
    return GEMINI.failure(status, (), body)


def info(reason: str) -> dict[str, Any]:
    return {"details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]}


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, info("API_KEY_INVALID"), BadCredential),
        (400, {"status": "INVALID_ARGUMENT"}, BadRequest),
        (400, {"details": [{"reason": "API_KEY_INVALID"}]}, BadRequest),
        (403, info("BILLING_DISABLED"), OutOfCredit),
        (429, info("BILLING_DISABLED"), OutOfCredit),
        (429, {"message": "Your prepayment credits are depleted."}, RateLimited),
        (429, info("RATE_LIMIT_EXCEEDED"), RateLimited),
        (404, {"status": "NOT_FOUND"}, NoSuchModel),
        (404, {"status": "UNIMPLEMENTED"}, BadRequest),
        (503, {"status": "UNAVAILABLE"}, Transient),
        (504, {"status": "DEADLINE_EXCEEDED"}, TimedOut),
    ],
)
def test_a_refusal_is_told_by_its_structured_reason_and_never_by_prose(
    status: int, error: dict[str, Any], kind: type[Failed]
) -> None:
    failed = refusal(status, error)
    assert type(failed) is kind
    assert failed.answer is not None
    assert failed.answer.status == status


def test_the_wait_that_stands_in_the_body_is_kept() -> None:
    wait = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "45.8s"}
    failed = refusal(429, {"status": "RESOURCE_EXHAUSTED", "details": [wait]})
    assert isinstance(failed, RateLimited)
    assert failed.retry_after_seconds == 45.8


def test_the_reader_gets_the_providers_own_words() -> None:
    failure = scanned(HI, BROKE).failure
    assert failure is not None
    assert isinstance(failure.answer, Answer)
    written = GEMINI.error_event(failure)
    page = json.loads(written.removeprefix(b"data: "))
    assert page["error"] == {"code": 503, "message": "it broke", "status": "UNAVAILABLE"}
    assert written.endswith(b"\r\n\r\n")
    own = json.loads(GEMINI.error_event(BrokenReply("m", billed=True)).removeprefix(b"data: "))
    assert (own["error"]["code"], own["callgate"]["code"]) == (502, "broken_reply")


@pytest.mark.parametrize(
    "odd", [b": ping\r\n\r\n", b"data: [DONE]\r\n\r\n", b"data:\n\n", b"id: 1\n\n"]
)
def test_what_googles_sdk_raises_on_does_not_pass(odd: bytes) -> None:
    result = scanned(odd, HI, odd, END, odd)
    assert (result.relayed, result.failure) == (HI + END, None)
