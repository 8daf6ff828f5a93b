"""Chat streams: relayed to the byte, metered on the way, and never taken for whole if they broke."""

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
    NoSuchModel,
    OutOfCredit,
    RateLimited,
    Transient,
)
from callgate.wire.openai_chat import OpenAIChat
from tests.unit.wire.streams import DONE, chat_events, chunk, cut, scan, usage_chunk

CHAT = OpenAIChat()
SILENT = b'{"model":"m","messages":[],"stream":true}'
ASKED = b'{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}'
USED = Usage(input_tokens=9, output_tokens=4)
OPENING = chunk('{"role":"assistant","content":""}')
HI = chunk('{"content":"hi"}')
STOP = chunk("{}", finish='"stop"')


def failure_of(*events: bytes) -> tuple[bytes, Failed]:
    """Return what a stream relays before it fails, and how it fails."""
    scanned = scan(CHAT, ASKED, events)
    assert scanned.failure is not None
    return scanned.relayed, scanned.failure


def test_a_client_that_asked_for_usage_gets_every_byte() -> None:
    stream = b"".join(chat_events(with_usage=True))
    scanned = scan(CHAT, ASKED, [stream])
    assert (scanned.relayed, scanned.failure) == (stream, None)
    assert scanned.meter == Meter(
        usage=USED, finished=True, model="gpt-5.5-2026", reply_id="chatcmpl-1", finish_reason="stop"
    )


def test_a_client_that_did_not_ask_gets_what_it_would_have_got() -> None:
    scanned = scan(CHAT, SILENT, [b"".join(chat_events(with_usage=True))])
    assert scanned.relayed == b"".join(chat_events(with_usage=False))
    assert scanned.meter.usage == USED


@given(st.data(), st.booleans())
def test_the_relay_and_the_meter_do_not_depend_on_the_chunks(
    data: st.DataObject, asked: bool
) -> None:
    stream = b"".join(chat_events(with_usage=True))
    if data.draw(st.booleans()):
        stream = stream.replace(b"\n", b"\r\n")
    request = ASKED if asked else SILENT
    whole, pieces = scan(CHAT, request, [stream]), scan(CHAT, request, list(cut(data, stream)))
    assert (pieces.relayed, pieces.meter) == (whole.relayed, whole.meter)
    assert whole.meter.usage == USED


@given(
    st.data(), st.sampled_from([b'data: {"error":{"message":"x"}}\n\n', b"data: <html>\n\n", b""])
)
def test_a_stream_breaks_off_in_the_same_place_in_any_chunks(
    data: st.DataObject, last: bytes
) -> None:
    events = chat_events(with_usage=True)
    stream = b"".join(events[: data.draw(st.integers(0, 3))]) + last
    whole, pieces = scan(CHAT, SILENT, [stream]), scan(CHAT, SILENT, list(cut(data, stream)))
    assert pieces.relayed == whole.relayed
    assert (type(pieces.failure), str(pieces.failure)) == (type(whole.failure), str(whole.failure))
    assert not whole.meter.finished


@pytest.mark.parametrize(
    ("told", "left"),
    [
        (b'{"choices":[{}],"usage":null}', b'{"choices":[{}]}'),
        (b'{"usage": null , "choices":[{}]}', b'{"choices":[{}]}'),
        (b'{"choices": [{}], "usage": null, "x": 1}', b'{"choices": [{}], "x": 1}'),
        (b'{"x":{"usage":null},"choices":[{}]}', b'{"x":{"usage":null},"choices":[{}]}'),
        (b'{"x":{"usage":null},"choices":[],"usage":null}', b'{"x":{"usage":null},"choices":[]}'),
        (b'{"choices":[{}],"usage":{"prompt_tokens":1}}',) * 2,
    ],
)
@pytest.mark.parametrize("has_content", [False, True])
def test_only_the_empty_usage_that_we_asked_for_is_left_out(
    told: bytes, left: bytes, has_content: bool
) -> None:
    scanner = CHAT.scanner(CHAT.parse(SILENT), Meter())
    if has_content:
        scanner.feed(HI)
    assert scanner.feed(b"data: " + told + b"\n\n") == b"data: " + left + b"\n\n"


def test_the_first_event_of_azure_is_no_usage() -> None:
    first = b'data: {"choices":[],"prompt_filter_results":[{"prompt_index":0}]}\n\n'
    assert scan(CHAT, SILENT, [first, HI, STOP, DONE]).relayed.startswith(first)


def test_the_latest_usage_stands_and_is_never_added_up() -> None:
    counts: list[dict[str, Any]] = [
        {"prompt_tokens": 9, "completion_tokens": done} for done in (1, 2, 4)
    ]
    scanned = scan(CHAT, ASKED, [HI, *(usage_chunk(**each) for each in counts), STOP, DONE])
    assert scanned.meter.usage == USED


