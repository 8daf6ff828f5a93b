"""What the simulated model generates for a request, before any protocol dresses it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Final

import msgspec

from callgate.call import Usage
from callgate.testing.simulator.made_up import MadeUp
from callgate.testing.simulator.request import BYTES_A_TOKEN, Asked
from callgate.testing.simulator.script import (
    AnswerTable,
    Finish,
    ShapeTable,
    StepTable,
    ToolCallTable,
)

ANY_OBJECT: Final = {"type": "object", "properties": {"answer": {"type": "string"}}}
UNSCRIPTED: Final = AnswerTable()

WORDS: Final = (
    "the", "river", "keeps", "a", "slow", "record", "of", "every", "stone", "and",
    "each", "morning", "counts", "what", "light", "has", "left", "behind", "under", "old",
    "bridges", "while", "quiet", "boats", "carry", "salt", "toward", "harbour", "walls", "where",
    "gulls", "wait",
)  # fmt: skip
"""What an unscripted answer is made of."""

SHORTEST, LONGEST = 8, 24
"""How many words an unscripted answer has."""


class ToolUse(msgspec.Struct, kw_only=True):
    """One tool call that the model makes."""

    id: bytes
    """Random-looking bytes, for an id in the style of each provider."""
    given_id: str | None
    name: str
    arguments: str
    """JSON, unless the script says otherwise."""


class Generation(msgspec.Struct, kw_only=True):
    """All that one request makes the model say."""

    thinking: str = ""
    text: str = ""
    refusal: str | None = None
    """Words with which it refuses."""
    tool_uses: list[ToolUse] = []
    finish: Finish = "stop"
    finish_reason: str | None = None
    """The exact word to send instead."""
    block_reason: str | None = None
    """Why the prompt is blocked, so that nothing is generated."""
    stopped_by: str | None = None
    """The stop sequence of the request that ended it."""
    cut: bool = False
    """Whether the request's output limit ended it."""
    usage: Usage = Usage()
    service_tier: str | None = None
    """How it is served; None: at the standard tier."""
    shape: ShapeTable = ShapeTable()
    """In what shape its stream comes."""

    def finish_as(self, words: Mapping[Finish, str]) -> str:
        """Return how it ended, in a format's own words."""
        return self.finish_reason or words[self.finish]


def generate(asked: Asked, step: StepTable) -> Generation:
    """Return what the model says to a request.

    Args:
        asked: The request.
        step: What the script says; one without an answer makes it up.
    """
    answer = step.answer or UNSCRIPTED
    said = _cut(_stopped(_everything(asked, answer), asked), asked, answer)
    said.shape = step.shape
    said.finish_reason = answer.finish_reason
    said.service_tier = answer.service_tier
    if answer.finish is not None:
        said.finish = answer.finish
    elif said.finish == "stop" and said.tool_uses:
        said.finish = "tool_calls"
    said.usage = _usage(asked, answer, said)
    return said


def _everything(asked: Asked, answer: AnswerTable) -> Generation:
    """Return what the model would say if nothing stopped it."""
    if answer.block_reason is not None:
        return Generation(block_reason=answer.block_reason)
    return Generation(
        thinking=answer.thinking or "",
        text=_text(asked, answer),
        refusal=answer.refusal,
        tool_uses=[_tool_use(asked, n, call) for n, call in enumerate(answer.tool_calls)],
    )


def count_words(text: str) -> int:
    """Count the words between white space: output tokens where the script does not say."""
    return len(text.split())


def _text(asked: Asked, answer: AnswerTable) -> str:
    if answer.text is not None:
        return answer.text
    others = (answer.thinking, answer.refusal, *answer.tool_calls)
    if answer.words is None and any(other is not None for other in others):
        return ""
    drawn = asked.draw_text()
    if answer.words is None and asked.schema is not None:
        made_up = MadeUp(asked.schema or ANY_OBJECT, drawn, WORDS).value()
        return msgspec.json.format(msgspec.json.encode(made_up), indent=0).decode()
    count = answer.words or SHORTEST + drawn[0] % (LONGEST - SHORTEST + 1)
    step = drawn[1] | 1  # an odd step passes through all 32 words before it repeats
    return " ".join(WORDS[(drawn[2] + n * step) % len(WORDS)] for n in range(count))


