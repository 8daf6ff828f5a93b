"""What a provider's refusal means: who must act, whether it cost money, and when to try again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from callgate.errors import (
    BadCredential,
    BadRequest,
    Failed,
    Forbidden,
    NoSuchModel,
    OutOfCredit,
    RateLimited,
    TimedOut,
    Transient,
)
from callgate.wire import Format
from callgate.wire.anthropic_messages import AnthropicMessages
from callgate.wire.failures import LONGEST_QUOTE
from callgate.wire.openai_chat import OpenAIChat

CHAT, MESSAGES = OpenAIChat(), AnthropicMessages()
BOTH = pytest.mark.parametrize("format", [CHAT, MESSAGES], ids=["openai", "anthropic"])


def failure(format: Format, status: int, error: Any = None, **headers: str) -> Failed:
    """Return what a refusal means."""
    body = json.dumps({"type": "error", "error": {"message": "no", **(error or {})}}).encode()
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return format.failure(status, named, body)


@BOTH
@pytest.mark.parametrize(
    ("status", "kind", "billed"),
    [
        (400, BadRequest, False),
        (401, BadCredential, False),
        (402, OutOfCredit, False),
        (403, Forbidden, False),
        (404, BadRequest, False),
        (405, BadRequest, False),
        (408, TimedOut, True),
        (409, BadRequest, False),
        (413, BadRequest, False),
        (422, BadRequest, False),
        (425, Transient, False),
        (429, RateLimited, False),
        (500, Transient, False),
        (502, Transient, False),
        (503, Transient, False),
        (504, TimedOut, True),
        (529, Transient, False),
    ],
)
def test_every_status_has_its_meaning(
    format: Format, status: int, kind: type[Failed], billed: bool
) -> None:
    failed = failure(format, status)
    assert (type(failed), failed.billed) == (kind, billed)
    assert f"{status}" in failed.message


def test_an_input_that_a_filter_has_judged_may_be_charged() -> None:
    filtered = failure(CHAT, 400, {"code": "content_filter", "param": "prompt"})
    assert (type(filtered), filtered.billed) == (BadRequest, True)


@BOTH
def test_the_answer_is_kept_as_it_was(format: Format) -> None:
    failed = format.failure(418, (("x-request-id", "r"),), b"\xff<html>")
    assert failed.answer is not None
    assert (failed.answer.status, failed.answer.headers) == (418, (("x-request-id", "r"),))
    assert failed.answer.body == b"\xff<html>"


@pytest.mark.parametrize(
    ("format", "error"),
    [
        (CHAT, {"code": "model_not_found"}),
        (CHAT, {"type": "not_found_error"}),
        (CHAT, {"type": "NotFoundError", "code": 404}),
        (CHAT, {"code": "DeploymentNotFound"}),
        (CHAT, {"param": "model"}),
        (MESSAGES, {"type": "not_found_error"}),
    ],
)
def test_a_model_that_is_not_there_is_told_from_a_path_that_is_not(
    format: Format, error: Any
) -> None:
    assert type(failure(format, 404, error)) is NoSuchModel


@pytest.mark.parametrize(
    ("format", "status", "error"),
    [
        (CHAT, 429, {"type": "insufficient_quota", "code": "insufficient_quota"}),
        (CHAT, 429, {"code": "credit_balance_exhausted"}),
        (CHAT, 400, {"code": "billing_hard_limit_reached"}),
        (MESSAGES, 429, {"details": {"error_code": "enforced_spend_limit_reached"}}),
        (MESSAGES, 429, {"details": {"error_code": "contract_spend_limit_reached"}}),
        (MESSAGES, 403, {"type": "billing_error"}),
    ],
)
def test_no_money_is_told_by_its_code(format: Format, status: int, error: Any) -> None:
    failed = failure(format, status, error, retry_after="1")
    assert type(failed) is OutOfCredit
    assert failed.reason.fix


@pytest.mark.parametrize(
    ("format", "error"),
    [
        (CHAT, {"message": "INSUFFICIENT QUOTA of parallel calls", "code": "rate_limit"}),
        (CHAT, {"code": ["insufficient_quota"]}),
        (MESSAGES, {"details": {"error_code": "ramp_limit_exceeded"}}),
        (MESSAGES, {"message": "your credit is low", "details": None}),
        (MESSAGES, {"details": {"error_code": ["contract_spend_limit_reached"]}}),
    ],
)
def test_prose_about_money_is_no_code(format: Format, error: Any) -> None:
    assert type(failure(format, 429, error)) is RateLimited


@BOTH
@pytest.mark.parametrize("status", [408, 429, 500, 503, 529])
def test_the_wait_that_the_provider_asks_for_is_told(format: Format, status: int) -> None:
    failed = failure(format, status, retry_after_ms="1500", retry_after="9")
    assert isinstance(failed, Transient)
    assert failed.retry_after_seconds == 1.5


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error":{"message":"too long"}}', "too long"),
        (b'{"error":"too long"}', "too long"),
        (b'{"object":"error","message":"too long","code":400}', "too long"),
        (b'{"detail":"too long"}', "too long"),
        (b'[{"error":{"message":"too long"}}]', "too long"),
        (b"<html>\n  too long\n</html>", "<html> too long </html>"),
        (b"", "(no body)"),
        (b'{"error":{}}', '{"error":{}}'),
    ],
)
def test_a_providers_words_are_found_in_every_form_of_an_error(body: bytes, said: str) -> None:
    assert CHAT.failure(400, (), body).message == f"the provider answered 400: {said}"


@BOTH
def test_a_key_in_a_providers_words_is_not_repeated(format: Format) -> None:
    failed = failure(format, 401, {"message": "Incorrect API key provided: sk-proj-abcdef123456"})
    assert "abcdef" not in failed.message
    assert "***" in failed.message


@BOTH
def test_a_providers_words_are_kept_short(format: Format) -> None:
    assert len(failure(format, 400, {"message": "x" * 9999}).message) < LONGEST_QUOTE + 50