def test_usage_that_counts_nothing_takes_nothing_back() -> None:
    told = usage_chunk(prompt_tokens=9, completion_tokens=4)
    assert scan(CHAT, ASKED, [HI, told, usage_chunk(), STOP, DONE]).meter.usage == USED


def test_a_stream_without_usage_ends_well_and_leaves_it_unknown() -> None:
    scanned = scan(CHAT, SILENT, chat_events(with_usage=False))
    assert (scanned.meter.finished, scanned.meter.usage, scanned.failure) == (True, None, None)


def test_ids_and_unknown_events_pass() -> None:
    events = [b"id: 6\n" + OPENING, b'data: {"x":1}\n\n', b": ping\n" + HI, STOP, DONE]
    scanned = scan(CHAT, SILENT, events)
    assert (scanned.relayed, scanned.failure) == (b"".join(events), None)


@pytest.mark.parametrize(
    ("event", "left"),
    [
        (b": ping\n\n", b": ping\n"),
        (b": ping\r\n:\r\n\r\n", b": ping\r\n:\r\n"),
        (b": ping\r\r", b": ping\r"),
        (b"id: 7\nretry: 3\n: ping\n\n", b": ping\n"),
        (b"data:\n\n", b""),
        (b"event: ping\ndata: \n\n", b""),
    ],
)
@pytest.mark.parametrize("before", [b"", HI])
def test_of_an_event_without_data_only_its_comments_pass(
    before: bytes, event: bytes, left: bytes
) -> None:
    scanned = scan(CHAT, SILENT, [before, event, HI, STOP, DONE])
    assert scanned.relayed == before + left + HI + STOP + DONE


def call(**fields: Any) -> bytes:
    return chunk(json.dumps({"tool_calls": [fields]}, separators=(",", ":")))


def calls_in(stream: bytes) -> list[Any]:
    """Return every piece of a call, in order."""
    lines = [line[6:] for line in stream.split(b"\n") if b"tool_calls" in line]
    return [json.loads(line)["choices"][0]["delta"]["tool_calls"][0] for line in lines]


def test_calls_that_are_numbered_rightly_pass_to_the_byte() -> None:
    events = [call(index=0, id="a", function={"name": "sun", "arguments": ""}),
              call(index=0, function={"arguments": "{}"}),
              call(index=1, id="b", function={"name": "rain", "arguments": "{}"}), STOP, DONE]  # fmt: skip
    assert scan(CHAT, SILENT, events).relayed == b"".join(events)


@pytest.mark.parametrize("indexes", [(0, 0), (3, 5), (2, 1), (None, None)])
def test_calls_are_numbered_from_0_in_the_order_in_which_they_begin(indexes: Any) -> None:
    events = [call(index=indexes[0], id="a"), call(index=indexes[1], id="b"),
              call(index=indexes[1], function={"arguments": "{}"}), STOP, DONE]  # fmt: skip
    told = calls_in(scan(CHAT, SILENT, events).relayed)
    assert [piece["index"] for piece in told] == [0, 1, 1]


def test_an_id_and_a_name_that_are_repeated_are_told_once() -> None:
    piece: Any = {"index": 0, "id": "a", "function": {"name": "sun", "arguments": "{"}}
    first, second = calls_in(scan(CHAT, SILENT, [call(**piece), call(**piece), STOP, DONE]).relayed)
    assert first == piece
    assert second == {"index": 0, "function": {"arguments": "{"}}


def test_an_id_that_comes_later_is_still_the_first_calls() -> None:
    events = [call(index=0, function={"name": "sun"}), call(index=0, id="a"), STOP, DONE]
    assert scan(CHAT, SILENT, events).relayed == b"".join(events)


def test_each_of_several_answers_has_calls_of_its_own() -> None:
    piece = call(index=0, id="a")
    other = piece.replace(b'"choices":[{"index":0', b'"choices":[{"index":1').replace(
        b'"a"', b'"b"'
    )
    assert scan(CHAT, SILENT, [piece, other, STOP, DONE]).relayed == piece + other + STOP + DONE


def test_a_call_that_cannot_be_read_breaks_the_reply() -> None:
    _, failure = failure_of(HI, b'data: {"choices":[{"delta":{"tool_calls":[{]}}]}\n\n')
    assert type(failure) is BrokenReply


def test_half_an_emoji_in_an_event_breaks_nothing() -> None:
    events = [chunk('{"content":"\\ud83d"}', usage="null"), STOP, DONE]
    scanned = scan(CHAT, SILENT, events)
    assert scanned.failure is None
    assert scanned.relayed.startswith(chunk('{"content":"\\ud83d"}'))


def test_content_begins_with_the_first_thing_that_a_reader_would_miss() -> None:
    scanner = CHAT.scanner(CHAT.parse(SILENT), Meter())
    scanner.feed(b": ping\n\n" + OPENING)
    assert not scanner.has_content
    scanner.feed(chunk('{"tool_calls":[{"index":0,"id":"c"}]}'))
    assert scanner.has_content