def _tool_use(asked: Asked, n: int, call: ToolCallTable) -> ToolUse:
    arguments = call.arguments
    if not isinstance(arguments, str):
        arguments = msgspec.json.encode(arguments).decode()
    return ToolUse(
        id=asked.draw(f"tool {n}"), given_id=call.id, name=call.name, arguments=arguments
    )


def _tool_tokens(use: ToolUse) -> int:
    return -(-len((use.name + use.arguments).encode()) // BYTES_A_TOKEN)


def _stopped(said: Generation, asked: Asked) -> Generation:
    """Return what is said before the first of the request's stop sequences."""
    found = [(said.text.find(stop), stop) for stop in asked.stops if stop and stop in said.text]
    if not found:
        return said
    at, stop = min(found)
    return msgspec.structs.replace(
        said, text=said.text[:at], tool_uses=[], finish="stop_sequence", stopped_by=stop
    )


def _cut(said: Generation, asked: Asked, answer: AnswerTable) -> Generation:
    """Return what the request's output limit lets pass: thinking, text, then whole tool calls."""
    limit = asked.output_limit
    if limit is None or answer.usage.output_tokens is not None:
        return said
    thinking, left = _first_words(said.thinking, limit)
    text, left = _first_words(said.text, left)
    refusal, left = _first_words(said.refusal or "", left)
    costs = accumulate(_tool_tokens(use) for use in said.tool_uses)
    uses = [use for use, cost in zip(said.tool_uses, costs, strict=True) if cost <= left]
    whole = (thinking, text, refusal, len(uses)) == (
        said.thinking,
        said.text,
        said.refusal or "",
        len(said.tool_uses),
    )
    if whole:
        return said
    return msgspec.structs.replace(
        said,
        thinking=thinking,
        text=text,
        refusal=None if said.refusal is None else refusal,
        tool_uses=uses,
        finish="length",
        cut=True,
    )


def _first_words(text: str, limit: int) -> tuple[str, int]:
    """Return the first ``limit`` words of ``text``, and how much of the limit is left."""
    count = count_words(text)
    if count <= limit:
        return text, limit - count
    return " ".join(text.split()[:limit]), 0


def _output_tokens(asked: Asked, said: Generation) -> int:
    if said.cut and asked.output_limit is not None:
        # A tool call that did not fit was begun, and what was begun is paid for.
        return asked.output_limit - count_words(said.thinking)
    words = count_words(said.text) + count_words(said.refusal or "")
    return words + sum(_tool_tokens(use) for use in said.tool_uses)


def _usage(asked: Asked, answer: AnswerTable, said: Generation) -> Usage:
    told = answer.usage
    reasoning = told.reasoning_tokens
    if reasoning is None:
        reasoning = count_words(said.thinking) * asked.choices
    output = told.output_tokens
    if output is None:
        output = _output_tokens(asked, said) * asked.choices
    short, long = told.cache_write_tokens, told.cache_write_long_tokens
    plain = asked.input_tokens if told.input_tokens is None else told.input_tokens
    # What a format cannot tell, its provider cannot bill.
    if asked.format == "gemini":
        plain, short, long = plain + short + long, 0, 0
    elif asked.format == "openai_chat":
        short, long = short + long, 0
    elif asked.format == "bedrock_converse":
        output, reasoning = output + reasoning, 0
    return Usage(
        input_tokens=plain,
        cache_read_tokens=told.cache_read_tokens,
        cache_write_tokens=short,
        cache_write_long_tokens=long,
        output_tokens=output,
        reasoning_tokens=reasoning,
    )
