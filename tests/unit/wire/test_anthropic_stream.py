"""Message streams: relayed to the byte, metered on the way, and never taken for whole if they broke."""

from __future__ import annotations

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
    Forbidden,
    NoSuchModel,
    OutOfCredit,
    RateLimited,
    TimedOut,
    Transient,
)
from callgate.wire.anthropic_messages import AnthropicMessages
from tests.unit.wire.streams import cut, event, message_events, scan

MESSAGES = AnthropicMessages()
REQUEST = b'{"model":"m","messages":[],"max_tokens":9,"stream":true}'
BROKE: dict[str, Any] = {"type": "error", "error": {"type": "api_error", "message": "it broke"}}


def test_a_whole_stream_passes_to_the_byte_and_is_metered() -> None:
    stream = b"".join(message_events())
    scanned = scan(MESSAGES, REQUEST, [stream])
    assert (scanned.relayed, scanned.failure) == (stream, None)
    assert scanned.meter == Meter(
        usage=Usage(input_tokens=10, cache_read_tokens=3, output_tokens=7),
        finished=True, model="claude-x", reply_id="msg_1", finish_reason="end_turn",
    )  # fmt: skip


@given(st.data())
def test_the_relay_and_the_meter_do_not_depend_on_the_chunks(data: st.DataObject) -> None:
    events = message_events()[: data.draw(st.integers(0, 7))]
    if data.draw(st.booleans()):
        events.append(event(BROKE))
    stream = b"".join(events)
    whole, pieces = scan(MESSAGES, REQUEST, [stream]), scan(MESSAGES, REQUEST, [*cut(data, stream)])
    assert (pieces.relayed, pieces.meter) == (whole.relayed, whole.meter)
    assert (type(pieces.failure), str(pieces.failure)) == (type(whole.failure), str(whole.failure))


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"output_tokens": 7}, Usage(input_tokens=10, cache_read_tokens=3, output_tokens=7)),
        (
            {"output_tokens": 7, "input_tokens": 40, "cache_read_input_tokens": None},
            Usage(input_tokens=40, cache_read_tokens=3, output_tokens=7),
        ),
        (
            {"output_tokens": 7, "input_tokens": 0, "cache_read_input_tokens": 0},
            Usage(input_tokens=10, cache_read_tokens=3, output_tokens=7),
        ),
        (
            {"output_tokens": 7, "output_tokens_details": {"thinking_tokens": 5}},
            Usage(input_tokens=10, cache_read_tokens=3, output_tokens=2, reasoning_tokens=5),
        ),
        (
            {"output_tokens": 7, "iterations": [{"type": "compaction", "input_tokens": 100}]},
            Usage(input_tokens=110, cache_read_tokens=3, output_tokens=7),
        ),
    ],
)
def test_counters_of_the_last_event_are_cumulative_and_absent_ones_stand(
    told: dict[str, Any], usage: Usage
) -> None:
    assert scan(MESSAGES, REQUEST, message_events(delta_usage=told)).meter.usage == usage


def test_repeated_counters_are_not_added_up() -> None:
    events = message_events(
        delta_usage={"output_tokens": 7, "iterations": [{"type": "compaction", "input_tokens": 5}]}
    )
    twice = [*events[:6], *events[5:]]
    meter = scan(MESSAGES, REQUEST, twice).meter
    assert meter.usage == Usage(input_tokens=15, cache_read_tokens=3, output_tokens=7)


@pytest.mark.parametrize("usage", [{}, {"server_tool_use": {"web_fetch_requests": 1}}])
def test_a_stream_that_never_counts_its_output_leaves_the_usage_unknown(usage: Any) -> None:
    events = message_events()
    delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
    events[5] = event(delta)
    scanned = scan(MESSAGES, REQUEST, events)
    assert (scanned.meter.finished, scanned.meter.usage, scanned.failure) == (True, None, None)


