"""OpenAI Chat Completions as a provider speaks it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from callgate.call import Usage
from callgate.testing.simulator.formats.format import CREATED_AT, Carries, Event, pieces
from callgate.testing.simulator.formats.openai import (
    OpenAIFormat,
    read_limit,
    read_model,
    refuse_flaws,
    tool_id,
)
from callgate.testing.simulator.formats.tool_parts import ToolPart, tool_parts
from callgate.testing.simulator.generation import Generation
from callgate.testing.simulator.request import (
    Asked,
    Last,
    Problem,
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
from callgate.testing.simulator.strict import OPENAI_CHAT_FIELDS
from callgate.testing.simulator.strict.openai_chat import refuse_broken_messages

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

_encode = msgspec.json.Encoder().encode


class OpenAIChat(OpenAIFormat):
    """Source: types of the openai package 3.57.0 (``chat.completion``, ``chat.completion.chunk``)."""

    name = "openai_chat"
    ends_with_done = 1

    def read(self, body: dict[str, object], asked: Asked, *, strict: bool) -> None:
        """Read a request; see :class:`callgate.testing.simulator.formats.format.Format`."""
        asked.model = read_model(body)
        messages = _messages(body)
        if strict:
            refuse_flaws(body, OPENAI_CHAT_FIELDS)
            refuse_broken_messages(messages)
        asked.stream = body.get("stream") is True
        options = body.get("stream_options")
        asked.wants_usage = is_object(options) and options.get("include_usage") is True
        asked.output_limit = read_limit(body, "max_completion_tokens", "max_tokens")
        asked.choices = _choices(body)
        asked.schema = read_schema(body.get("response_format"))
        asked.stops = read_stops(body.get("stop"))
        users = [message for message in messages if message.get("role") == "user"]
        asked.text = texts(users[-1].get("content")) if users else ""
        asked.last = LAST.get(str(messages[-1].get("role")), "other")
        asked.input_bytes = sum(map(text_bytes, messages)) + json_bytes(body.get("tools"))

    def reply(self, asked: Asked, said: Generation) -> bytes:
        """Return a ``chat.completion``."""
        silent = said.tool_uses or said.refusal is not None
        message: dict[str, object] = {
            "role": "assistant",
            "content": said.text if said.text or not silent else None,
            "refusal": said.refusal,
            "annotations": [],
        }
        if said.tool_uses:
            message["tool_calls"] = [
                {
                    "id": tool_id(use),
                    "type": "function",
                    "function": {"name": use.name, "arguments": use.arguments},
                }
                for use in said.tool_uses
            ]
        finish = said.finish_as(FINISH)
        choices = [
            {"index": n, "message": message, "logprobs": None, "finish_reason": finish}
            for n in range(asked.choices)
        ]
        body = {**self._head(asked, said, "chat.completion"), "choices": choices}
        if said.shape.usage != "never":
            body["usage"] = _usage(said.usage)
        return _encode(body)

    def events(self, asked: Asked, said: Generation) -> list[Event]:
        """Return the chunks of a stream; the last event is ``[DONE]``."""
        head = _encode(self._head(asked, said, "chat.completion.chunk"))[:-1] + b',"choices":['
        place = said.shape.usage
        usage = _encode(_usage(said.usage)) if _tells_usage(asked, said) else None
        shown = usage if usage is not None and place == "every" else b"null"
        tail = b'],"usage":%b}\n\n' % shown if usage is not None else b"]}\n\n"
        alone = [] if usage is None else [Event(b'data: %b],"usage":%b}\n\n' % (head, usage))]
        events: list[Event] = []
        for n in range(asked.choices):
            start = b'data: %b{"index":%d,"delta":' % (head, n)
            end = b',"logprobs":null,"finish_reason":null}' + tail
            events.extend(
                Event(b"%b%b%b" % (start, delta, end), carries) for delta, carries in _deltas(said)
            )
            if place == "before_finish" and n == asked.choices - 1:
                events += alone
            reason = _encode(said.finish_as(FINISH))
            finish = b'{},"logprobs":null,"finish_reason":%b}' % reason
            events.append(Event(start + finish + tail))
        return events if place == "before_finish" else events + alone

    def reply_id(self, asked: Asked) -> str:
        """Return an id such as ``chatcmpl-3f2a…``."""
        return f"chatcmpl-{asked.draw('reply').hex()}"

    def _head(self, asked: Asked, said: Generation, kind: str) -> dict[str, object]:
        return {
            "id": self.reply_id(asked),
            "object": kind,
            "created": CREATED_AT,
            "model": asked.model,
            "service_tier": said.service_tier or "default",
            "system_fingerprint": "fp_simulator",
        }


def _tells_usage(asked: Asked, said: Generation) -> bool:
    """Say whether a stream tells its usage; some servers do where nobody asked."""
    return said.shape.usage != "never" and (asked.wants_usage or said.shape.usage != "usual")


def _deltas(said: Generation) -> Iterator[tuple[bytes, Carries]]:
    """Yield one choice's deltas: the role first, then text, then each tool call in fragments."""
    silent = not said.text and (said.tool_uses or said.refusal is not None)
    content = b"null" if silent else b'""'
    yield b'{"role":"assistant","content":%b,"refusal":null}' % content, Carries.NOTHING
    for piece in pieces(said.text):
        yield b'{"content":%b}' % _encode(piece), Carries.OUTPUT
    for piece in pieces(said.refusal or ""):
        yield b'{"refusal":%b}' % _encode(piece), Carries.OUTPUT
    for part in tool_parts(said.tool_uses, said.shape):
        named = part.opens or said.shape.tool_name == "repeated"
        yield b'{"tool_calls":[%b]}' % _encode(_tool_delta(part, named=named)), Carries.OUTPUT


def _tool_delta(part: ToolPart, *, named: bool) -> dict[str, object]:
    if not named:
        return {"index": part.index, "function": {"arguments": part.fragment}}
    return {
        "index": part.index,
        "id": tool_id(part.use),
        "type": "function",
        "function": {"name": part.use.name, "arguments": part.fragment},
    }


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


def _messages(body: dict[str, object]) -> list[dict[str, object]]:
    try:
        return list(messages_of(body))
    except Problem as problem:
        if problem.code == "missing_required_parameter":
            problem.message = "Missing required parameter: 'messages'."
        else:
            problem.message = f"Invalid type for '{problem.param}'."
        raise


def _choices(body: dict[str, object]) -> int:
    value = body.get("n")
    if value is None:
        return 1
    if not is_integer(value) or not 1 <= value <= MOST_CHOICES:
        message = f"Invalid value for 'n': expected an integer from 1 to {MOST_CHOICES}."
        raise Problem(400, message, param="n", code="invalid_value")
    return value