@pytest.mark.parametrize(
    "events",
    [
        [],
        [OPENING],
        [b"data: <html>\n\n"],
        [b"data: {\n\n"],
        [OPENING, b'data: {"error":{"message":"overloaded"}}\n\n'],
        [HI[:40]],
    ],
)
def test_a_stream_that_breaks_before_content_may_be_tried_again(events: list[bytes]) -> None:
    relayed, failure = failure_of(*events)
    assert (relayed, type(failure), failure.billed) == (b"", Transient, True)


@pytest.mark.parametrize(
    ("last", "told"),
    [
        ([], "ended the stream before [DONE]"),
        ([STOP], "ended the stream before [DONE]"),
        ([STOP, usage_chunk(prompt_tokens=1, completion_tokens=1)], "before [DONE]"),
        ([b"data: {"], "before [DONE]"),
        ([b"data: [DON"], "before [DONE]"),
        ([b"data: <html>\n\n"], "is not JSON"),
        ([b"data: 5\n\n"], "is no JSON object"),
        ([b'data: {"error":{"message":"it broke"}}\n\n'], "answered 500: it broke"),
        ([b'data: {"error":"it broke"}\n\n'], "answered 500: it broke"),
        ([b'data: {"error":{"message":"it broke"}}'], "answered 500: it broke"),
        ([b'event: error\ndata: {"message":"it broke","code":429}\n\n'], "429: it broke"),
        ([b'data: {"object":"error","message":"it broke"}\n\n'], "answered 500: it broke"),
        ([b'data: {"detail":"it broke"}\n\n'], "answered 500: it broke"),
        ([b'data: {"choices":[{}],"error":{"message":"it broke"}}\n\n'], "500: it broke"),
    ],
)
def test_a_stream_that_breaks_after_content_is_a_broken_reply(last: list[bytes], told: str) -> None:
    relayed, failure = failure_of(HI, *last)
    assert (type(failure), failure.billed) == (BrokenReply, True)
    assert told in failure.message
    assert relayed.startswith(HI)
    assert b"it broke" not in relayed


def test_the_words_of_the_provider_stay_with_the_failure() -> None:
    body = b'{"error":{"message":"it broke"}}'
    _, failure = failure_of(HI, b"data: " + body + b"\n\n")
    assert failure.answer is not None
    assert failure.answer.body == body


def test_a_failure_with_nothing_before_it_is_told_at_once() -> None:
    scanner = CHAT.scanner(CHAT.parse(ASKED), Meter())
    scanner.feed(HI)
    with pytest.raises(BrokenReply):
        scanner.feed(b'data: {"error":{"message":"x"}}\n\n')


def test_what_came_before_a_failure_in_the_same_chunk_is_relayed() -> None:
    scanner = CHAT.scanner(CHAT.parse(ASKED), Meter())
    assert scanner.feed(HI + b'data: {"error":{"message":"x"}}\n\n' + HI) == HI
    with pytest.raises(BrokenReply):
        scanner.feed(HI)
    with pytest.raises(BrokenReply):
        scanner.end()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ('{"message":"x","type":"invalid_request_error"}', BadRequest),
        ('{"message":"x","type":"server_error","code":"context_length_exceeded"}', BadRequest),
        ('{"message":"x","type":"BadRequestError","code":400}', BadRequest),
        ('{"message":"x","code":"rate_limit_exceeded"}', RateLimited),
        ('{"message":"x","code":"insufficient_quota"}', OutOfCredit),
        ('{"message":"x","code":402}', OutOfCredit),
        ('{"message":"x","code":"invalid_api_key"}', BadCredential),
        ('{"message":"x","code":"model_not_found"}', NoSuchModel),
        ('{"message":"x","type":"server_error"}', Transient),
        ('{"message":"x","code":99}', Transient),
    ],
)
def test_an_error_event_before_content_means_what_its_code_says(
    error: str, kind: type[Failed]
) -> None:
    body = f'{{"error":{error}}}'.encode()
    relayed, failure = failure_of(OPENING, b"data: " + body + b"\n\n")
    assert (type(failure), relayed) == (kind, b"")
    assert failure.answer is not None
    assert failure.answer.body == body


def test_the_last_event_needs_no_blank_line() -> None:
    events = [HI, STOP, b"data: [DONE]"]
    scanned = scan(CHAT, SILENT, events)
    assert (scanned.relayed, scanned.failure) == (b"".join(events), None)


def test_what_comes_after_the_end_is_relayed_and_changes_nothing() -> None:
    events = [HI, STOP, DONE, DONE, b": bye"]
    scanned = scan(CHAT, SILENT, events)
    assert (scanned.relayed, scanned.failure) == (b"".join(events), None)


def test_an_event_with_a_double_key_is_relayed_as_it_came() -> None:
    odd = b'data: {"choices":[{}],"usage":null,"usage":null}\n\n'
    assert scan(CHAT, SILENT, [HI, odd, STOP, DONE]).relayed == HI + odd + STOP + DONE
