"""Amazon Bedrock's Converse as AWS speaks it."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from callgate.testing.simulator.formats.bedrock_errors import (
    NAMESPACE,
    code_of,
    exception_of,
    message_of,
)
from callgate.testing.simulator.formats.event_frames import (
    CONTENT_TYPE,
    event_frame,
    exception_frame,
    half_frame,
)
from callgate.testing.simulator.formats.format import (
    Carries,
    ErrorSpec,
    Event,
    Format,
    Headers,
    Rates,
    pieces,
)
from callgate.testing.simulator.formats.tool_parts import tool_parts
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
    read_stops,
    texts,
)
from callgate.testing.simulator.script import Finish
from callgate.testing.simulator.strict.bedrock import refuse_broken_conversation

FINISH: Final[dict[Finish, str]] = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "pause": "end_turn",
    "length": "max_tokens",
    "context": "model_context_window_exceeded",
    "tool_calls": "tool_use",
    "refusal": "content_filtered",
}
"""Source: botocore 1.44, ``StopReason``; ``finish_reason`` has the others."""

PADDING: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
"""What Bedrock pads its events with, so that their sizes tell nothing."""

LATENCY_MS: Final = 321
STOP_SEQUENCE: Final = "/stop_sequence"

_encode = msgspec.json.Encoder().encode


class Bedrock(Format):
    """Source: botocore 1.44, ``bedrock-runtime/2023-09-30/service-2.json``."""

    name = "bedrock_converse"
    api = "bedrock"
    has_lines = False

    def read(self, body: dict[str, object], asked: Asked, *, strict: bool) -> None:
        """Read a request; see :class:`callgate.testing.simulator.formats.format.Format`."""
        messages = _messages(body)
        if strict:
            refuse_broken_conversation(body, messages, asked)
        config = body.get("inferenceConfig")
        limit = config.get("maxTokens") if is_object(config) else None
        asked.output_limit = limit if is_integer(limit) else None
        asked.stops = read_stops(config.get("stopSequences")) if is_object(config) else ()
        asked.schema = _schema(body)
        users = [texts(message.get("content")) for message in messages if message["role"] == "user"]
        asked.text = next((text for text in reversed(users) if text), "")
        asked.last = _last(messages[-1])
        asked.input_bytes = sum(map(_message_bytes, messages)) + json_bytes(
            [body.get("system"), body.get("toolConfig")]
            if body.get("system") or body.get("toolConfig")
            else None
        )

    def reply(self, asked: Asked, said: Generation) -> bytes:
        """Return a ``ConverseResponse``."""
        body: dict[str, object] = {
            "metrics": {"latencyMs": LATENCY_MS},
            "output": {"message": {"role": "assistant", "content": list(_content(asked, said))}},
            **_stop(asked, said),
            "usage": _usage(said),
            **_served(said),
        }
        if said.shape.usage == "never":
            del body["usage"]
        return _encode(body)

    def events(self, asked: Asked, said: Generation) -> list[Event]:
        """Return the messages of a stream; the last one is ``metadata``."""
        events = [_event("messageStart", {"role": "assistant"}, said)]
        events += _block_events(asked, said)
        events.append(_event("messageStop", _stop(asked, said), said))
        if said.shape.usage != "never":
            told = {"metrics": {"latencyMs": LATENCY_MS}, "usage": _usage(said), **_served(said)}
            events.append(_event("metadata", told, said))
        if said.shape.unknown_events:
            events.insert(1, _event("simulatedUnknown", {"note": "ignore me"}, said))
        return events

    def stream_type(self, asked: Asked) -> str:
        """Return the type of a binary stream."""
        del asked
        return CONTENT_TYPE

    def reply_id(self, asked: Asked) -> str:
        """Return the request's id: a reply has none of its own."""
        return str(uuid.UUID(bytes=asked.draw("request")))

    def headers(self, asked: Asked) -> Headers:
        """Return the request's id."""
        return [("x-amzn-requestid", self.reply_id(asked))]

    def error_headers(self, spec: ErrorSpec) -> Headers:
        """Return the header that has the error's code."""
        return [("x-amzn-errortype", code_of(spec) + NAMESPACE)]

    def error(self, spec: ErrorSpec, asked: Asked) -> bytes:
        """Return ``{"message": …}``."""
        del asked
        return _encode({"message": message_of(spec)})

    def error_event(self, asked: Asked, body: bytes, n: int) -> bytes:
        """Return an exception of the server."""
        del asked, n
        return exception_frame("internalServerException", body)

    def broken_off(self, asked: Asked, spec: ErrorSpec, body: bytes, n: int) -> bytes:
        """Return an exception by its own name."""
        del asked, n
        return exception_frame(exception_of(spec), body)

    def maimed(self, event: bytes) -> bytes:
        """Return a message whose JSON ends in its middle, with the checksums of that."""
        return half_frame(event)

    def wrong_key(self, asked: Asked) -> Problem:
        """Return the refusal of a key that is not accepted."""
        del asked
        return Problem(403, kind="credential")

    def rate_headers(self, rates: Rates) -> Headers:
        """Return none: Bedrock tells no rates."""
        del rates
        return []

    def model_list(self, models: list[str]) -> bytes:
        """Return no list: another service of AWS has it."""
        del models
        raise Problem(404, "Bedrock lists models elsewhere.")

    def model(self, name: str) -> bytes:
        """Return nothing of a model: another service of AWS tells it."""
        raise Problem(404, f"Bedrock tells of {name} elsewhere.")


