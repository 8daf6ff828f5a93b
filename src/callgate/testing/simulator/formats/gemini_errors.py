"""How Gemini words its errors: a code, a status, a message, and details that programs read."""

from __future__ import annotations

from typing import Final

import msgspec

from callgate.testing.simulator.formats.format import Errors, ErrorSpec, Wording, wording

QUOTA: Final = (
    "You exceeded your current quota, please check your plan and billing details. For more "
    "information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. To "
    "monitor your current usage, head to: https://ai.dev/rate-limit. "
)
METRIC: Final = "generativelanguage.googleapis.com/generate_content_paid_tier_"

ERRORS: Final[Errors] = {
    (400, None): Wording("INVALID_ARGUMENT", None, "Request contains an invalid argument."),
    (400, "credential"): Wording(
        "INVALID_ARGUMENT", "API_KEY_INVALID", "API key not valid. Please pass a valid API key."
    ),
    (400, "money"): Wording(
        "FAILED_PRECONDITION",
        None,
        "Gemini API free tier is not available in your country. Please enable billing on your "
        "project in Google AI Studio.",
    ),
    (400, "context"): Wording(
        "INVALID_ARGUMENT",
        None,
        "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
    ),
    (401, None): Wording(
        "UNAUTHENTICATED",
        "ACCESS_TOKEN_TYPE_UNSUPPORTED",
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login "
        "cookie or other valid authentication credential.",
    ),
    (402, None): Wording("FAILED_PRECONDITION", None, "Billing is not enabled for this project."),
    (403, None): Wording(
        "PERMISSION_DENIED", None, "You do not have permission to access the model {model}."
    ),
    (403, "credential"): Wording(
        "PERMISSION_DENIED",
        None,
        "Method doesn't allow unregistered callers (callers without established identity). Please "
        "use API Key or other form of API consumer identity to call this API.",
    ),
    (403, "money"): Wording(
        "PERMISSION_DENIED",
        "BILLING_DISABLED",
        "This API method requires billing to be enabled. Please enable billing on project "
        "#000000000000.",
    ),
    (404, None): Wording(
        "NOT_FOUND",
        None,
        "models/{model} is not found for API version v1beta, or is not supported for "
        "generateContent. Call ListModels to see the list of available models and their supported "
        "methods.",
    ),
    (409, None): Wording("ABORTED", None, "The operation was aborted."),
    (413, None): Wording("INVALID_ARGUMENT", None, "Request payload size exceeds the limit."),
    (429, None): Wording("RESOURCE_EXHAUSTED", "requests", QUOTA),
    (429, "tokens"): Wording("RESOURCE_EXHAUSTED", "input_token_count", QUOTA),
    (429, "day"): Wording("RESOURCE_EXHAUSTED", "requests", QUOTA),
    (429, "money"): Wording(
        "RESOURCE_EXHAUSTED",
        None,
        "Your prepayment credits are depleted. Please go to AI Studio at "
        "https://ai.studio/projects to manage your project and billing.",
    ),
    (499, None): Wording("CANCELLED", None, "The operation was cancelled."),
    (500, None): Wording(
        "INTERNAL",
        None,
        "An internal error has occurred. Please retry or report in "
        "https://developers.generativeai.google/guide/troubleshooting",
    ),
    (502, None): Wording("UNAVAILABLE", None, "The service is currently unavailable."),
    (503, None): Wording("UNAVAILABLE", None, "The model is overloaded. Please try again later."),
    (504, None): Wording(
        "DEADLINE_EXCEEDED", None, "Deadline expired before operation could complete."
    ),
}
"""Status, reason or metric, and message by status and kind.

Source: google.rpc.Code for the statuses; the messages and reasons are those that users of the API
report in public. A wrong key is a 400 here, not a 401.
"""

QUOTA_IDS: Final = {
    None: "GenerateRequestsPerMinutePerProjectPerModel",
    "rate": "GenerateRequestsPerMinutePerProjectPerModel",
    "day": "GenerateRequestsPerDayPerProjectPerModel",
    "tokens": "GenerateContentPaidTierInputTokensPerModelPerMinute",
}

_encode = msgspec.json.Encoder().encode


def error_body(spec: ErrorSpec) -> bytes:
    """Return ``{"error": {code, message, status, details}}``, over several lines as Google does."""
    usual = wording(ERRORS, spec)
    message = spec.message or usual.message.replace("{model}", spec.model)
    details = [*spec.details]
    if usual.message is QUOTA:
        details += _quota(spec, usual)
        message += f"\n* Quota exceeded for metric: {METRIC}{usual.code}, model: {spec.model}"
    elif usual.code is not None:
        details.append(_reason(usual.code))
    if spec.retry_after_seconds is not None:
        delay = _delay(spec.retry_after_seconds)
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
        message += f"\nPlease retry in {delay}." if usual.message is QUOTA else ""
    error: dict[str, object] = {"code": spec.status, "message": message, "status": usual.type}
    if details:
        error["details"] = details
    return msgspec.json.format(_encode({"error": error}), indent=2)


def _quota(spec: ErrorSpec, usual: Wording) -> list[object]:
    link = {
        "description": "Learn more about Gemini API quotas",
        "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
    }
    violation = {
        "quotaMetric": f"{METRIC}{usual.code}",
        "quotaId": QUOTA_IDS.get(spec.kind, QUOTA_IDS[None]),
        "quotaDimensions": {"location": "global", "model": spec.model},
        "quotaValue": "10",
    }
    return [
        {"@type": "type.googleapis.com/google.rpc.Help", "links": [link]},
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]},
    ]


def _reason(reason: str) -> dict[str, object]:
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": {"service": "generativelanguage.googleapis.com"},
    }


def _delay(seconds: float) -> str:
    """Return a length of time as ``google.protobuf.Duration`` is written, such as ``1.5s``."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"
