"""Anthropic Messages as a provider speaks it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from callgate.call import Usage
from callgate.testing.simulator.dialect import (
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
    is_array,
    is_integer,
    is_object,
    json_bytes,
    messages_of,
    text_bytes,
    texts,
)
from callgate.testing.simulator.script import Api, Finish
from callgate.testing.simulator.strict import ANTHROPIC_FIELDS, find_flaw

FINISH: Final[dict[Finish, str]] = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "pause": "pause_turn",
    "length": "max_tokens",
    "context": "model_context_window_exceeded",
    "tool_calls": "tool_use",
    "refusal": "refusal",
}
"""Source: ``StopReason`` of the anthropic package 2.13.0."""

ERRORS: Final[dict[tuple[int, str | None], Wording]] = {
    (400, None): Wording("invalid_request_error", None, "The request is not valid."),
    (400, "money"): Wording(
        "invalid_request_error",
        None,
        "Your credit balance is too low to access the Anthropic API. Please go to "
        "Plans & Billing to upgrade or purchase credits.",
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

NO_INPUT: Final[dict[str, object]] = {}
PING: Final = Event(b'event: ping\ndata: {"type": "ping"}\n\n')
STOP: Final = Event(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')

_encode = msgspec.json.Encoder().encode


class AnthropicMessages:
    """Source: types of the anthropic package 2.13.0 (``Message``, ``RawMessageStreamEvent``)."""

    api: Api = "anthropic"

    def read(self, body: dict[str, object], asked: Asked, *, strict: bool) -> None:
        """Read a request; see :class:`callgate.testing.simulator.dialect.Dialect`."""
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise Problem(400, _wrong(body, "model", "Input should be a valid string"))
        asked.model = model
        messages = _messages(body)
        if strict:
            _refuse_flaws(body)
        if asked.endpoint == "generate":
            asked.output_limit = _limit(body)
        asked.stream = body.get("stream") is True
        users = [texts(item.get("content")) for item in messages if item.get("role") == "user"]
        asked.text = next((text for text in reversed(users) if text), "")
        asked.last = _last(messages[-1])
        system = {"content": body.get("system")}
        asked.input_bytes = sum(map(text_bytes, (*messages, system))) + json_bytes(
            body.get("tools")
        )

    def reply(self, asked: Asked, said: Generation) -> bytes:
        """Return a ``message``."""
        return _encode(
            self._message(
                asked,
                content=list(_content(asked, said)),
                stop_reason=FINISH[said.finish],
                usage=_usage(said.usage, said.usage.total_output_tokens),
            )
        )

    def events(self, asked: Asked, said: Generation) -> list[Event]:
        """Return the events of a stream; the last one is ``message_stop``."""
        # A provider has drawn the first token when it starts to speak.
        spoken = min(1, said.usage.total_output_tokens)
        usage = _usage(said.usage, spoken)
        del usage["output_tokens_details"]
        message = self._message(asked, content=[], stop_reason=None, usage=usage)
        events = [_event({"type": "message_start", "message": message})]
        events.extend(_block_events(asked, said))
        events.insert(2 if len(events) > 1 else 1, PING)
        told = _usage(said.usage, said.usage.total_output_tokens)
        told = {key: value for key, value in told.items() if key in DELTA_USAGE}
        reason = {"stop_reason": FINISH[said.finish], "stop_sequence": None}
        events.append(_event({"type": "message_delta", "delta": reason, "usage": told}))
        events.append(STOP)
        return events

    def reply_id(self, asked: Asked) -> str:
        """Return an id such as ``msg_3f2a…``."""
        return f"msg_{asked.draw('reply', 12).hex()}"

    def headers(self, asked: Asked) -> list[tuple[str, str]]:
        """Return Anthropic's request id."""
        return [("request-id", _request_id(asked))]

    def error(self, spec: ErrorSpec, asked: Asked) -> bytes:
        """Return ``{"type": "error", "error": {…}, "request_id": …}``."""
        return _encode({"type": "error", "error": _error(spec), "request_id": _request_id(asked)})

    def error_event(self, body: bytes) -> bytes:
        """Return an ``error`` event; nothing follows it."""
        return b"event: error\ndata: %b\n\n" % body

    def count(self, asked: Asked) -> bytes:
        """Return the answer of ``count_tokens``."""
        return _encode({"input_tokens": asked.input_tokens})

    def model_list(self, models: list[str]) -> bytes:
        """Return the page of ``/v1/models``."""
        return _encode(
            {
                "data": [_model(name) for name in models],
                "has_more": False,
                "first_id": models[0] if models else None,
                "last_id": models[-1] if models else None,
            }
        )

    def model(self, name: str) -> bytes:
        """Return one ``model`` object."""
        return _encode(_model(name))

    def _message(
        self,
        asked: Asked,
        *,
        content: list[dict[str, object]],
        stop_reason: str | None,
        usage: dict[str, object],
    ) -> dict[str, object]:
        return {
            "id": self.reply_id(asked),
            "type": "message",
            "role": "assistant",
            "model": asked.model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": usage,
        }


