"""Converse as the gate speaks it to Bedrock: requests, replies, streams and refusals."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from typing import Any, Final

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
    Malformed,
    NoSuchModel,
    RateLimited,
    TimedOut,
    Transient,
)
from callgate.testing.simulator.formats.event_frames import event_frame, exception_frame, frame
from callgate.wire.bedrock_converse import BedrockConverse
from callgate.wire.event_stream import Frames
from tests.unit.wire.codec.upstreams import CONVERSED, converse_stream
from tests.unit.wire.streams import cut

CONVERSE: Final = BedrockConverse()
HI: Final = [{"role": "user", "content": [{"text": "hi"}]}]
PNG: Final = b64encode(
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (640).to_bytes(4) + (480).to_bytes(4) + b"\x08\2\0\0\0"
).decode()
IMAGE: Final = {"image": {"format": "png", "source": {"bytes": PNG}}}


def parse(**fields: Any) -> Any:
    body = json.dumps({"messages": HI, **fields}).encode()
    return CONVERSE.parse(body, model="m", stream=True)


def user(*blocks: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(blocks)}]


@pytest.mark.parametrize(
    ("model", "stream", "path"),
    [
        ("amazon.nova-pro-v1:0", False, "/model/amazon.nova-pro-v1%3A0/converse"),
        ("a.b-c_d~1", True, "/model/a.b-c_d~1/converse-stream"),
        ("arn:aws:bedrock:eu:1:p/x", False, "/model/arn%3Aaws%3Abedrock%3Aeu%3A1%3Ap%2Fx/converse"),
    ],
)
def test_a_model_is_in_the_path_as_awss_own_client_writes_it(
    model: str, stream: bool, path: str
) -> None:
    assert CONVERSE.path(model=model, stream=stream) == path


def test_a_request_tells_what_the_gate_must_know() -> None:
    request = parse(
        system=[{"text": "Be brief."}],
        inferenceConfig={"maxTokens": 9},
        toolConfig={"tools": [{"toolSpec": {"name": "sun"}}]},
        serviceTier={"type": "flex"},
    )
    assert (request.model, request.stream, request.output_limit) == ("m", True, 9)
    assert (request.messages, request.has_tools, request.opaque) == (3, True, None)
    assert request.service_tier == "flex"


@pytest.mark.parametrize("messages", [HI, user({"text": "a"}, {"cachePoint": {"type": "default"}})])
def test_words_are_bounded_by_their_bytes(messages: Any) -> None:
    assert parse(messages=messages).opaque is None


def test_an_image_counts_what_its_provider_says_also_in_a_result() -> None:
    result = {"toolResult": {"toolUseId": "a", "content": [IMAGE, {"json": {"a": 1}}]}}
    request = parse(messages=user({"text": "See:"}, IMAGE, result))
    assert (request.image_sizes, request.opaque) == (((640, 480), (640, 480)), None)
    assert request.image_bytes == 2 * len(PNG)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"messages": user({"document": {"source": {"bytes": "AA=="}}})}, "type 'document'"),
        ({"messages": user({"video": {}})}, "type 'video'"),
        ({"messages": user({})}, "type 'nothing'"),
        ({"guardrailConfig": {"guardrailIdentifier": "g"}}, "guardrailConfig"),
        ({"toolConfig": {"tools": [{"systemTool": {"name": "s"}}]}}, "tool that the provider runs"),
    ],
)
def test_what_its_bytes_do_not_bound_is_told(fields: dict[str, Any], found: str) -> None:
    assert found in (parse(**fields).opaque or "")


def test_a_document_of_words_is_bounded_and_an_image_elsewhere_has_no_size() -> None:
    words = {"document": {"format": "txt", "name": "a", "source": {"text": "words"}}}
    stored = {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://a/b"}}}}
    request = parse(messages=user(words, stored))
    assert (request.opaque, request.image_sizes) == (None, (None,))


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"messages":5}', b'{"messages":[1]}'])
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        CONVERSE.parse(body)


@pytest.mark.parametrize(
    ("config", "told"),
    [(None, {"maxTokens": 7}), ({"temperature": 1}, {"temperature": 1, "maxTokens": 7})],
)
def test_a_limit_is_put_into_the_object_that_has_it(config: Any, told: dict[str, Any]) -> None:
    request = parse() if config is None else parse(inferenceConfig=config)
    rewrite = CONVERSE.rewrite(request, model="m", output_tokens=7, limit_field=None)
    assert json.loads(rewrite.body)["inferenceConfig"] == told
    assert rewrite.changes == ("inferenceConfig.maxTokens=7",)


def test_a_request_with_its_own_limit_leaves_as_it_is() -> None:
    request = parse(inferenceConfig={"maxTokens": 9})
    rewrite = CONVERSE.rewrite(request, model="m", output_tokens=None, limit_field=None)
    assert (rewrite.body, rewrite.changes) == (request.document.source, ())


def reply(**changes: Any) -> bytes:
    page = {
        "output": {"message": {"role": "assistant", "content": CONVERSED}},
        "stopReason": "tool_use",
        "usage": {"inputTokens": 9, "outputTokens": 4, "totalTokens": 13},
    }
    return json.dumps({**page, **changes}).encode()


def metered(body: bytes) -> Meter:
    meter = Meter()
    CONVERSE.read(body, meter)
    return meter


def test_a_reply_is_metered() -> None:
    meter = metered(reply(serviceTier={"type": "flex"}))
    assert meter.usage == Usage(input_tokens=9, output_tokens=4)
    assert (meter.finished, meter.finish_reason, meter.service_tier) == (True, "tool_use", "flex")


def test_a_reply_that_counts_nothing_has_an_unknown_usage() -> None:
    assert metered(reply(usage={})).usage is None


def test_a_lifetime_of_a_cache_that_the_total_leaves_out_is_still_counted() -> None:
    usage = {"inputTokens": 1, "cacheDetails": [{"ttl": "1h", "inputTokens": 5}]}
    counted = metered(reply(usage=usage)).usage
    assert counted == Usage(input_tokens=1, cache_write_long_tokens=5)


def test_what_no_price_of_tokens_covers_is_told() -> None:
    assert metered(reply(trace={"guardrail": {"actionReason": "x"}})).unpriced == "guardrails"
    fast = reply(performanceConfig={"latency": "optimized"})
    assert metered(fast).service_tier == "optimized"


@pytest.mark.parametrize("body", [b"", b"{}", b'{"output":{}}', b"[1]"])
def test_what_is_no_reply_is_broken(body: bytes) -> None:
    with pytest.raises(BrokenReply):
        metered(body)


def scan(chunks: Sequence[bytes]) -> tuple[bytes, Meter, Failed | None]:
    """Put a stream through the scanner; return what it relays, the meter, and what broke it."""
    meter = Meter()
    scanner = CONVERSE.scanner(parse(), meter)
    relayed = b""
    try:
        for chunk in chunks:
            relayed += scanner.feed(chunk)
        relayed += scanner.end()
    except Failed as failure:
        return relayed, meter, failure
    return relayed, meter, None


STREAM: Final = converse_stream(*CONVERSED, stop="tool_use")


@given(data=st.data())
def test_a_stream_is_relayed_and_metered_however_it_is_cut(data: st.DataObject) -> None:
    relayed, meter, failure = scan(list(cut(data, STREAM)))
    assert (relayed, failure) == (STREAM, None)
    assert meter.usage == Usage(input_tokens=9, output_tokens=4)
    assert (meter.finished, meter.finish_reason) == (True, "tool_use")


def test_a_stream_that_ends_before_its_last_content_is_broken() -> None:
    relayed, meter, failure = scan([STREAM[: len(STREAM) // 2]])
    assert isinstance(failure, BrokenReply)
    assert (STREAM.startswith(relayed), meter.finished) == (True, False)


def test_a_stream_without_its_usage_is_whole_with_an_unknown_usage() -> None:
    *frames, _ = Frames().feed(STREAM)
    _, meter, failure = scan(frames)
    assert (meter.usage, meter.finished, failure) == (None, True, None)


def test_a_wrong_byte_after_content_breaks_a_stream_and_never_changes_it() -> None:
    spoiled = STREAM[:-20] + b"\xff" + STREAM[-19:]
    relayed, _, failure = scan([spoiled])
    assert isinstance(failure, BrokenReply)
    assert STREAM.startswith(relayed)


EXCEPTIONS: Final = [
    ("throttlingException", RateLimited),
    ("modelStreamErrorException", Transient),
    ("internalServerException", Transient),
    ("serviceUnavailableException", Transient),
    ("validationException", BadRequest),
    ("modelTimeoutException", TimedOut),
    ("somethingNewException", Transient),
]


@pytest.mark.parametrize(("kind", "failure"), EXCEPTIONS)
def test_an_exception_before_content_has_its_meaning(kind: str, failure: type[Failed]) -> None:
    begun = event_frame("messageStart", b'{"role":"assistant"}')
    told = scan([begun + exception_frame(kind, b'{"message":"no"}')])[2]
    assert isinstance(told, failure)
    assert (type(told), "no" in told.message) == (failure, True)


@pytest.mark.parametrize(("kind", "_"), EXCEPTIONS)
def test_an_exception_after_content_breaks_the_reply(kind: str, _: type[Failed]) -> None:
    delta = event_frame("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"a"}}')
    told = scan([delta, exception_frame(kind, b'{"message":"no"}')])[2]
    assert isinstance(told, BrokenReply)
    assert told.billed


def test_an_error_without_a_name_is_told_in_its_words() -> None:
    told = scan([frame({":message-type": "error", ":error-message": "Odd."}, b"")])[2]
    assert isinstance(told, Transient)
    assert "Odd." in told.message


def refusal(status: int, code: str, page: Any = None, *, in_body: bool = False) -> Failed:
    body = json.dumps(
        {"message": "no", **(page or {}), **({"__type": f"x#{code}"} if in_body else {})}
    )
    url = "http://internal.amazon.com/coral/"
    headers = () if in_body else (("x-amzn-errortype", f"{code}:{url}"),)
    return CONVERSE.failure(status, headers, body.encode())


@pytest.mark.parametrize("in_body", [False, True])
@pytest.mark.parametrize(
    ("status", "code", "kind", "billed"),
    [
        (400, "ValidationException", BadRequest, False),
        (400, "ServiceQuotaExceededException", RateLimited, False),
        (403, "AccessDeniedException", Forbidden, False),
        (403, "UnrecognizedClientException", BadCredential, False),
        (403, "InvalidSignatureException", BadCredential, False),
        (403, "ExpiredTokenException", BadCredential, False),
        (404, "ResourceNotFoundException", NoSuchModel, False),
        (404, "UnknownOperationException", BadRequest, False),
        (408, "ModelTimeoutException", TimedOut, True),
        (424, "ModelErrorException", Transient, False),
        (429, "ThrottlingException", RateLimited, False),
        (429, "ModelNotReadyException", Transient, False),
        (500, "InternalServerException", Transient, False),
        (503, "ServiceUnavailableException", Transient, False),
    ],
)
def test_every_refusal_has_its_meaning(
    status: int, code: str, kind: type[Failed], billed: bool, in_body: bool
) -> None:
    failure = refusal(status, code, in_body=in_body)
    assert (type(failure), failure.billed) == (kind, billed)
    assert "no" in failure.message


@pytest.mark.parametrize(
    ("original", "kind"),
    [(400, BadRequest), (429, RateLimited), (403, Transient), (500, Transient), (None, Transient)],
)
def test_a_model_behind_bedrock_that_refuses_the_request_itself_is_told_apart(
    original: int | None, kind: type[Failed]
) -> None:
    page = {"originalStatusCode": original}
    assert type(refusal(424, "ModelErrorException", page)) is kind


def test_a_page_that_is_no_json_is_a_failure_all_the_same() -> None:
    failure = CONVERSE.failure(502, (), b"<html>Bad Gateway</html>")
    assert isinstance(failure, Transient)
