"""What OpenAI's formats have in common: errors, headers, models."""

from __future__ import annotations

import re
from abc import ABC
from collections.abc import Mapping
from typing import Final

import msgspec

from callgate.testing.simulator.formats.format import (
    CREATED_AT,
    Errors,
    ErrorSpec,
    Format,
    Headers,
    Rates,
    Wording,
    wording,
)
from callgate.testing.simulator.generation import ToolUse
from callgate.testing.simulator.request import Asked, Problem, is_integer, shown_key
from callgate.testing.simulator.strict import Kinds, find_flaw

ERRORS: Final[Errors] = {
    (400, None): Wording("invalid_request_error", None, "The request is not valid."),
    (400, "money"): Wording(
        "billing_hard_limit_reached",
        "billing_hard_limit_reached",
        "Billing hard limit has been reached.",
    ),
    (400, "context"): Wording(
        "invalid_request_error",
        "context_length_exceeded",
        "Your input exceeds the context window of this model. Please adjust your input and try "
        "again.",
    ),
    (400, "policy"): Wording(
        "invalid_request_error",
        "invalid_prompt",
        "Invalid prompt: your prompt was flagged as potentially violating our usage policy. Please "
        "try again with a different prompt.",
    ),
    (401, None): Wording(
        "invalid_request_error",
        "invalid_api_key",
        "Incorrect API key provided: {key}. You can find your API key at "
        "https://platform.openai.com/account/api-keys.",
    ),
    (402, None): Wording(
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    (403, None): Wording(
        "invalid_request_error",
        "model_not_found",
        "Project `proj_sim` does not have access to model `{model}`.",
    ),
    (403, "credential"): Wording(
        "invalid_request_error",
        "unsupported_country_region_territory",
        "Country, region, or territory not supported",
    ),
    (404, None): Wording(
        "invalid_request_error",
        "model_not_found",
        "The model `{model}` does not exist or you do not have access to it.",
    ),
    (408, None): Wording("timeout", None, "Request timed out."),
    (409, None): Wording(
        "invalid_request_error", "conflict", "The request conflicts with another."
    ),
    (413, None): Wording("invalid_request_error", "request_too_large", "The request is too large."),
    (422, None): Wording("invalid_request_error", None, "The request cannot be processed."),
    (429, None): Wording(
        "requests",
        "rate_limit_exceeded",
        "Rate limit reached for {model} in organization org-sim on requests per min "
        "(RPM): Limit 3, Used 3, Requested 1. Please try again in 20s.",
    ),
    (429, "tokens"): Wording(
        "tokens",
        "rate_limit_exceeded",
        "Rate limit reached for {model} in organization org-sim on tokens per min (TPM): "
        "Limit 30000, Used 30000, Requested 100. Please try again in 20s.",
    ),
    (429, "day"): Wording(
        "requests",
        "rate_limit_exceeded",
        "Rate limit reached for {model} in organization org-sim on requests per day (RPD): "
        "Limit 200, Used 200, Requested 1. Please try again in 7m12s.",
    ),
    (429, "money"): Wording(
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    (500, None): Wording(
        "server_error",
        None,
        "The server had an error while processing your request. Sorry about that!",
    ),
    (503, None): Wording(
        "service_unavailable",
        "server_is_overloaded",
        "The engine is currently overloaded, please try again later",
    ),
    (503, "slow_down"): Wording(
        "service_unavailable",
        "slow_down",
        "Slow down: a sudden increase in your request rate is impacting the reliability of the "
        "service. Please reduce your request rate.",
    ),
}
"""Type, code and message by status and kind.

Source: the API's error guide; ``insufficient_quota``, ``rate_limit_exceeded``,
``invalid_api_key`` and ``model_not_found`` are the codes that clients branch on.
"""

_TRY_AGAIN: Final = re.compile(r"try again in [^ ]+\.$")

_encode = msgspec.json.Encoder().encode


class OpenAIFormat(Format, ABC):
    """A format of OpenAI."""

    api = "openai"

    def headers(self, asked: Asked) -> Headers:
        """Return OpenAI's request id and version."""
        return [
            ("x-request-id", f"req_{asked.draw('request').hex()}"),
            ("openai-version", "2020-10-01"),
        ]

    def error(self, spec: ErrorSpec, asked: Asked) -> bytes:
        """Return ``{"error": {message, type, param, code}}``."""
        del asked
        return _encode({"error": _error(spec)})

    def error_event(self, asked: Asked, body: bytes, n: int) -> bytes:
        """Return an error as an event; no ``[DONE]`` follows it."""
        del asked, n
        return b"data: %b\n\n" % body

    def rate_headers(self, rates: Rates) -> Headers:
        """Return ``x-ratelimit-{limit,remaining,reset}-{requests,tokens}``."""
        found: Headers = []
        for kind, bucket in (("requests", rates.requests), ("tokens", rates.tokens)):
            if bucket is not None:
                found += [
                    (f"x-ratelimit-limit-{kind}", str(bucket.limit)),
                    (f"x-ratelimit-remaining-{kind}", str(bucket.remaining)),
                    (f"x-ratelimit-reset-{kind}", duration(bucket.full_in_seconds)),
                ]
        return found

    def model_list(self, models: list[str]) -> bytes:
        """Return the ``list`` object of ``/v1/models``."""
        return _encode({"object": "list", "data": [_model(name) for name in models]})

    def model(self, name: str) -> bytes:
        """Return one ``model`` object."""
        return _encode(_model(name))


def duration(seconds: float) -> str:
    """Return a length of time as OpenAI's headers tell it, such as ``6m0s`` or ``20ms``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    hours, minutes = divmod(int(minutes), 60)
    shown = f"{rest:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{shown}"
    return f"{minutes}m{shown}" if minutes else shown


def tool_id(use: ToolUse) -> str:
    """Return the id of a tool call."""
    return use.given_id or f"call_{use.id[:12].hex()}"


def read_model(body: Mapping[str, object]) -> str:
    """Return the model that a request names.

    Raises:
        Problem: It names none.
    """
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Problem(400, "you must provide a model parameter", param="model")
    return model


def read_limit(body: Mapping[str, object], *fields: str, least: int = 1) -> int | None:
    """Return the output limit from the first of ``fields`` that is there.

    Raises:
        Problem: It is not an integer, or too small.
    """
    for field in fields:
        value = body.get(field)
        if value is None:
            continue
        if not is_integer(value) or value < least:
            message = f"Invalid value for '{field}': expected an integer of at least {least}."
            raise Problem(400, message, param=field, code="invalid_value")
        return value
    return None


def refuse_flaws(body: Mapping[str, object], fields: Mapping[str, Kinds]) -> None:
    """Refuse a top-level field that is unknown or has the wrong type.

    Raises:
        Problem: There is one.
    """
    flaw = find_flaw(body, fields)
    if flaw is None:
        return
    field, expected, found = flaw
    if expected is None:
        message, code = f"Unknown parameter: '{field}'.", "unknown_parameter"
    else:
        article = "an" if expected[0] in "aeio" else "a"
        message = (
            f"Invalid type for '{field}': expected {article} {expected}, but got {found} instead."
        )
        code = "invalid_type"
    raise Problem(400, message, param=field, code=code)


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": CREATED_AT, "owned_by": "openai"}


def _error(spec: ErrorSpec) -> dict[str, object]:
    usual = wording(ERRORS, spec)
    shown = usual.message.replace("{model}", spec.model).replace(
        "{key}", shown_key(spec.key) or "''"
    )
    if spec.retry_after_seconds is not None:
        shown = _TRY_AGAIN.sub(f"try again in {duration(spec.retry_after_seconds)}.", shown)
    return {
        "message": spec.message or shown,
        "type": usual.type,
        "param": spec.param,
        "code": spec.code or usual.code,
    }