DELTA_USAGE: Final = frozenset(
    {
        "input_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "output_tokens",
        "output_tokens_details",
    }
)
"""Source: ``MessageDeltaUsage`` of the anthropic package 2.13.0."""


def _usage(usage: Usage, output_tokens: int) -> dict[str, object]:
    """Return usage as Messages counts it: ``input_tokens`` excludes what a cache served or took."""
    written = usage.cache_write_tokens + usage.cache_write_long_tokens
    return {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_long_tokens,
        },
        "output_tokens": output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
        "service_tier": "standard",
    }


def _signature(asked: Asked) -> str:
    return base64.b64encode(asked.draw("signature", 48)).decode()


def _tool_id(use: ToolUse) -> str:
    return use.given_id or f"toolu_{use.id[:12].hex()}"


def _content(asked: Asked, said: Generation) -> Iterator[dict[str, object]]:
    """Yield the content blocks of a plain reply."""
    if said.thinking:
        yield {"type": "thinking", "thinking": said.thinking, "signature": _signature(asked)}
    if said.text:
        yield {"type": "text", "text": said.text}
    for use in said.tool_uses:
        yield {"type": "tool_use", "id": _tool_id(use), "name": use.name, "input": _input(use)}


def _input(use: ToolUse) -> dict[str, object]:
    """Return the arguments as the object that a plain reply needs; what is none becomes empty."""
    try:
        value: object = msgspec.json.decode(use.arguments)
    except msgspec.DecodeError:
        return {}
    return value if is_object(value) else {}


def _block_events(asked: Asked, said: Generation) -> Iterator[Event]:
    """Yield the events of every content block."""
    index = 0
    if said.thinking:
        block = {"type": "thinking", "thinking": "", "signature": ""}
        signed = (b'"signature_delta","signature":', (_signature(asked),), Carries.NOTHING)
        spoken = (b'"thinking_delta","thinking":', pieces(said.thinking), Carries.THINKING)
        yield from _one_block(index, block, spoken, signed)
        index += 1
    if said.text:
        spoken = (b'"text_delta","text":', pieces(said.text), Carries.OUTPUT)
        yield from _one_block(index, {"type": "text", "text": ""}, spoken)
        index += 1
    for use in said.tool_uses:
        tool = {"type": "tool_use", "id": _tool_id(use), "name": use.name, "input": NO_INPUT}
        called = (b'"input_json_delta","partial_json":', ["", *fragments(use.arguments)])
        yield from _one_block(index, tool, (*called, Carries.OUTPUT))
        index += 1


def _one_block(
    index: int, block: Mapping[str, object], *runs: tuple[bytes, Iterable[str], Carries]
) -> Iterator[Event]:
    """Yield the start of a block, its deltas (a kind, their texts, what they carry), its end."""
    start: dict[str, object] = {"type": "content_block_start", "index": index}
    yield _event({**start, "content_block": block})
    for kind, parts, carries in runs:
        head = b"event: content_block_delta\ndata: "
        head += b'{"type":"content_block_delta","index":%d,"delta":{"type":%b' % (index, kind)
        for part in parts:
            yield Event(b"%b%b}}\n\n" % (head, _encode(part)), carries)
    yield _event({"type": "content_block_stop", "index": index})


def _event(value: dict[str, object]) -> Event:
    return Event(b"event: %b\ndata: %b\n\n" % (str(value["type"]).encode(), _encode(value)))


def _request_id(asked: Asked) -> str:
    return f"req_{asked.draw('request', 12).hex()}"


def _model(name: str) -> dict[str, object]:
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": "2026-01-01T00:00:00Z",
        "lifecycle": "active",
    }


def _error(spec: ErrorSpec) -> dict[str, object]:
    usual = wording(ERRORS, spec)
    error: dict[str, object] = {
        "type": usual.type,
        "message": spec.message or usual.message.replace("{model}", spec.model),
    }
    if usual.code is not None:
        error["details"] = {"error_code": usual.code}
    return error


def _last(message: dict[str, object]) -> Last:
    content = message.get("content")
    if message.get("role") != "user":
        return "other"
    parts = content if is_array(content) else []
    results = [part for part in parts if is_object(part) and part.get("type") == "tool_result"]
    return "tool" if results else "user"


def _wrong(body: dict[str, object], field: str, expected: str) -> str:
    return f"{field}: {expected}" if field in body else f"{field}: Field required"


def _messages(body: dict[str, object]) -> list[dict[str, object]]:
    try:
        return list(messages_of(body))
    except Problem as problem:
        problem.message = _wrong(body, "messages", "Input should be a valid list of messages")
        raise


def _limit(body: dict[str, object]) -> int:
    value = body.get("max_tokens")
    if not is_integer(value):
        raise Problem(400, _wrong(body, "max_tokens", "Input should be a valid integer"))
    if value < 0:
        raise Problem(400, "max_tokens: Input should be greater than or equal to 0")
    return value


def _refuse_flaws(body: dict[str, object]) -> None:
    flaw = find_flaw(body, ANTHROPIC_FIELDS)
    if flaw is None:
        return
    field, expected, _ = flaw
    if expected is None:
        raise Problem(400, f"{field}: Extra inputs are not permitted")
    raise Problem(400, f"{field}: Input should be a valid {expected}")
