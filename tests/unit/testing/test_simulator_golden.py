"""The same seed, script and request give the same bytes, today and in every later version.

A change here is a change of what clients receive: look at it before you write the files again, by
``python -m tests.unit.testing.test_simulator_golden``.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from callgate.testing.simulator import Simulator
from tests.unit.testing.raw_client import ask

GOLDEN = Path(__file__).with_name("golden")
ANSWER: dict[str, Any] = {
    "thinking": "Let me see.",
    "text": "Looking: 🌦 now",
    "tool_calls": [
        {"name": "weather", "arguments": {"city": "Köln", "days": [1, 2]}},
        {"name": "news", "arguments": {}},
    ],
    "usage": {"cache_read_tokens": 3, "cache_write_tokens": 4, "cache_write_long_tokens": 5},
}
SCRIPT: dict[str, Any] = {
    "limits": [{"requests_per_minute": 3, "tokens_per_minute": 1000}],
    "clock": "instant",
    "rules": [
        {"match": {"text": "error"}, "steps": [{"fault": {"status": 503}}]},
        {"steps": [{"answer": ANSWER}]},
    ],
}
ARRAY = "/v1beta/models/gemini-3.5-flash:streamGenerateContent"
THINKING: dict[str, Any] = {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
SUMMARY: dict[str, Any] = {
    "reasoning": {"summary": "auto"},
    "include": ["reasoning.encrypted_content"],
}
USAGE: dict[str, Any] = {"stream_options": {"include_usage": True}}
EMBEDDING: dict[str, Any] = {"path": "/v1/embeddings", "input": "hi", "dimensions": 4}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat_plain": ("openai", {}),
    "chat_stream": ("openai", {"stream": True, **USAGE}),
    "chat_error": ("openai", {"text": "error"}),
    "responses_plain": ("responses", SUMMARY),
    "responses_stream": ("responses", {"stream": True, **SUMMARY}),
    "embeddings": ("openai", EMBEDDING),
    "messages_plain": ("anthropic", {}),
    "messages_stream": ("anthropic", {"stream": True}),
    "messages_error": ("anthropic", {"text": "error"}),
    "gemini_plain": ("gemini", THINKING),
    "gemini_stream": ("gemini", {"stream": True, **THINKING}),
    "gemini_array": ("gemini", {"path": ARRAY, **THINKING}),
    "gemini_error": ("gemini", {"text": "error"}),
}


async def received(name: str) -> bytes:
    """Return all that comes over the socket, without the chunks of HTTP."""
    api, fields = CASES[name]
    async with Simulator(SCRIPT, seed=7) as sim:
        answered = await ask(sim, api, **fields)
    head = answered.raw[: len(answered.raw) - len(answered.payload)]
    chunked = "transfer-encoding" in answered.headers
    return head + (b"".join(answered.chunks) if chunked else answered.payload)


@pytest.mark.parametrize("name", CASES)
async def test_the_bytes_are_those_of_the_golden_file(name: str) -> None:
    assert await received(name) == (GOLDEN / f"{name}.http").read_bytes()


def test_every_golden_file_has_a_case() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)


if __name__ == "__main__":
    for case in CASES:
        (GOLDEN / f"{case}.http").write_bytes(asyncio.run(received(case)))
