"""OpenAI Chat Completions as a provider speaks it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from callgate.call import Usage
from callgate.testing.simulator.dialect import (
    CREATED_AT,
    Carries,
    ErrorSpec,
    Event,
    Wording,
    fragments,
    pieces,
    wording,
)
from callgate.testing.simulator.generation import Generation, ToolUse
from callgate.testing.simulator.request import (
    Asked,
    Last,
    Problem,
    is_integer,
    is_object,
    json_bytes,
    messages_of,
    shown_key,
    text_bytes,
    texts,
)
from callgate.testing.simulator.script import Api, Finish
from callgate.testing.simulator.strict import OPENAI_FIELDS, find_flaw

DONE: Final = b"data: [DONE]\n\n"
MOST_CHOICES: Final = 128
"""Source: openai 3.57.0, ``n`` of the API reference ("at most 128")."""

FINISH: Final[dict[Finish, str]] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "pause": "stop",
    "length": "length",
    "context": "length",
    "tool_calls": "tool_calls",
    "refusal": "content_filter",
}

LAST: Final[dict[str, Last]] = {"user": "user", "tool": "tool"}

ERRORS: Final[dict[tuple[int, str | None], Wording]] = {
    (400, None): Wording("invalid_request_error", None, "The request is not valid."),
    (400, "money"): Wording(
        "billing_hard_limit_reached",
        "billing_hard_limit_reached",
        "Billing hard limit has been reached.",
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
}
"""Type, code and message by status and kind.

Source: the API's error guide; ``insufficient_quota``, ``rate_limit_exceeded``,
``invalid_api_key`` and ``model_not_found`` are the codes that clients branch on.
"""

_encode = msgspec.json.Encoder().encode


class OpenAIChat:
    """Source: types of the openai package 3.57.0 (``chat.completion``, ``chat.completion.chunk``)."""

    api: Api = "openai"

    def read(self, body: dict[str, object], asked: Asked, *, strict: bool) -> None:
        """Read a request; see :class:`callgate.testing.simulator.dialect.Dialect`."""
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise Problem(400, "you must provide a model parameter", param="model")
        asked.model = model
        messages = _messages(body)
        if strict:
            _refuse_flaws(body)
        asked.stream = body.get("stream") is True
        options = body.get("stream_options")
        asked.wants_usage = is_object(options) and options.get("include_usage") is True
        asked.output_limit = _limit(body)
        asked.choices = _choices(body)
        users = [message for message in messages if message.get("role") == "user"]
        asked.text = texts(users[-1].get("content")) if users else ""
        asked.last = LAST.get(str(messages[-1].get("role")), "other")
        asked.input_bytes = sum(map(text_bytes, messages)) + json_bytes(body.get("tools"))

    def reply(self, asked: Asked, said: Generation) -> bytes:
        """Return a ``chat.completion``."""
        message: dict[str, object] = {
            "role": "assistant",
            "content": said.text if said.text or not said.tool_uses else None,
            "refusal": None,
            "annotations": [],
        }
        if said.tool_uses:
            message["tool_calls"] = [
                {
                    "id": _tool_id(use),
                    "type": "function",
                    "function": {"name": use.name, "arguments": use.arguments},
                }
                for use in said.tool_uses
            ]
        finish = FINISH[said.finish]
        choices = [
            {"index": n, "message": message, "logprobs": None, "finish_reason": finish}
            for n in range(asked.choices)
        ]
        head = self._head(asked, "chat.completion")
        return _encode({**head, "choices": choices, "usage": _usage(said.usage)})

    def events(self, asked: Asked, said: Generation) -> list[Event]:
        """Return the chunks of a stream; the last event is ``[DONE]``."""
        head = _encode(self._head(asked, "chat.completion.chunk"))[:-1] + b',"choices":['
        tail = b'],"usage":null}\n\n' if asked.wants_usage else b"]}\n\n"
        events: list[Event] = []
        for n in range(asked.choices):
            start = b'data: %b{"index":%d,"delta":' % (head, n)
            end = b',"logprobs":null,"finish_reason":null}' + tail
            events.extend(
                Event(b"%b%b%b" % (start, delta, end), carries) for delta, carries in _deltas(said)
            )
            finish = b'{},"logprobs":null,"finish_reason":"%b"}' % FINISH[said.finish].encode()
            events.append(Event(start + finish + tail))
        if asked.wants_usage:
            usage = _encode(_usage(said.usage))
            events.append(Event(b'data: %b],"usage":%b}\n\n' % (head, usage)))
        events.append(Event(DONE))
        return events

    def reply_id(self, asked: Asked) -> str:
        """Return an id such as ``chatcmpl-3f2a…``."""
        return f"chatcmpl-{asked.draw('reply').hex()}"

    def headers(self, asked: Asked) -> list[tuple[str, str]]:
        """Return OpenAI's request id and version."""
        return [
            ("x-request-id", f"req_{asked.draw('request').hex()}"),
            ("openai-version", "2020-10-01"),
        ]

    def error(self, spec: ErrorSpec, asked: Asked) -> bytes:
        """Return ``{"error": {message, type, param, code}}``."""
        del asked
        return _encode({"error": _error(spec)})

    def error_event(self, body: bytes) -> bytes:
        """Return an error as an event; no ``[DONE]`` follows it."""
        return b"data: %b\n\n" % body

    def model_list(self, models: list[str]) -> bytes:
        """Return the ``list`` object of ``/v1/models``."""
        return _encode({"object": "list", "data": [_model(name) for name in models]})

    def model(self, name: str) -> bytes:
        """Return one ``model`` object."""
        return _encode(_model(name))

    def _head(self, asked: Asked, kind: str) -> dict[str, object]:
        return {
            "id": self.reply_id(asked),
            "object": kind,
            "created": CREATED_AT,
            "model": asked.model,
            "service_tier": "default",
            "system_fingerprint": "fp_simulator",
        }


