"""Response streams: relayed to the byte, metered on the way, and never taken for whole if they broke."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.call import Meter, Usage
from callgate.errors import (
    BadCredential,
    BadRequest,
    BrokenReply,
    Failed,
    OutOfCredit,
    RateLimited,
    Transient,
)
from callgate.wire.openai_responses import OpenAIResponses
from tests.unit.wire.streams import cut, event, scan

RESPONSES = OpenAIResponses()
REQUEST = b'{"model":"m","input":"hi","stream":true}'
USED = {"input_tokens": 9, "output_tokens": 4}
USAGE = Usage(input_tokens=9, output_tokens=4)
BEGUN: dict[str, Any] = {
    "id": "resp_1", "model": "gpt-5.5-2026", "status": "in_progress", "output": [], "error": None,
    "usage": None,
}  # fmt: skip
PLACE = {"output_index": 0, "content_index": 0, "item_id": "msg_1"}
WORDS = 'an "error" of "type":"response.failed", é'
BROKE = {"code": "server_error", "message": "it broke", "param": None}


def whole(status: str, **fields: Any) -> bytes:
    """Return an event that holds the whole response."""
    page = {**BEGUN, "status": status, **fields}
    return event({"type": f"response.{status}", "sequence_number": 7, "response": page})


OPENING = [
    event({"type": "response.created", "sequence_number": 0, "response": BEGUN}),
    whole("in_progress"),
    event({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message"}}),
    event({"type": "response.content_part.added", **PLACE, "part": {"type": "output_text"}}),
]
HI = event({"type": "response.output_text.delta", **PLACE, "delta": WORDS})
DONE = event({"type": "response.output_text.done", **PLACE, "text": WORDS})
END = whole("completed", usage=USED, service_tier="flex", output=[{"type": "message"}])
STREAM = [*OPENING, HI, DONE, END]


def test_a_whole_stream_passes_to_the_byte_and_is_metered() -> None:
    scanned = scan(RESPONSES, REQUEST, [b"".join(STREAM)])
    assert (scanned.relayed, scanned.failure) == (b"".join(STREAM), None)
    assert scanned.meter == Meter(
        usage=USAGE, finished=True, model="gpt-5.5-2026", reply_id="resp_1",
        finish_reason="completed", service_tier="flex",
    )  # fmt: skip


@given(
    st.data(),
    st.sampled_from([b"", whole("failed", error=BROKE, usage=USED), b"data: <html>\n\n",
                     event({"type": "error", **BROKE})]),
)  # fmt: skip
def test_the_relay_and_the_meter_do_not_depend_on_the_chunks(
    data: st.DataObject, last: bytes
) -> None:
    stream = b"".join([*STREAM[: data.draw(st.integers(0, 7))], last])
    if data.draw(st.booleans()):
        stream = stream.replace(b"\n", b"\r\n")
    one, many = scan(RESPONSES, REQUEST, [stream]), scan(RESPONSES, REQUEST, [*cut(data, stream)])
    assert (many.relayed, many.meter) == (one.relayed, one.meter)
    assert (type(many.failure), str(many.failure)) == (type(one.failure), str(one.failure))


@pytest.mark.parametrize("end", [END, whole("incomplete", usage=USED)])
def test_a_stream_is_whole_with_either_of_its_ends(end: bytes) -> None:
    scanned = scan(RESPONSES, REQUEST, [*OPENING, HI, end, b"data: [DONE]\n\n"])
    assert (scanned.failure, scanned.meter.finished, scanned.meter.usage) == (None, True, USAGE)


def test_usage_that_came_before_the_end_stands_if_the_end_has_none() -> None:
    events = [*OPENING, HI, whole("in_progress", usage=USED), whole("completed")]
    assert scan(RESPONSES, REQUEST, events).meter.usage == USAGE


def test_content_begins_with_the_first_words() -> None:
    scanner = RESPONSES.scanner(RESPONSES.parse(REQUEST), Meter())
    scanner.feed(b'event: keepalive\ndata: {"type":"keepalive"}\n\n' + b"".join(OPENING))
    assert not scanner.has_content
    scanner.feed(HI)
    assert scanner.has_content


def test_an_unknown_event_passes_and_of_one_without_data_its_comments() -> None:
    new = event({"type": "response.brand_new.delta", "delta": "x"})
    odd = [b": ping\n\n", new, b"\n\n", b"retry: 3\n\n", b"event: ping\ndata:\n\n"]
    scanned = scan(RESPONSES, REQUEST, [*OPENING, HI, *odd, END])
    assert (scanned.relayed, scanned.failure) == (
        b"".join([*OPENING, HI, b": ping\n", new, END]), None
    )  # fmt: skip


def test_half_an_emoji_in_an_event_breaks_nothing() -> None:
    half = END.replace(b'"message"', b'"message","text":"\\ud83d"')
    scanned = scan(RESPONSES, REQUEST, [*OPENING, HI, half])
    assert (scanned.failure, scanned.meter.usage) == (None, USAGE)


@pytest.mark.parametrize(
    "events",
    [
        [], OPENING, [*OPENING, whole("failed", error=BROKE)], [b"data: <html>\n\n"],
        [HI[:30]], [*OPENING, event({"type": "error", **BROKE})],
    ],
)  # fmt: skip
def test_a_stream_that_breaks_before_content_may_be_tried_again(events: list[bytes]) -> None:
    scanned = scan(RESPONSES, REQUEST, events)
    assert (scanned.relayed, type(scanned.failure)) == (b"", Transient)
    assert scanned.failure is not None
    assert scanned.failure.billed


@pytest.mark.parametrize(
    ("last", "told"),
    [
        ([], "ended the stream before response.completed"),
        ([DONE], "ended the stream before response.completed"),
        ([b'event: response.completed\ndata: {"type":"resp'], "before response.completed"),
        ([b"event: response.completed\n\n"], "before response.completed"),
        ([b"data: {\n\n"], "is not JSON"),
        ([whole("failed", error=BROKE)], "answered 500: it broke"),
        ([whole("cancelled")], "answered 500: the response ended as 'cancelled'"),
        ([event({"type": "error", **BROKE})], "answered 500: it broke"),
        ([event({"type": "error", **BROKE}).rstrip()], "answered 500: it broke"),
        ([b'data: {"error":{"message":"it broke"}}\n\n'], "answered 500: it broke"),
        ([b'event: error\ndata: {"message":"it broke","code":429}\n\n'], "429: it broke"),
        ([b'data: {"detail":"it broke"}\n\n'], "answered 500: it broke"),
    ],
)
def test_a_stream_that_breaks_after_content_is_a_broken_reply(last: list[bytes], told: str) -> None:
    scanned = scan(RESPONSES, REQUEST, [*OPENING, HI, *last])
    assert type(scanned.failure) is BrokenReply
    assert told in scanned.failure.message
    assert scanned.relayed.startswith(b"".join([*OPENING, HI]))
    assert b"it broke" not in scanned.relayed


def test_a_response_that_failed_is_paid_by_what_it_says_it_used() -> None:
    meter = scan(RESPONSES, REQUEST, [*OPENING, HI, whole("failed", error=BROKE, usage=USED)]).meter
    assert (meter.usage, meter.finished) == (USAGE, True)
    assert not scan(RESPONSES, REQUEST, [*OPENING, HI, whole("failed", error=BROKE)]).meter.finished


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("rate_limit_exceeded", RateLimited),
        ("insufficient_quota", OutOfCredit),
        ("invalid_prompt", BadRequest),
        ("context_length_exceeded", BadRequest),
        ("invalid_api_key", BadCredential),
        ("vector_store_timeout", Transient),
    ],
)
@pytest.mark.parametrize("by", ["error", "failed"])
def test_a_failure_before_content_means_what_its_code_says(
    by: str, code: str, kind: type[Failed]
) -> None:
    error = {"code": code, "message": "x"}
    last = event({"type": "error", **error}) if by == "error" else whole("failed", error=error)
    assert type(scan(RESPONSES, REQUEST, [*OPENING, last]).failure) is kind


@pytest.mark.parametrize("last", [whole("failed", error=BROKE), event({"type": "error", **BROKE})])
def test_the_reader_gets_the_providers_own_last_event(last: bytes) -> None:
    failure = scan(RESPONSES, REQUEST, [*OPENING, HI, last]).failure
    assert failure is not None
    written = RESPONSES.error_event(failure)
    name, data = written.split(b"\n")[:2]
    page = json.loads(data.removeprefix(b"data: "))
    assert page.pop("callgate")["code"] == "broken_reply"
    assert event(page) == last
    assert name == b"event: " + page["type"].encode()


def test_an_error_of_the_gates_own_is_an_event_that_the_official_sdk_raises() -> None:
    written = RESPONSES.error_event(BrokenReply("it ended too early", billed=True))
    page = json.loads(written.split(b"data: ")[1])
    assert written.startswith(b"event: error\ndata: ")
    assert (page["type"], page["code"], page["param"]) == ("error", "broken_reply", None)
    assert page["message"] == page["error"]["message"] == "it ended too early"
    assert isinstance(page["sequence_number"], int)