def _messages(body: dict[str, object]) -> list[dict[str, object]]:
    try:
        messages = list(messages_of(body))
    except Problem as problem:
        problem.message = "The messages field is required."
        raise
    for message in messages:
        if message.get("role") not in {"user", "assistant", "system"}:
            shown = (
                "1 validation error detected: Value at 'messages.1.member.role' failed to satisfy "
            )
            raise Problem(400, f"{shown}constraint: Member must satisfy enum value set")
    return messages


def _schema(body: dict[str, object]) -> dict[str, object] | None:
    """Return the schema that an answer must fit; it is JSON in a text here."""
    found: object = body.get("outputConfig")
    for key in ("textFormat", "structure", "jsonSchema", "schema"):
        found = found.get(key) if is_object(found) else None
    if not isinstance(found, str):
        return None
    try:
        schema: object = msgspec.json.decode(found)
    except msgspec.DecodeError:
        raise Problem(400, "The schema is not valid JSON.") from None
    return schema if is_object(schema) else None


def _last(message: dict[str, object]) -> Last:
    if message.get("role") != "user":
        return "other"
    content = message.get("content")
    parts = content if is_array(content) else []
    return "tool" if any(is_object(part) and "toolResult" in part for part in parts) else "user"


def _message_bytes(message: dict[str, object]) -> int:
    """Count the bytes of a message that a model reads as text; an image is 0."""
    content = message.get("content")
    return sum(_block_bytes(block) for block in (content if is_array(content) else []))


def _block_bytes(block: object) -> int:
    if not is_object(block):
        return 0
    if isinstance(text := block.get("text"), str):
        return len(text.encode())
    use, result = block.get("toolUse"), block.get("toolResult")
    if is_object(use):
        return len(str(use.get("name")).encode()) + json_bytes(use.get("input"))
    if is_object(result):
        return _message_bytes(result)
    return 0


def _usage(said: Generation) -> dict[str, object]:
    """Return usage as Bedrock counts it: ``inputTokens`` excludes what a cache served or took."""
    usage = said.usage
    written = usage.cache_write_tokens + usage.cache_write_long_tokens
    told: dict[str, object] = {
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.total_output_tokens,
        "totalTokens": usage.total_input_tokens + usage.total_output_tokens,
    }
    if usage.cache_read_tokens or written:
        told["cacheReadInputTokens"] = usage.cache_read_tokens
        told["cacheWriteInputTokens"] = written
    lifetimes = (("1h", usage.cache_write_long_tokens), ("5m", usage.cache_write_tokens))
    if written:
        told["cacheDetails"] = [{"ttl": ttl, "inputTokens": n} for ttl, n in lifetimes if n]
    return told


