"""Gemini's ``generateContent`` as Google speaks it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qs

import msgspec

from callgate.call import Usage
from callgate.testing.simulator.formats.format import (
    EVENT_STREAM,
    Carries,
    ErrorSpec,
    Event,
    Format,
    Headers,
    Rates,
    pieces,
)
from callgate.testing.simulator.formats.gemini_errors import error_body
from callgate.testing.simulator.formats.gemini_request import read_contents, thinks_aloud
from callgate.testing.simulator.generation import Generation, ToolUse
from callgate.testing.simulator.proto import field
from callgate.testing.simulator.request import Asked, Problem, is_object
from callgate.testing.simulator.script import Finish
from callgate.testing.simulator.strict.gemini import refuse_broken_contents, refuse_unknown_fields

FINISH: Final[dict[Finish, str]] = {
    "stop": "STOP",
    "stop_sequence": "STOP",
    "pause": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "context": "MAX_TOKENS",
    "refusal": "SAFETY",
}
"""Source: ``FinishReason`` of the google-genai package 3.6.1; ``finish_reason`` has the others."""

METHODS: Final = ["generateContent", "countTokens", "createCachedContent", "batchGenerateContent"]

_encode = msgspec.json.Encoder().encode

Part = dict[str, object]
Chunk = tuple[int, list[Part], Carries]
"""The candidate that it is of, its parts, and what of the output they bring."""


class Gemini(Format):
    """Source: types of the google-genai package 3.6.1 (``GenerateContentResponse``)."""

    name = "gemini"
    api = "gemini"
    tells_waits_in_body = True
    keepalive = b": keepalive\r\n\r\n"

    def read(self, body: dict[str, object], asked: Asked, *, strict: bool) -> None:
        """Read a request; see :class:`callgate.testing.simulator.formats.format.Format`."""
        if asked.endpoint == "count_tokens":
            inner = field(body, "generateContentRequest")
            body = inner if is_object(inner) else body
        if strict:
            refuse_unknown_fields(body)
        contents = read_contents(body, asked)
        if strict:
            refuse_broken_contents(body, contents, asked)

    def reply(self, asked: Asked, said: Generation) -> bytes:
        """Return a ``GenerateContentResponse``."""
        if said.block_reason is not None:
            return _encode(_blocked(asked, said))
        parts = [part for part, _ in _parts(asked, said)]
        candidates = [_candidate(n, parts, _ending(said)) for n in range(asked.choices)]
        told = None if said.shape.usage == "never" else _usage(said.usage)
        return _encode(_response(asked, candidates, told))

    def events(self, asked: Asked, said: Generation) -> list[Event]:
        """Return the chunks of a stream; the last one has the reason for the end."""
        if said.block_reason is not None:
            return _framed([(_blocked(asked, said), Carries.NOTHING)], asked)
        chunks = list(_chunks(asked, said))
        bodies: list[tuple[dict[str, object], Carries]] = []
        for n, (candidate, parts, carries) in enumerate(chunks):
            is_last = n >= len(chunks) - asked.choices
            body = _candidate(candidate, parts, _ending(said) if is_last else {})
            bodies.append((_response(asked, [body], _told(said, chunks, n)), carries))
        return _framed(bodies, asked)

    def stream_type(self, asked: Asked) -> str:
        """Return ``application/json`` unless the query asks for events."""
        return EVENT_STREAM if _wants_events(asked) else "application/json; charset=UTF-8"

    def reply_id(self, asked: Asked) -> str:
        """Return an id in base64, such as ``8J2k…``."""
        return _reply_id(asked)

    def headers(self, asked: Asked) -> Headers:
        """Return what Google's front end sends."""
        return [
            ("server", "scaffolding on HTTPServer2"),
            ("server-timing", f"gfet4t7; dur={asked.draw('timing')[0]}"),
        ]

    def error(self, spec: ErrorSpec, asked: Asked) -> bytes:
        """Return Google's error, in an array where the stream would have been one."""
        body = error_body(spec)
        is_array = asked.stream and not _wants_events(asked)
        return b"[%b\n]" % body if is_array else body

    def error_event(self, asked: Asked, body: bytes, n: int) -> bytes:
        """Return an error in the place of a chunk."""
        if _wants_events(asked):
            return b"data: %b\r\n\r\n" % _one_line(body)
        return b"%b%b]" % (b",\r\n" if n else b"", body.strip(b"[]\n"))

    def rate_headers(self, rates: Rates) -> Headers:
        """Return none: Gemini tells no rates."""
        del rates
        return []

    def wrong_key(self, asked: Asked) -> Problem:
        """Return the refusal of a wrong key, which is no 401, or of a missing one."""
        return Problem(400 if asked.key else 403, kind="credential")

    def count(self, asked: Asked) -> bytes:
        """Return the answer of ``countTokens``."""
        details = [{"modality": "TEXT", "tokenCount": asked.input_tokens}]
        return _encode({"totalTokens": asked.input_tokens, "promptTokensDetails": details})

    def model_list(self, models: list[str]) -> bytes:
        """Return the page of ``/v1beta/models``."""
        return _encode({"models": [_model(name) for name in models]})

    def model(self, name: str) -> bytes:
        """Return one model."""
        return _encode(_model(name))