def _deltas(said: Generation) -> Iterator[tuple[bytes, Carries]]:
    """Yield one choice's deltas: the role first, then text, then each tool call in fragments."""
    content = b'""' if said.text or not said.tool_uses else b"null"
    yield b'{"role":"assistant","content":%b,"refusal":null}' % content, Carries.NOTHING
    for piece in pieces(said.text):
        yield b'{"content":%b}' % _encode(piece), Carries.OUTPUT
    for index, use in enumerate(said.tool_uses):
        first = {
            "index": index,
            "id": _tool_id(use),
            "type": "function",
            "function": {"name": use.name, "arguments": ""},
        }
        yield b'{"tool_calls":[%b]}' % _encode(first), Carries.OUTPUT
        for fragment in fragments(use.arguments):
            part = {"index": index, "function": {"arguments": fragment}}
            yield b'{"tool_calls":[%b]}' % _encode(part), Carries.OUTPUT


def _usage(usage: Usage) -> dict[str, object]:
    """Return usage as Chat Completions counts it.

    Source: openai 3.57.0 ``CompletionUsage``: the prompt includes what a cache served or took,
    the completion includes reasoning.
    """
    prompt, completion = usage.total_input_tokens, usage.total_output_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens + usage.cache_write_long_tokens,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _tool_id(use: ToolUse) -> str:
    return use.given_id or f"call_{use.id[:12].hex()}"


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": CREATED_AT, "owned_by": "openai"}


def _error(spec: ErrorSpec) -> dict[str, object]:
    usual = wording(ERRORS, spec)
    shown = usual.message.replace("{model}", spec.model).replace(
        "{key}", shown_key(spec.key) or "''"
    )
    return {
        "message": spec.message or shown,
        "type": usual.type,
        "param": spec.param,
        "code": spec.code or usual.code,
    }


def _messages(body: dict[str, object]) -> list[dict[str, object]]:
    try:
        return list(messages_of(body))
    except Problem as problem:
        if problem.code == "missing_required_parameter":
            problem.message = "Missing required parameter: 'messages'."
        else:
            problem.message = f"Invalid type for '{problem.param}'."
        raise


def _limit(body: dict[str, object]) -> int | None:
    for field in ("max_completion_tokens", "max_tokens"):
        value = body.get(field)
        if value is None:
            continue
        if not is_integer(value) or value < 1:
            message = f"Invalid value for '{field}': expected an integer of at least 1."
            raise Problem(400, message, param=field, code="invalid_value")
        return value
    return None


def _choices(body: dict[str, object]) -> int:
    value = body.get("n")
    if value is None:
        return 1
    if not is_integer(value) or not 1 <= value <= MOST_CHOICES:
        message = f"Invalid value for 'n': expected an integer from 1 to {MOST_CHOICES}."
        raise Problem(400, message, param="n", code="invalid_value")
    return value


def _refuse_flaws(body: dict[str, object]) -> None:
    flaw = find_flaw(body, OPENAI_FIELDS)
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
