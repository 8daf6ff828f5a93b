"""The tables of a script that say what a model answers, how fast, and in what shape."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import pydantic
from pydantic import Field

from callgate.testing.simulator.script.values import (
    Count,
    Encoding,
    Finish,
    Json,
    Seconds,
    Table,
    Tokens,
)


class UsageTable(Table):
    """Tokens of one answer in disjoint buckets; see :class:`callgate.call.Usage`.

    A bucket of input, output or reasoning that is not named follows the answer itself; one of a
    cache is 0.
    """

    input_tokens: Tokens | None = None
    cache_read_tokens: Tokens = 0
    cache_write_tokens: Tokens = 0
    cache_write_long_tokens: Tokens = 0
    output_tokens: Tokens | None = None
    reasoning_tokens: Tokens | None = None


class ToolCallTable(Table):
    """One tool call of an answer."""

    name: str
    arguments: Json | str = Field(default_factory=dict)
    """An object, or the exact text to send, which need not be JSON."""
    id: str | None = None
    """None makes one from the seed and the request."""


class AnswerTable(Table):
    """What the model says."""

    text: str | None = None
    words: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Instead of ``text``: this many words, made from the seed and the request."""
    thinking: str | None = None
    refusal: str | None = None
    """Words with which the model refuses, where the format keeps them apart from text."""
    tool_calls: Annotated[tuple[ToolCallTable, ...], Field(strict=False)] = ()
    finish: Finish | None = None
    finish_reason: str | None = None
    """Instead of ``finish``: the exact word to send, known or not."""
    block_reason: str | None = None
    """Gemini: the prompt is blocked with this reason, and nothing is generated."""
    usage: UsageTable = UsageTable()
    service_tier: str | None = None
    """How the reply says that it was served; it is billed so. None: at the standard tier."""
    headers: dict[str, str] = Field(default_factory=dict[str, str])
    """Sent besides the provider's own, such as rate-limit headers."""
    encoding: Encoding | None = None
    """Compresses a plain reply."""

    @pydantic.model_validator(mode="after")
    def _one_of_each(self) -> Self:
        for one, other in (("text", "words"), ("finish", "finish_reason")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                msg = f"{one} and {other} exclude each other"
                raise ValueError(msg)
        return self


class PaceTable(Table):
    """How long an answer takes."""

    headers_seconds: Seconds = 0.0
    first_event_seconds: Seconds = 0.0
    """From the headers to a stream's first event."""
    event_seconds: Seconds = 0.0
    """Between two events of a stream."""
    chunk_bytes: Count | None = None
    """Cuts a stream into pieces of this size wherever they fall, also inside a character."""


class ShapeTable(Table):
    """In what shape a stream comes, where servers of a format differ."""

    tool_index: Literal["usual", "zero", "gaps"] = "usual"
    """All tool calls say 0, or the first says 3 and each further one two more."""
    tool_order: Literal["usual", "interleaved"] = "usual"
    tool_arguments: Literal["fragments", "whole", "with_name"] = "fragments"
    """All of a call in one event, or its first fragment in the event that has its name."""
    tool_name: Literal["once", "repeated"] = "once"
    """Chat Completions: id and name in every fragment."""
    usage: Literal["usual", "every", "never", "before_finish"] = "usual"
    done: Annotated[int, Field(ge=0, le=9)] | None = None
    """How many ``[DONE]`` end it; None for as many as the format has."""
    keepalive: Literal["comment", "event"] | None = None
    keepalive_every: Count = 1
    """A keepalive before every so many events."""
    ids: bool = False
    """Every event, keepalives not, has an ``id:`` line."""
    event_names: bool = True
    """False leaves out every ``event:`` line."""
    empty_data: bool = False
    """The second event is ``data:`` without anything."""
    unknown_events: bool = False
    unknown_fields: bool = False
    newline: Literal["lf", "crlf", "cr"] | None = None
    """None for what the format has."""