def _wants_events(asked: Asked) -> bool:
    return parse_qs(asked.query).get("alt") == ["sse"]


def _response(
    asked: Asked, candidates: list[dict[str, object]], usage: dict[str, object] | None
) -> dict[str, object]:
    body: dict[str, object] = {"candidates": candidates}
    if usage is not None:
        body["usageMetadata"] = usage
    return {**body, "modelVersion": asked.model, "responseId": _reply_id(asked)}


def _blocked(asked: Asked, said: Generation) -> dict[str, object]:
    return {
        "promptFeedback": {"blockReason": said.block_reason},
        "usageMetadata": _usage(Usage(input_tokens=said.usage.total_input_tokens)),
        "modelVersion": asked.model,
        "responseId": _reply_id(asked),
    }


def _reply_id(asked: Asked) -> str:
    return base64.urlsafe_b64encode(asked.draw("reply", 15)).decode()


def _candidate(n: int, parts: list[Part], ending: dict[str, object]) -> dict[str, object]:
    content: dict[str, object] = {"parts": parts, "role": "model"} if parts else {"role": "model"}
    return {"content": content, **ending, "index": n}


def _ending(said: Generation) -> dict[str, object]:
    refused = said.refusal is not None and said.finish == "stop" and said.finish_reason is None
    reason = "SAFETY" if refused else said.finish_as(FINISH)
    ending: dict[str, object] = {"finishReason": reason}
    if reason == "MALFORMED_FUNCTION_CALL":
        ending["finishMessage"] = "Malformed function call: print(default_api."
    return ending


def _parts(asked: Asked, said: Generation) -> Iterator[tuple[Part, Carries]]:
    """Yield the parts of a whole reply."""
    if said.thinking and thinks_aloud(asked.body):
        yield {"text": said.thinking, "thought": True}, Carries.THINKING
    if text := said.text + (said.refusal or ""):
        part: Part = {"text": text}
        if _thought(said) and not said.tool_uses:
            part["thoughtSignature"] = _signature(asked)
        yield part, Carries.OUTPUT
    yield from _calls(asked, said)


def _calls(asked: Asked, said: Generation) -> Iterator[tuple[Part, Carries]]:
    """Yield the function calls; the first of parallel ones is signed, as Gemini 3 does."""
    for n, use in enumerate(said.tool_uses):
        call: dict[str, object] = {"name": use.name, "args": _arguments(use)}
        if use.given_id is not None:
            call["id"] = use.given_id
        part: Part = {"functionCall": call}
        if n == 0:
            part["thoughtSignature"] = _signature(asked)
        yield part, Carries.OUTPUT


