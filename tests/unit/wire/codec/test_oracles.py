"""Two independent libraries translate the same requests; every disagreement has its reason here."""

from __future__ import annotations

import copy
import json
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import linguafranca
import llm_rosetta
import msgspec
import pytest

from callgate.wire.codec.canonical import File, Image, Params, Prompt, Text, ToolResult, ToolUse
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
        "user is": "who the agent works for is dropped",
        "service_tier is": "the service tier is dropped",
        "verbosity is": "how long-winded the answer should be is dropped on the way to Chat",
        "top_k is": "top_k is dropped between Gemini and Anthropic",
        "choice is": "which tool must be called is dropped on the way to Gemini",
        "shape is": "the shape of the answer is dropped, or its name and strictness put into it",
        "strict is": "the shape of the answer is dropped, and with it that it must hold",
        "reasoning is": "lets Claude think by itself with an effort, and with a forced tool, which"
        " the API refuses; Gemini's budget is dropped on the way to OpenAI",
        "parameters of": "keeps a pattern, which Gemini does not know, and drops what it knows",
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
        "user is": "who the agent works for is dropped",
        "service_tier is": "the service tier is dropped, or another than asked for",
        "parallel is": "that one tool at a time may be called is dropped",
        "choice is": "that a tool must be called becomes that it may",
        "strict is": "that the answer must follow its schema is dropped",
        "reasoning is": "lets Claude think by itself with an effort; that of a response is dropped",
    },
}
"""What each library does otherwise, by a part of the fact that one of us has and the other not."""


def facts(prompt: Prompt) -> Counter[str]:
    """Return what a prompt says, whatever its turns are cut into."""
    found = Counter(f"system {part.text}" for part in prompt.system)
    for turn in prompt.turns:
        for part in turn.parts:
            found.update(_facts(part, turn.role))
    for tool in prompt.tools:
        found[f"tool {tool.name} {tool.description}"] += 1
        found[f"parameters of {tool.name} {_sorted(tool.parameters)}"] += 1
    found.update(_how(prompt.params))
    found[f"stream is {prompt.stream}"] += 1
    return found


PLAIN: Final = (
    "output_tokens", "temperature", "top_p", "top_k", "seed", "presence_penalty",
    "frequency_penalty", "parallel", "verbosity", "service_tier", "user", "reasoning",
)  # fmt: skip


def _how(params: Params) -> Iterator[str]:
    """Yield how a prompt wants to be answered."""
    yield from (f"stop {stop}" for stop in params.stop)
    told = {name: getattr(params, name) for name in PLAIN}
    yield from (f"{name} is {value}" for name, value in told.items() if value is not None)
    if params.tool_choice is not None:
        yield f"choice is {params.tool_choice.mode} {params.tool_choice.names}"
    if params.shape is not None:
        yield f"shape is {_sorted(params.shape.schema)}"
        yield f"strict is {params.shape.strict}"


def _sorted(schema: msgspec.Raw | None) -> str:
    return "" if schema is None else json.dumps(json.loads(bytes(schema)), sort_keys=True)


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


BY_ROSETTA = [pair for pair in PAIRS if pair not in FETCHED]
BY_LINGUAFRANCA = [pair for pair in PAIRS if GEMINI not in pair]


def ours(source: str, target: str) -> Counter[str]:
    return facts(read(put(REQUESTS[source], source, target).page, target))


def rosettas(source: str, target: str) -> Counter[str]:
    page = by_rosetta(source, target)
    return facts(read(in_body(page) if target == GEMINI else page, target))


def linguafrancas(source: str, target: str) -> Counter[str]:
    return facts(read(by_linguafranca(source, target), target))


@pytest.mark.parametrize(("source", "target"), BY_ROSETTA)
def test_rosetta_agrees_but_for_what_is_explained(source: str, target: str) -> None:
    one, other = ours(source, target), rosettas(source, target)
    assert one & other
    assert unexplained("rosetta", one, other) == []


@pytest.mark.parametrize(("source", "target"), BY_LINGUAFRANCA)
def test_linguafranca_agrees_but_for_what_is_explained(source: str, target: str) -> None:
    one, other = ours(source, target), linguafrancas(source, target)
    assert one & other
    assert unexplained("linguafranca", one, other) == []


def test_every_reason_explains_something() -> None:
    told = {
        "rosetta": [(ours(*pair), rosettas(*pair)) for pair in BY_ROSETTA],
        "linguafranca": [(ours(*pair), linguafrancas(*pair)) for pair in BY_LINGUAFRANCA],
    }
    for library, pairs in told.items():
        differing = [fact for one, other in pairs for fact in (*(one - other), *(other - one))]
        idle = [part for part in REASONS[library] if not any(part in fact for fact in differing)]
        assert idle == []
