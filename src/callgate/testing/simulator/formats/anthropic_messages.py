"""Anthropic Messages as a provider speaks it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from callgate.clock import rfc3339
from callgate.testing.simulator.formats.anthropic_errors import error_object
from callgate.testing.simulator.formats.format import (
    Bucket,
    Carries,
    ErrorSpec,
    Event,
    Format,
    Headers,
    Rates,
    pieces,
)
from callgate.testing.simulator.formats.tool_parts import ToolPart, tool_parts
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
    read_schema,
    read_stops,
    text_bytes,
    texts,
)
from callgate.testing.simulator.script import Finish
from callgate.testing.simulator.strict import ANTHROPIC_FIELDS, find_flaw
from callgate.testing.simulator.strict.anthropic_messages import refuse_broken_messages

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

NOT_YET: Final = {"stop_reason": None, "stop_sequence": None}
NO_INPUT: Final[dict[str, object]] = {}
PING: Final = Event(b'event: ping\ndata: {"type": "ping"}\n\n')
STOP: Final = Event(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')

_encode = msgspec.json.Encoder().encode


class AnthropicMessages(Format):
    """Source: types of the anthropic package 2.13.0 (``Message``, ``RawMessageStreamEvent``)."""

    name = "anthropic_messages"
    api = "anthropic"
    overloaded = 529

    def read(self, body: dict[str, object], asked: Asked, *, strict: bool) -> None:
        """Read a request; see :class:`callgate.testing.simulator.formats.format.Format`."""
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise Problem(400, _wrong(body, "model", "Input should be a valid string"))
        asked.model = model
        messages = _messages(body)
        if strict:
            _refuse_flaws(body)
            refuse_broken_messages(body, messages, asked.seals)
        if asked.endpoint == "generate":
            asked.output_limit = _limit(body)
        output = body.get("output_config")
        asked.schema = read_schema(output.get("format")) if is_object(output) else None
        asked.stops = read_stops(body.get("stop_sequences"))
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
        usage = _usage(said, said.usage.total_output_tokens)
        body = self._message(asked, content=list(_content(asked, said)), usage=usage)
        body.update(_stop(said))
        if said.shape.usage == "never":
            del body["usage"]
        return _encode(body)

    def events(self, asked: Asked, said: Generation) -> list[Event]:
        """Return the events of a stream; the last one is ``message_stop``."""
        # A provider has drawn the first token when it starts to speak.
        usage = _usage(said, min(1, said.usage.total_output_tokens))
        del usage["output_tokens_details"]
        message = self._message(asked, content=[], usage=usage)
        if said.shape.usage == "never":
            del message["usage"]
        events = [_event({"type": "message_start", "message": message})]
        events.extend(_block_events(asked, said))
        events.insert(2 if len(events) > 1 else 1, PING)
        events.extend(_message_deltas(said))
        events.append(STOP)
        return events

    def reply_id(self, asked: Asked) -> str:
        """Return an id such as ``msg_3f2a…``."""
        return f"msg_{asked.draw('reply', 12).hex()}"

    def headers(self, asked: Asked) -> Headers:
        """Return Anthropic's request id."""
        return [("request-id", _request_id(asked))]

    def error(self, spec: ErrorSpec, asked: Asked) -> bytes:
        """Return ``{"type": "error", "error": {…}, "request_id": …}``."""
        error = error_object(spec)
        return _encode({"type": "error", "error": error, "request_id": _request_id(asked)})

    def error_event(self, asked: Asked, body: bytes, n: int) -> bytes:
        """Return an ``error`` event; nothing follows it."""
        del asked, n
        return b"event: error\ndata: %b\n\n" % body

    def rate_headers(self, rates: Rates) -> Headers:
        """Return ``anthropic-ratelimit-{requests,tokens}-{limit,remaining,reset}``."""
        found: Headers = []
        for kind, bucket in (("requests", rates.requests), ("tokens", rates.tokens)):
            if bucket is not None:
                found += _bucket_headers(f"anthropic-ratelimit-{kind}", bucket, rates.now)
        return found

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
        usage: dict[str, object],
    ) -> dict[str, object]:
        return {
            "id": self.reply_id(asked),
            "type": "message",
            "role": "assistant",
            "model": asked.model,
            "content": content,
            "stop_reason": None,
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


def _usage(said: Generation, output_tokens: int) -> dict[str, object]:
    """Return usage as Messages counts it: ``input_tokens`` excludes what a cache served or took."""
    usage = said.usage
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
        **_served(said.service_tier),
    }


