"""The gate's errors, as the official SDKs read them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from callgate.errors import (
    Answer,
    BrokenReply,
    CallgateError,
    Denied,
    Malformed,
    OverBudget,
    RateLimited,
    Reason,
    StoreDown,
    TooLarge,
    Unauthenticated,
    Unknown,
)
from callgate.wire.anthropic_messages import AnthropicMessages
from callgate.wire.openai_chat import OpenAIChat
from tests.unit.wire.streams import chunk, message_events

CHAT, MESSAGES = OpenAIChat(), AnthropicMessages()
HELLO: Any = [{"role": "user", "content": "hello"}]

BUDGET = OverBudget(
    "task t_1 has $0.10 left; this call can cost $0.30",
    reason=Reason(code="over_budget", rule="tasks.x.budget", used=4, fix="raise the budget"),
)
LATE = BrokenReply("the provider ended the stream before its end", billed=True)


def openai_client(status: int, body: bytes, content_type: str) -> openai.OpenAI:
    """Return the official client, to which every request is answered so."""
    transport = httpx2.MockTransport(_answering(status, body, content_type))
    http = httpx2.Client(transport=transport)
    return openai.OpenAI(api_key="k", base_url="http://gate/v1", http_client=http, max_retries=0)


def anthropic_client(status: int, body: bytes, content_type: str) -> anthropic.Anthropic:
    """Return the official client, to which every request is answered so."""
    transport = httpx2.MockTransport(_answering(status, body, content_type))
    http = httpx2.Client(transport=transport)
    return anthropic.Anthropic(api_key="k", base_url="http://gate", http_client=http, max_retries=0)


def _answering(
    status: int, body: bytes, content_type: str
) -> Callable[[httpx2.Request], httpx2.Response]:
    headers = {"content-type": content_type}
    return lambda _: httpx2.Response(status, content=body, headers=headers)


@pytest.mark.parametrize(
    ("error", "kind", "type_"),
    [
        (Malformed("m"), openai.BadRequestError, "invalid_request_error"),
        (Unauthenticated("m"), openai.AuthenticationError, "authentication_error"),
        (BUDGET, openai.APIStatusError, "insufficient_quota"),
        (Denied("m"), openai.PermissionDeniedError, "permission_error"),
        (Unknown("m"), openai.NotFoundError, "not_found_error"),
        (TooLarge("m"), openai.APIStatusError, "invalid_request_error"),
        (RateLimited("m", billed=False), openai.RateLimitError, "rate_limit_error"),
        (StoreDown("m"), openai.InternalServerError, "server_error"),
    ],
)
def test_openai_raises_what_fits(
    error: CallgateError, kind: type[openai.APIStatusError], type_: str
) -> None:
    client = openai_client(error.status, CHAT.error_body(error), "application/json")
    with pytest.raises(kind) as raised:
        client.chat.completions.create(model="m", messages=HELLO)
    caught = raised.value
    assert (caught.status_code, caught.type, caught.code) == (error.status, type_, error.code)


@pytest.mark.parametrize(
    ("error", "kind", "type_"),
    [
        (Malformed("m"), anthropic.BadRequestError, "invalid_request_error"),
        (Unauthenticated("m"), anthropic.AuthenticationError, "authentication_error"),
        (BUDGET, anthropic.APIStatusError, "billing_error"),
        (Denied("m"), anthropic.PermissionDeniedError, "permission_error"),
        (Unknown("m"), anthropic.NotFoundError, "not_found_error"),
        (TooLarge("m"), anthropic.APIStatusError, "request_too_large"),
        (RateLimited("m", billed=False), anthropic.RateLimitError, "rate_limit_error"),
        (StoreDown("m"), anthropic.InternalServerError, "api_error"),
    ],
)
def test_anthropic_raises_what_fits(
    error: CallgateError, kind: type[anthropic.APIStatusError], type_: str
) -> None:
    client = anthropic_client(error.status, MESSAGES.error_body(error), "application/json")
    with pytest.raises(kind) as raised:
        client.messages.create(model="m", messages=HELLO, max_tokens=9)
    assert (raised.value.status_code, raised.value.type) == (error.status, type_)


@pytest.mark.parametrize("format", [CHAT, MESSAGES])
def test_an_error_tells_the_sentence_its_remedy_and_the_reason(format: Any) -> None:
    page = json.loads(format.error_body(BUDGET))
    assert page["error"]["message"] == (
        "task t_1 has $0.10 left; this call can cost $0.30. What to do: raise the budget"
    )
    assert page["callgate"] == {
        "code": "over_budget", "rule": "tasks.x.budget", "used": 4, "fix": "raise the budget"
    }  # fmt: skip


def test_openai_raises_an_error_inside_a_stream() -> None:
    stream = chunk('{"content":"hi"}') + CHAT.error_event(LATE)
    client = openai_client(200, stream, "text/event-stream")
    pieces = client.chat.completions.create(model="m", messages=HELLO, stream=True)
    assert next(pieces).choices[0].delta.content == "hi"
    with pytest.raises(openai.APIError, match="ended the stream before its end"):
        next(pieces)


def test_anthropic_raises_an_error_inside_a_stream() -> None:
    stream = b"".join(message_events()[:4]) + MESSAGES.error_event(LATE)
    client = anthropic_client(200, stream, "text/event-stream")
    pieces = client.messages.create(model="m", messages=HELLO, max_tokens=9, stream=True)
    with pytest.raises(anthropic.APIStatusError, match="ended the stream before its end") as raised:
        list(pieces)
    assert raised.value.type == "api_error"


def with_answer(body: bytes) -> BrokenReply:
    """Return the failure of a stream that the provider itself broke off."""
    return BrokenReply("m", billed=True, answer=Answer(status=200, headers=(), body=body))


def test_the_words_of_the_provider_that_broke_a_stream_off_are_passed_on() -> None:
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"busy"},"request_id":"r"}'
    event = MESSAGES.error_event(with_answer(body))
    assert event.startswith(b"event: error\ndata: " + body[:-1] + b',"callgate":{')
    assert CHAT.error_event(with_answer(body)).startswith(b"data: " + body[:-1])


@pytest.mark.parametrize("body", [b"<html>", b'{"error":"busy"}', b'{"message":"busy"}'])
def test_words_that_the_sdk_would_not_take_for_an_error_are_told_in_our_form(body: bytes) -> None:
    page = json.loads(CHAT.error_event(with_answer(body)).removeprefix(b"data: "))
    assert page["error"] == {
        "message": "m", "type": "server_error", "param": None, "code": "broken_reply"
    }  # fmt: skip
