"""What the simulated model generates for a request, before any protocol dresses it."""

from __future__ import annotations

from itertools import accumulate
from typing import Final

import msgspec

from callgate.call import Usage
from callgate.testing.simulator.request import BYTES_A_TOKEN, Asked
from callgate.testing.simulator.script import AnswerTable, Finish, ToolCallTable

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
    tool_uses: list[ToolUse] = []
    finish: Finish = "stop"
    cut: bool = False
    """Whether the request's output limit ended it."""
    usage: Usage = Usage()


def generate(asked: Asked, answer: AnswerTable | None) -> Generation:
    """Return what the model says to a request.

    Args:
        asked: The request.
        answer: What the script says; None, or nothing in it, makes an answer up.
    """
    answer = answer or AnswerTable()
    thinking = answer.thinking or ""
    text = _text(asked, answer)
    uses = [_tool_use(asked, n, call) for n, call in enumerate(answer.tool_calls)]
    said = Generation(thinking=thinking, text=text, tool_uses=uses)
    if answer.usage.output_tokens is None and asked.output_limit is not None:
        said = _cut(said, asked.output_limit)
    if answer.finish is not None:
        said.finish = answer.finish
    elif said.finish == "stop" and said.tool_uses:
        said.finish = "tool_calls"
    said.usage = _usage(asked, answer, said)
    return said


def count_words(text: str) -> int:
    """Count the words between white space: output tokens where the script does not say."""
    return len(text.split())


def _text(asked: Asked, answer: AnswerTable) -> str:
    if answer.text is not None:
        return answer.text
    if answer.words is None and (answer.tool_calls or answer.thinking is not None):
        return ""
    drawn = asked.draw_text()
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


def _cut(said: Generation, limit: int) -> Generation:
    """Return what fits in ``limit`` output tokens: thinking, then text, then whole tool calls."""
    thinking, left = _first_words(said.thinking, limit)
    text, left = _first_words(said.text, left)
    costs = accumulate(_tool_tokens(use) for use in said.tool_uses)
    uses = [use for use, cost in zip(said.tool_uses, costs, strict=True) if cost <= left]
    whole = (thinking, text, len(uses)) == (said.thinking, said.text, len(said.tool_uses))
    return Generation(
        thinking=thinking,
        text=text,
        tool_uses=uses,
        finish="stop" if whole else "length",
        cut=not whole,
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
    return count_words(said.text) + sum(_tool_tokens(use) for use in said.tool_uses)


def _usage(asked: Asked, answer: AnswerTable, said: Generation) -> Usage:
    told = answer.usage
    reasoning = told.reasoning_tokens
    if reasoning is None:
        reasoning = count_words(said.thinking) * asked.choices
    output = told.output_tokens
    if output is None:
        output = _output_tokens(asked, said) * asked.choices
    # Chat Completions names one bucket of cache writes; what it cannot tell, it cannot bill.
    folds = asked.api == "openai"
    long = told.cache_write_long_tokens
    return Usage(
        input_tokens=asked.input_tokens if told.input_tokens is None else told.input_tokens,
        cache_read_tokens=told.cache_read_tokens,
        cache_write_tokens=told.cache_write_tokens + (long if folds else 0),
        cache_write_long_tokens=0 if folds else long,
        output_tokens=output,
        reasoning_tokens=reasoning,
    )