def _served(service_tier: str | None) -> dict[str, object]:
    """Return how and where a message was served, in the three fields that tell it."""
    words = [] if service_tier is None else service_tier.split()
    told: dict[str, object] = {"service_tier": "standard"}
    for word in words:
        if word == "us":
            told["inference_geo"] = word
        elif word == "fast":
            told["speed"] = word
        else:
            told["service_tier"] = word
    return told


def _stop(said: Generation) -> dict[str, object]:
    """Return why a message ended."""
    refused = said.refusal is not None and said.finish == "stop"
    reason = "refusal" if refused and not said.finish_reason else said.finish_as(FINISH)
    stop: dict[str, object] = {"stop_reason": reason, "stop_sequence": said.stopped_by}
    if refused:
        stop["stop_details"] = {
            "type": "refusal",
            "category": "general_harms",
            "explanation": said.refusal,
        }
    return stop


def _message_deltas(said: Generation) -> Iterator[Event]:
    """Yield what ends a message: why, and all that it used, once or as the script wants it."""
    told = _usage(said, said.usage.total_output_tokens)
    told = {key: value for key, value in told.items() if key in DELTA_USAGE}
    place = said.shape.usage
    early: dict[str, object] = {"type": "message_delta", "delta": NOT_YET, "usage": told}
    if place in {"every", "before_finish"}:
        yield _event(early)
    last: dict[str, object] = {"type": "message_delta", "delta": _stop(said), "usage": told}
    if place == "never":
        del last["usage"]
    elif place == "before_finish":
        last["usage"] = {"output_tokens": told["output_tokens"]}
    yield _event(last)


def _bucket_headers(prefix: str, bucket: Bucket, now: float) -> Headers:
    return [
        (f"{prefix}-limit", str(bucket.limit)),
        (f"{prefix}-remaining", str(bucket.remaining)),
        (f"{prefix}-reset", rfc3339(now + bucket.full_in_seconds)),
    ]


def _signature(asked: Asked, said: Generation) -> str:
    return asked.seals.mint(asked.draw("signature"), "thinking", said.thinking)


def _tool_id(use: ToolUse) -> str:
    return use.given_id or f"toolu_{use.id[:12].hex()}"


def _content(asked: Asked, said: Generation) -> Iterator[dict[str, object]]:
    """Yield the content blocks of a plain reply."""
    if said.thinking:
        yield {"type": "thinking", "thinking": said.thinking, "signature": _signature(asked, said)}
    if spoken := said.text + (said.refusal or ""):
        yield {"type": "text", "text": spoken}
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
        signed = (b'"signature_delta","signature":', (_signature(asked, said),), Carries.NOTHING)
        spoken = (b'"thinking_delta","thinking":', pieces(said.thinking), Carries.THINKING)
        yield from _one_block(index, block, spoken, signed)
        index += 1
    if text := said.text + (said.refusal or ""):
        spoken = (b'"text_delta","text":', pieces(text), Carries.OUTPUT)
        yield from _one_block(index, {"type": "text", "text": ""}, spoken)
        index += 1
    for part in tool_parts(said.tool_uses, said.shape, first=index):
        yield from _tool_events(part)


def _tool_events(part: ToolPart) -> Iterator[Event]:
    use = part.use
    if part.opens:
        tool = {"type": "tool_use", "id": _tool_id(use), "name": use.name, "input": NO_INPUT}
        yield _start(part.index, tool)
    head = _delta_head(part.index, b'"input_json_delta","partial_json":')
    yield Event(b"%b%b}}\n\n" % (head, _encode(part.fragment)), Carries.OUTPUT)
    if part.closes:
        yield _stop_block(part.index)


def _one_block(
    index: int, block: Mapping[str, object], *runs: tuple[bytes, Iterable[str], Carries]
) -> Iterator[Event]:
    """Yield the start of a block, its deltas (a kind, their texts, what they carry), its end."""
    yield _start(index, block)
    for kind, parts, carries in runs:
        head = _delta_head(index, kind)
        for part in parts:
            yield Event(b"%b%b}}\n\n" % (head, _encode(part)), carries)
    yield _stop_block(index)


def _start(index: int, block: Mapping[str, object]) -> Event:
    return _event({"type": "content_block_start", "index": index, "content_block": block})


def _delta_head(index: int, kind: bytes) -> bytes:
    head = b"event: content_block_delta\ndata: "
    return head + b'{"type":"content_block_delta","index":%d,"delta":{"type":%b' % (index, kind)


def _stop_block(index: int) -> Event:
    return _event({"type": "content_block_stop", "index": index})


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