def _chunks(asked: Asked, said: Generation) -> Iterator[Chunk]:
    """Yield every chunk of every candidate; each one's last has no output, as it often has not."""
    ends: list[Chunk] = []
    for candidate in range(asked.choices):
        if said.thinking and thinks_aloud(asked.body):
            for piece in pieces(said.thinking):
                yield candidate, [{"text": piece, "thought": True}], Carries.THINKING
        for piece in pieces(said.text + (said.refusal or "")):
            yield candidate, [{"text": piece}], Carries.OUTPUT
        for part, carries in _calls(asked, said):
            yield candidate, [part], carries
        last: Part = {"text": ""}
        if _thought(said) and not said.tool_uses:
            last["thoughtSignature"] = _signature(asked)
        empty = not (said.text or said.tool_uses or said.refusal or said.thinking)
        ends.append((candidate, [] if empty else [last], Carries.NOTHING))
    yield from ends


def _thought(said: Generation) -> bool:
    return bool(said.thinking) or said.usage.reasoning_tokens > 0


def _signature(asked: Asked) -> str:
    return asked.seals.mint(asked.draw("thought"), "thought")


def _arguments(use: ToolUse) -> dict[str, object]:
    """Return the arguments as the object that they are here; what is none becomes empty."""
    try:
        value: object = msgspec.json.decode(use.arguments)
    except msgspec.DecodeError:
        return {}
    return value if is_object(value) else {}


def _told(said: Generation, chunks: list[Chunk], n: int) -> dict[str, object] | None:
    """Return the usage up to the ``n``-th chunk: cumulative, never to be added up."""
    last = len(chunks) - 1
    place = said.shape.usage
    if place == "never" or (place == "before_finish" and n != max(0, last - 1)):
        return None
    if n == last or place == "before_finish":
        return _usage(said.usage)
    speaks = [carries is Carries.OUTPUT for _, _, carries in chunks]
    spoken = sum(speaks[: n + 1])
    output = -(-said.usage.output_tokens * spoken // max(1, sum(speaks)))
    reasoning = said.usage.reasoning_tokens
    if not spoken:
        thinks = [carries is Carries.THINKING for _, _, carries in chunks]
        reasoning = -(-reasoning * sum(thinks[: n + 1]) // max(1, sum(thinks)))
    return _usage(
        msgspec.structs.replace(said.usage, output_tokens=output, reasoning_tokens=reasoning)
    )


def _usage(usage: Usage) -> dict[str, object]:
    """Return usage as Gemini counts it: caches within the prompt, thoughts outside of candidates.

    Source: google-genai 3.6.1 ``GenerateContentResponseUsageMetadata``; a count of 0 is left out,
    as JSON of protocol buffers leaves it out.
    """
    prompt = usage.total_input_tokens
    told: dict[str, object] = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": usage.output_tokens,
        "totalTokenCount": prompt + usage.total_output_tokens,
        "cachedContentTokenCount": usage.cache_read_tokens,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
        "thoughtsTokenCount": usage.reasoning_tokens,
    }
    if usage.cache_read_tokens:
        cached = {"modality": "TEXT", "tokenCount": usage.cache_read_tokens}
        told["cacheTokensDetails"] = [cached]
    return {name: value for name, value in told.items() if value}


def _framed(bodies: list[tuple[dict[str, object], Carries]], asked: Asked) -> list[Event]:
    """Return chunks as events, or as the elements of one JSON array."""
    if _wants_events(asked):
        return [Event(b"data: %b\r\n\r\n" % _encode(body), carries) for body, carries in bodies]
    last = len(bodies) - 1
    return [
        Event(
            b"%b%b%b" % (b",\r\n" if n else b"[", _encode(body), b"\n]" if n == last else b"\n"),
            carries,
        )
        for n, (body, carries) in enumerate(bodies)
    ]


def _one_line(body: bytes) -> bytes:
    """Return JSON without line ends, which would end the event; what is none goes as it is."""
    try:
        return msgspec.json.format(body, indent=-1)
    except msgspec.DecodeError:
        return body


def _model(name: str) -> dict[str, object]:
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name,
        "description": "A simulated model.",
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": METHODS,
        "temperature": 1,
        "topP": 0.95,
        "topK": 64,
        "maxTemperature": 2,
        "thinking": True,
    }
