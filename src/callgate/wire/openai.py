"""What all formats of OpenAI have in common: how they say what is wrong, and how they count."""

from __future__ import annotations

from functools import partial
from typing import Any, Final, cast

import msgspec

from callgate.call import Headers, Usage
from callgate.errors import CallgateError, Failed
from callgate.wire.failures import (
    FIRST_ERROR,
    JSON_HEADERS,
    LAST_ERROR,
    Complaint,
    error_object,
    failure_of,
    quote,
    sentence_of,
)
from callgate.wire.replies import count, member

MONEY_CODES: Final = frozenset({
    "insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached",
    "billing_not_active", "exceeded_current_quota_error",
})  # fmt: skip
"""Structured codes that mean money, never a rate; prose is never matched.

Source: OpenAI's error codes guide; ``exceeded_current_quota_error`` is Moonshot's.
"""

MODEL_CODES: Final = frozenset({
    "model_not_found", "not_found_error", "NotFoundError", "DeploymentNotFound",
})  # fmt: skip
"""Codes of a 404 that mean the model: OpenAI, compatible servers, vLLM, Azure."""

FILTERED: Final = "content_filter"
"""Azure's code for an input that its filter has judged, and charges for."""

TYPES_BY_STATUS: Final = {
    400: "invalid_request_error", 401: "authentication_error", 402: "insufficient_quota",
    403: "permission_error", 404: "not_found_error", 413: "invalid_request_error",
    429: "rate_limit_error",
}  # fmt: skip

STATUS_BY_CODE: Final = {
    "invalid_request_error": 400, "context_length_exceeded": 400, "BadRequestError": 400,
    "authentication_error": 401, "invalid_api_key": 401, "permission_error": 403,
    "model_not_found": 404, "not_found_error": 404, "NotFoundError": 404,
    "rate_limit_error": 429, "rate_limit_exceeded": 429, "slow_down": 429,
    "server_is_overloaded": 503,
    **dict.fromkeys(
        ("invalid_prompt", "data_residency_mismatch", "bio_policy", "misalignment_policy_violation",
         "invalid_image", "invalid_image_format", "invalid_base64_image", "invalid_image_url",
         "image_too_large", "image_too_small", "image_parse_error",
         "image_content_policy_violation", "invalid_image_mode", "image_file_too_large",
         "unsupported_image_media_type", "empty_image_file", "failed_to_download_image",
         "image_file_not_found"),
        400,
    ),
}  # fmt: skip
"""The status that an error inside a reply would have had as a plain answer.

Source: OpenAI's error codes guide; openai-python 3.57 (``ResponseError.code``).
"""

CHARGED_COUNTERS: Final = (
    "tool_usage", "server_tool_use", "server_side_tool_usage", "server_side_tool_usage_details",
    "num_sources_used", "num_search_queries", "num_server_side_tools_used",
)  # fmt: skip
"""What in a usage counts work that is charged by its uses.

Source: openai-python 3.57 (``tool_usage``); the docs of OpenRouter (``server_tool_use``), xAI
(``server_side_tool_usage``, ``num_sources_used``, ``num_server_side_tools_used``) and Perplexity
(``num_search_queries``).
"""

MEDIA_COUNTERS: Final = ("audio_tokens", "image_tokens", "video_tokens")


class OpenAIFormat:
    """One format of OpenAI: all have the same errors."""

    api = "openai"
    costs_output = True

    def failure(self, status: int, headers: Headers, body: bytes, /) -> Failed:
        """Say what a refusal means."""
        return failure_of(complaint(status, headers, body))

    def error_body(self, error: CallgateError, /) -> bytes:
        """Return OpenAI's error object, with ours beside it."""
        return msgspec.json.encode({"error": told(error), "callgate": error.reason})


def told(error: CallgateError) -> dict[str, Any]:
    """Return OpenAI's error object."""
    return {
        "message": sentence_of(error),
        "type": TYPES_BY_STATUS.get(error.status, "server_error"),
        "param": None,
        "code": error.reason.code,
    }


def complaint(status: int, headers: Headers, body: bytes, *, began: bool = False) -> Complaint:
    """Read a refusal, by its status and the codes of its body."""
    error = error_object(body)
    codes = {str(error.get("code")), str(error.get("type"))}
    return Complaint(
        status=status,
        headers=headers,
        body=body,
        message=quote(error, body),
        is_money=bool(codes & MONEY_CODES),
        is_model=bool(codes & MODEL_CODES) or error.get("param") == "model",
        is_filtered=FILTERED in codes,
        began=began,
    )


def complaint_in(data: bytes) -> Complaint:
    """Read an error that came with a status of 200, by the status that its code stands for."""
    error = error_object(data)
    status = 500
    for code in (error.get("type"), error.get("code")):
        if isinstance(code, int) and FIRST_ERROR <= code <= LAST_ERROR:
            status = code
        elif isinstance(code, str):
            status = STATUS_BY_CODE.get(code, status)
    return complaint(status, JSON_HEADERS, data, began=True)


def buckets(
    input: int, output: int, *, of_input: dict[str, Any], of_output: dict[str, Any]
) -> Usage:
    """Return counters as disjoint buckets.

    Input includes what was read from and written to a cache, output includes reasoning. Details
    that add up to more than what they are part of are cut to it, so that the sum of the buckets is
    the total that is billed.

    Args:
        input: All tokens of the input.
        output: All tokens of the output.
        of_input: The details of the input.
        of_output: The details of the output.

    Source: openai-python 3.57 (``CompletionUsage``, ``ResponseUsage``).
    """
    read = min(input, count(of_input, "cached_tokens") or 0)
    written = min(input - read, count(of_input, "cache_write_tokens") or 0)
    by_lifetime = member(of_input, "cache_write_tokens_details")
    long = min(written, count(by_lifetime, "ttl_12h_tokens") or 0)
    reasoning = min(output, count(of_output, "reasoning_tokens") or 0)
    return Usage(
        input_tokens=input - read - written,
        cache_read_tokens=read,
        cache_write_tokens=written - long,
        cache_write_long_tokens=long,
        output_tokens=output - reasoning,
        reasoning_tokens=reasoning,
    )


def charged_in(usage: dict[str, Any]) -> str | None:
    """Return which counter tells of work that is charged by its uses; None if none does."""
    if usage.keys().isdisjoint(CHARGED_COUNTERS):
        return None
    return next(filter(partial(_counts, usage), CHARGED_COUNTERS), None)


def _counts(usage: dict[str, Any], key: str) -> bool:
    """Whether a counter, or any of those inside it, is over 0."""
    value = usage.get(key)
    if isinstance(value, dict):
        inside = cast("dict[str, Any]", value)
        return any(_counts(inside, each) for each in inside)
    return bool(value)


def has_media(*details: dict[str, Any]) -> bool:
    """Whether details count tokens of pictures or sounds."""
    told = [each for each in details if not each.keys().isdisjoint(MEDIA_COUNTERS)]
    return any(count(each, kind) for each in told for kind in MEDIA_COUNTERS)
