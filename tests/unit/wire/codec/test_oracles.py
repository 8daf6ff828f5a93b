"""Two independent libraries translate the same requests; every disagreement has its reason here."""

from __future__ import annotations

import copy
import json
import warnings
from collections import Counter
from typing import Any

import linguafranca
import llm_rosetta
import pytest

from callgate.wire.codec.canonical import File, Image, Prompt, Text, ToolResult, ToolUse
from tests.unit.wire.codec.golden import REQUESTS
from tests.unit.wire.codec.translating import (
    CHAT,
    GEMINI,
    MESSAGES,
    PAIRS,
    RESPONSES,
    put,
    read,
)

ROSETTA = {
    CHAT: "openai_chat",
    MESSAGES: "anthropic",
    RESPONSES: "openai_responses",
    GEMINI: "google",
}
LINGUAFRANCA = {
    CHAT: "openai_chat_completions",
    MESSAGES: "anthropic_messages",
    RESPONSES: "open_responses",
}

REASONS: dict[str, dict[str, str]] = {
    "rosetta": {
        "shows File": "a document is dropped from Chat and to Chat, and its data: URL kept as base64",
        "system In French": "a later instruction is put into the user's mouth",
        "user <system>": "a later instruction is put into the user's mouth",
        "failed": "that a tool failed is dropped on the way to OpenAI",
        "user What the tool": "our words before the picture of a tool",
        "user <tool-content": "its words before the picture of a tool",
        "user </tool-content": "its words after the picture of a tool",
        "user See:": "the words of a tool are said again beside its picture",
        "assistant ": "encrypted thoughts leave an empty turn",
    },
    "linguafranca": {
        "shows File": "the data: URL of a document is kept as base64",
        "stop END": "stops are dropped",
        "failed": "that a tool failed is dropped on the way to OpenAI",
        "user What the tool": "our words before the picture of a tool",
        "user shows Image": "the picture of a tool stays in its message, where OpenAI refuses it",
        "tool shows Image": "the picture of a tool stays in its message, where OpenAI refuses it",
        "assistant ": "thoughts leave an empty text",
        "system Be brief": "instructions of a response are dropped",
    },
}
"""What each library does otherwise, by a part of the fact that one of us has and the other not."""


def facts(prompt: Prompt) -> Counter[str]:
    """Return what a prompt says, whatever its turns are cut into."""
    found = Counter(f"system {part.text}" for part in prompt.system)
    for turn in prompt.turns:
        for part in turn.parts:
            found.update(_facts(part, turn.role))
    found.update(f"tool {tool.name} {tool.description}" for tool in prompt.tools)
    found.update(f"stop {stop}" for stop in prompt.params.stop)
    return found


def _facts(part: Any, role: str) -> list[str]:
    match part:
        case Text():
            return [f"{'system' if role == 'developer' else role} {part.text}"]
        case ToolUse():
            return [f"calls {part.name} {json.dumps(json.loads(part.arguments))}"]
        case ToolResult():
            said = [fact for each in part.parts for fact in _facts(each, "tool")]
            return [*said, *(["failed"] if part.is_error else [])]
        case Image() | File():
            return [f"{role} shows {type(part).__name__} {part.data or part.url}"]
        case _:
            return []


def by_rosetta(source: str, target: str) -> dict[str, Any]:
    asked = copy.deepcopy(REQUESTS[source])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told: dict[str, Any] = llm_rosetta.convert(
            asked, ROSETTA[target], source_provider=ROSETTA[source]
        )
    return told


def by_linguafranca(source: str, target: str) -> dict[str, Any]:
    result = linguafranca.convert_request(
        copy.deepcopy(REQUESTS[source]),
        source_format=linguafranca.FormatName(LINGUAFRANCA[source]),
        target_format=linguafranca.FormatName(LINGUAFRANCA[target]),
    )
    told: dict[str, Any] = result.value
    return told


def unexplained(library: str, ours: Counter[str], theirs: Counter[str]) -> list[str]:
    """Return what one of two translations says and the other does not, without a reason."""
    differences = [*(ours - theirs), *(theirs - ours)]
    return [fact for fact in differences if not any(part in fact for part in REASONS[library])]


def in_body(page: dict[str, Any]) -> dict[str, Any]:
    """Return what rosetta makes for Google's SDK as the API itself takes it."""
    config = page.get("config", {})
    return {
        "contents": page["contents"],
        "systemInstruction": page.get("system_instruction"),
        "tools": config.pop("tools", None),
        "generationConfig": config,
    }


# Into Gemini, rosetta would fetch the picture that these two name by its address.
FETCHED = {(MESSAGES, GEMINI), (RESPONSES, GEMINI)}


@pytest.mark.parametrize(("source", "target"), [pair for pair in PAIRS if pair not in FETCHED])
def test_rosetta_agrees_but_for_what_is_explained(source: str, target: str) -> None:
    page = by_rosetta(source, target)
    theirs = facts(read(in_body(page) if target == GEMINI else page, target))
    ours = facts(read(put(REQUESTS[source], source, target).page, target))
    assert ours & theirs
    assert unexplained("rosetta", ours, theirs) == []


@pytest.mark.parametrize(("source", "target"), [pair for pair in PAIRS if GEMINI not in pair])
def test_linguafranca_agrees_but_for_what_is_explained(source: str, target: str) -> None:
    theirs = facts(read(by_linguafranca(source, target), target))
    ours = facts(read(put(REQUESTS[source], source, target).page, target))
    assert ours & theirs
    assert unexplained("linguafranca", ours, theirs) == []
