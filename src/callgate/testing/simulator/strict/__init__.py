"""The top-level fields that the providers know, for a simulator that is as strict as they are.

The modules of this package refuse what is wrong deeper inside: one for each format.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

Kinds: TypeAlias = str
"""What a field may hold: the first letters of ``text``, ``integer``, ``number``, ``flag``,
``array`` and ``object``, and ``0`` where null is accepted."""

NAMES: Final = {
    "t": "string",
    "i": "integer",
    "n": "decimal",
    "f": "boolean",
    "a": "array",
    "o": "object",
}

OPENAI_CHAT_FIELDS: Final[Mapping[str, Kinds]] = {
    "audio": "o0",
    "frequency_penalty": "n0",
    "function_call": "to",
    "functions": "a",
    "logit_bias": "o0",
    "logprobs": "f0",
    "max_completion_tokens": "i0",
    "max_tokens": "i0",
    "messages": "a",
    "metadata": "o0",
    "modalities": "a0",
    "model": "t",
    "moderation": "o0",
    "n": "i0",
    "parallel_tool_calls": "f",
    "prediction": "o0",
    "presence_penalty": "n0",
    "prompt_cache_key": "t0",
    "prompt_cache_options": "o",
    "prompt_cache_retention": "t0",
    "reasoning_effort": "t0",
    "response_format": "o",
    "safety_identifier": "t0",
    "seed": "i0",
    "service_tier": "t0",
    "stop": "ta0",
    "store": "f0",
    "stream": "f0",
    "stream_options": "o0",
    "temperature": "n0",
    "tool_choice": "to",
    "tools": "a",
    "top_logprobs": "i0",
    "top_p": "n0",
    "user": "t",
    "verbosity": "t0",
    "web_search_options": "o",
}
"""Source: ``CompletionCreateParams`` of the openai package 3.57.0."""

OPENAI_RESPONSES_FIELDS: Final[Mapping[str, Kinds]] = {
    "access_programs": "o",
    "background": "f0",
    "background_options": "o",
    "context_management": "a0",
    "conversation": "to0",
    "image": "o",
    "include": "a0",
    "input": "ta",
    "instructions": "t0",
    "max_output_tokens": "i0",
    "max_tool_calls": "i0",
    "metadata": "o0",
    "model": "t",
    "moderation": "o0",
    "parallel_tool_calls": "f0",
    "previous_response_id": "t0",
    "prompt": "o0",
    "prompt_cache_key": "t0",
    "prompt_cache_options": "o",
    "prompt_cache_retention": "t0",
    "reasoning": "o0",
    "safety_identifier": "t0",
    "service_tier": "t0",
    "store": "f0",
    "stream": "f0",
    "stream_options": "o0",
    "temperature": "n0",
    "text": "o",
    "tool_choice": "to",
    "tools": "a",
    "top_logprobs": "i0",
    "top_p": "n0",
    "truncation": "t0",
    "user": "t",
}
"""Source: ``ResponseCreateParams`` of the openai package 3.57.0."""

OPENAI_EMBEDDINGS_FIELDS: Final[Mapping[str, Kinds]] = {
    "dimensions": "i",
    "encoding_format": "t",
    "input": "ta",
    "model": "t",
    "user": "t",
}
"""Source: ``EmbeddingCreateParams`` of the openai package 3.57.0."""

ANTHROPIC_FIELDS: Final[Mapping[str, Kinds]] = {
    "billing_policy": "to0",
    "cache_control": "o0",
    "compaction": "o0",
    "container": "to0",
    "context_management": "o0",
    "diagnostics": "o0",
    "fallback_credit_token": "t0",
    "fallbacks": "ta0",
    "inference_geo": "t0",
    "max_tokens": "i",
    "mcp_servers": "a",
    "messages": "a",
    "metadata": "o",
    "model": "t",
    "output_config": "o",
    "service_tier": "t",
    "speed": "t0",
    "stop_sequences": "a",
    "stream": "f",
    "system": "ta",
    "temperature": "n",
    "thinking": "o",
    "thread": "o0",
    "tool_choice": "o",
    "tools": "a",
    "top_k": "i",
    "top_p": "n",
}
"""Source: ``MessageCreateParams``, stable and beta, of the anthropic package 2.13.0, and the three
sampling fields that older models take."""

Flaw: TypeAlias = tuple[str, str | None, str]
"""A field, what it should hold (None: it is unknown), and what it holds."""


def find_flaw(body: Mapping[str, object], fields: Mapping[str, Kinds]) -> Flaw | None:
    """Return the first top-level field that is unknown or has the wrong type."""
    for name, value in body.items():
        kinds = fields.get(name)
        found = _kind(value)
        if kinds is None:
            return name, None, found
        if _letter(value) not in kinds and not (_letter(value) == "i" and "n" in kinds):
            return name, NAMES[kinds[0]], found
    return None


def _letter(value: object) -> str:
    letters: dict[type, str] = {bool: "f", int: "i", float: "n", str: "t", list: "a", dict: "o"}
    return letters.get(type(value), "0")


def _kind(value: object) -> str:
    letter = _letter(value)
    if letter == "0":
        return "null"
    return f"{'an' if letter in 'iao' else 'a'} {NAMES[letter]}"