def _served(said: Generation) -> dict[str, object]:
    return {} if said.service_tier is None else {"serviceTier": {"type": said.service_tier}}


def _stop(asked: Asked, said: Generation) -> dict[str, object]:
    """Return why a message ended, and the text that ended it where the request asks for that."""
    refused = said.refusal is not None and said.finish == "stop" and said.finish_reason is None
    reason = "content_filtered" if refused else said.finish_as(FINISH)
    stop: dict[str, object] = {"stopReason": reason}
    wanted = asked.body.get("additionalModelResponseFieldPaths")
    if is_array(wanted) and STOP_SEQUENCE in wanted:
        stop["additionalModelResponseFields"] = {"stop_sequence": said.stopped_by}
    return stop


def _content(asked: Asked, said: Generation) -> Iterator[dict[str, object]]:
    """Yield the content blocks of a plain reply."""
    if said.thinking:
        told = {"text": said.thinking, "signature": _signature(asked, said)}
        yield {"reasoningContent": {"reasoningText": told}}
    if spoken := said.text + (said.refusal or ""):
        yield {"text": spoken}
    for use in said.tool_uses:
        yield {"toolUse": {"toolUseId": _tool_id(use), "name": use.name, "input": _input(use)}}


def _block_events(asked: Asked, said: Generation) -> Iterator[Event]:
    """Yield the messages of every content block; a block of words has no beginning of its own."""
    index = 0
    if said.thinking:
        for piece in pieces(said.thinking):
            yield _delta(index, {"reasoningContent": {"text": piece}}, said, Carries.OUTPUT)
        yield _delta(index, {"reasoningContent": {"signature": _signature(asked, said)}}, said)
        yield _event("contentBlockStop", {"contentBlockIndex": index}, said)
        index += 1
    if spoken := said.text + (said.refusal or ""):
        for piece in pieces(spoken):
            yield _delta(index, {"text": piece}, said, Carries.OUTPUT)
        yield _event("contentBlockStop", {"contentBlockIndex": index}, said)
        index += 1
    for part in tool_parts(said.tool_uses, said.shape, first=index):
        if part.opens:
            use = {"toolUseId": _tool_id(part.use), "name": part.use.name}
            start = {"contentBlockIndex": part.index, "start": {"toolUse": use}}
            yield _event("contentBlockStart", start, said)
        delta = {"toolUse": {"input": part.fragment}}
        yield _delta(part.index, delta, said, Carries.OUTPUT)
        if part.closes:
            yield _event("contentBlockStop", {"contentBlockIndex": part.index}, said)


def _delta(
    index: int, delta: Mapping[str, object], said: Generation, carries: Carries = Carries.NOTHING
) -> Event:
    return _event("contentBlockDelta", {"contentBlockIndex": index, "delta": delta}, said, carries)


def _event(
    kind: str, page: Mapping[str, object], said: Generation, carries: Carries = Carries.NOTHING
) -> Event:
    unknown = {"simulated": {"unknown": [1, None]}} if said.shape.unknown_fields else {}
    payload = _encode({**page, **unknown})
    padded = _encode({**page, **unknown, "p": PADDING[: 4 + len(payload) % 32]})
    return Event(event_frame(kind, padded), carries)


def _signature(asked: Asked, said: Generation) -> str:
    return asked.seals.mint(asked.draw("signature"), "thinking", said.thinking)


def _tool_id(use: ToolUse) -> str:
    return use.given_id or f"tooluse_{base64.urlsafe_b64encode(use.id).decode().rstrip('=')}"


def _input(use: ToolUse) -> dict[str, object]:
    """Return the arguments as the object that a plain reply needs; what is none becomes empty."""
    try:
        value: object = msgspec.json.decode(use.arguments)
    except msgspec.DecodeError:
        return {}
    return value if is_object(value) else {}
