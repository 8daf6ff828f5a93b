"""How Anthropic words its errors."""

from __future__ import annotations

from typing import Final

from callgate.testing.simulator.formats.format import Errors, ErrorSpec, Wording, wording

ERRORS: Final[Errors] = {
    (400, None): Wording("invalid_request_error", None, "The request is not valid."),
    (400, "money"): Wording(
        "invalid_request_error",
        None,
        "Your credit balance is too low to access the Anthropic API. Please go to "
        "Plans & Billing to upgrade or purchase credits.",
    ),
    (400, "context"): Wording(
        "invalid_request_error", None, "prompt is too long: 200001 tokens > 200000 maximum"
    ),
    (400, "policy"): Wording(
        "invalid_request_error", None, "Output blocked by content filtering policy"
    ),
    (401, None): Wording("authentication_error", None, "invalid x-api-key"),
    (402, None): Wording(
        "billing_error",
        "linked_organization_spend_limit_reached",
        "The linked organization has reached its spend limit.",
    ),
    (403, None): Wording(
        "permission_error",
        None,
        "Your API key does not have permission to use the specified resource.",
    ),
    (404, None): Wording("not_found_error", None, "model: {model}"),
    (408, None): Wording("timeout_error", None, "Request timed out."),
    (409, None): Wording("conflict_error", None, "The request conflicts with another."),
    (413, None): Wording("request_too_large", None, "Request exceeds the maximum size"),
    (422, None): Wording("invalid_request_error", None, "The request cannot be processed."),
    (429, None): Wording(
        "rate_limit_error",
        None,
        "This request would exceed your organization's rate limit of 50 requests per minute.",
    ),
    (429, "tokens"): Wording(
        "rate_limit_error",
        None,
        "This request would exceed your organization's rate limit of 40,000 input tokens per "
        "minute.",
    ),
    (429, "ramp"): Wording(
        "rate_limit_error",
        "ramp_limit_exceeded",
        "Your organization's usage is growing faster than its ramp limit allows. Please retry "
        "later.",
    ),
    (429, "money"): Wording(
        "rate_limit_error",
        "enforced_spend_limit_reached",
        "You have reached your API usage limit for this month.",
    ),
    (500, None): Wording("api_error", None, "Internal server error"),
    (504, None): Wording("timeout_error", None, "The request took too long."),
    (529, None): Wording("overloaded_error", None, "Overloaded"),
}
"""Type, ``details.error_code`` and message by status and kind.

Source: ``ErrorType`` and the ``*_error_details`` types of the anthropic package 2.13.0;
``request_too_large`` is from the API's error guide.
"""


def error_object(spec: ErrorSpec) -> dict[str, object]:
    """Return the ``error`` of an error body."""
    usual = wording(ERRORS, spec)
    error: dict[str, object] = {
        "type": usual.type,
        "message": spec.message or usual.message.replace("{model}", spec.model),
    }
    if usual.code is not None:
        error["details"] = {"error_code": usual.code}
    return error