def test_content_begins_with_the_first_delta() -> None:
    scanner = MESSAGES.scanner(MESSAGES.parse(REQUEST), Meter())
    for each in message_events()[:3]:
        scanner.feed(each)
    assert not scanner.has_content
    scanner.feed(message_events()[3])
    assert scanner.has_content


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        ([], Transient),
        (message_events()[:3], Transient),
        ([b"event: message_start\ndata: <html>\n\n"], Transient),
        (message_events()[:4], BrokenReply),
        (message_events()[:6], BrokenReply),
        ([*message_events()[:6], b"event: message_stop\n\n"], BrokenReply),
        ([*message_events()[:6], b"event: message_stop\ndata: {"], BrokenReply),
        ([*message_events()[:4], b"event: message_delta\ndata: {\n\n"], BrokenReply),
    ],
)
def test_a_stream_without_its_own_end_is_a_failure(events: list[bytes], kind: type[Failed]) -> None:
    failure = scan(MESSAGES, REQUEST, events).failure
    assert failure is not None
    assert (type(failure), failure.billed) == (kind, True)


@pytest.mark.parametrize(
    "last",
    [
        event(BROKE),
        event(BROKE).rstrip(),
        b'data: {"type":"error","error":{"message":"it broke"}}\n\n',
        b'event: error\ndata: {"error":{"message":"it broke"}}\n\n',
        b'event: error\ndata: {"message":"it broke"}\n\n',
        b'data: {"error":{"message":"it broke"}}\n\n',
    ],
)
def test_an_error_event_after_content_breaks_the_reply(last: bytes) -> None:
    scanned = scan(MESSAGES, REQUEST, [*message_events()[:4], last])
    assert type(scanned.failure) is BrokenReply
    assert "answered 500: it broke" in scanned.failure.message
    assert scanned.relayed == b"".join(message_events()[:4])


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (BadRequest, {"type": "invalid_request_error"}),
        (BadCredential, {"type": "authentication_error"}),
        (Forbidden, {"type": "permission_error"}),
        (OutOfCredit, {"type": "billing_error"}),
        (NoSuchModel, {"type": "not_found_error"}),
        (RateLimited, {"type": "rate_limit_error"}),
        (OutOfCredit, {"type": "x", "details": {"error_code": "contract_spend_limit_reached"}}),
        (TimedOut, {"type": "timeout_error"}),
        (Transient, {"type": "overloaded_error"}),
        (Transient, {"type": "brand_new_error"}),
    ],
)
def test_an_error_event_before_content_means_what_its_type_says(
    kind: type[Failed], told: dict[str, Any]
) -> None:
    page = {"type": "error", "error": {"message": "no", **told}}
    failure = scan(MESSAGES, REQUEST, [*message_events()[:3], event(page)]).failure
    assert failure is not None
    assert type(failure) is kind
    assert failure.billed == (kind in {TimedOut, Transient})


def test_a_text_that_speaks_of_errors_is_content() -> None:
    text = {"type": "text_delta", "text": 'event: error "error" {"type":"error"} message_stop'}
    events = message_events()
    events[3] = event({"type": "content_block_delta", "index": 0, "delta": text})
    assert scan(MESSAGES, REQUEST, events).failure is None


def test_an_event_without_a_name_gets_the_one_that_its_data_says() -> None:
    bare = [each.partition(b"\n")[2] for each in message_events()]
    scanned = scan(MESSAGES, REQUEST, bare)
    assert (scanned.relayed, scanned.failure) == (b"".join(message_events()), None)


@pytest.mark.parametrize(
    "odd",
    [
        b": ping\n\n",
        b'data: {"x":1}\n\n',
        b'data: {"type":"a\\nevent: b"}\n\n',
        b"data:\n\n",
        b"data: [DONE]\n\n",
    ],
)
def test_what_says_no_name_at_all_passes_as_it_is(odd: bytes) -> None:
    events = [*message_events()[:4], odd, *message_events()[4:]]
    assert scan(MESSAGES, REQUEST, events).relayed == b"".join(events)


def test_an_id_before_the_name_changes_nothing() -> None:
    events = [b"id: 1\n" + each for each in message_events()]
    assert scan(MESSAGES, REQUEST, events).relayed == b"".join(events)


def test_two_blocks_of_one_index_break_the_reply() -> None:
    events = message_events()
    failure = scan(MESSAGES, REQUEST, [*events[:5], events[1], *events[3:]]).failure
    assert type(failure) is BrokenReply
    assert "two blocks of index 0" in failure.message
