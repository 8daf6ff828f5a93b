"""What Converse refuses inside a conversation.

Source: botocore 1.44, ``bedrock-runtime/2023-09-30/service-2.json``, for shapes and limits; the
words are those of issues in public repositories.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from callgate.testing.simulator.request import Asked, Problem, is_array, is_object

FIELDS: Final[Mapping[str, type]] = {
    "additionalModelRequestFields": dict,
    "additionalModelResponseFieldPaths": list,
    "guardrailConfig": dict,
    "inferenceConfig": dict,
    "messages": list,
    "outputConfig": dict,
    "performanceConfig": dict,
    "projectIdentifier": str,
    "promptVariables": dict,
    "requestMetadata": dict,
    "serviceTier": dict,
    "system": list,
    "toolConfig": dict,
}
INFERENCE: Final = frozenset({"maxTokens", "temperature", "topP", "stopSequences"})
BLOCKS: Final = frozenset({
    "audio", "cachePoint", "citationsContent", "document", "guardContent", "image",
    "reasoningContent", "searchResult", "text", "toolAddition", "toolRemoval", "toolResult",
    "toolUse", "video",
})  # fmt: skip
TOOL_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""Without the dots and colons of the service model, which Claude refuses."""
DOCUMENT_NAME: Final = re.compile(r"(?!.*\s\s)[A-Za-z0-9\s()\[\]-]{1,200}")
MOST_CACHE_MARKERS: Final = 4

Message = dict[str, object]
Placed = tuple[str, str, dict[str, object]]
"""A block's place, such as ``messages.1.content.0``, its kind, and what is in it."""


def refuse_broken_conversation(body: Message, messages: Sequence[Message], asked: Asked) -> None:
    """Refuse unknown fields, blank text, roles and tools that do not belong together.

    Raises:
        Problem: There is a flaw; the first is told.
    """
    _refuse_fields(body)
    _refuse_roles(messages)
    blocks = [list(_blocks(message, n)) for n, message in enumerate(messages)]
    for message, placed in zip(messages, blocks, strict=True):
        for place, kind, block in placed:
            _refuse_block(place, kind, block, role=str(message.get("role")))
            _refuse_foreign(place, kind, block, asked)
    _refuse_documents([block for placed in blocks for block in placed])
    _refuse_wordless(blocks)
    _refuse_tools(body, blocks)
    if _count_markers(body) > MOST_CACHE_MARKERS:
        raise Problem(400, f"A maximum of {MOST_CACHE_MARKERS} cache points may be provided.")


def _refuse_fields(body: Message) -> None:
    for name, value in body.items():
        kind = FIELDS.get(name)
        if kind is None:
            raise Problem(400, f"extraneous key [{name}] is not permitted")
        if not isinstance(value, kind):
            raise Problem(400, f"#/{name}: expected type: {kind.__name__}")
    config = body.get("inferenceConfig")
    for name, value in (config if is_object(config) else {}).items():
        if name not in INFERENCE:
            raise Problem(400, f"extraneous key [inferenceConfig.{name}] is not permitted")
        if name in {"temperature", "topP"} and not 0 <= float(str(value)) <= 1:
            raise Problem(400, f"Value at 'inferenceConfig.{name}' must be between 0 and 1")


def _refuse_roles(messages: Sequence[Message]) -> None:
    spoken = [message.get("role") for message in messages if message.get("role") != "system"]
    if spoken[:1] != ["user"]:
        shown = "A conversation must start with a user message. Try again with a conversation that"
        raise Problem(400, f"{shown} starts with a user message.")
    if any(one == other for one, other in pairwise(spoken)):
        shown = "A conversation must alternate between user and assistant roles."
        raise Problem(400, f"{shown} Make sure the conversation alternates between them.")


def _blocks(message: Message, n: int) -> Iterator[Placed]:
    content = message.get("content")
    if not is_array(content) or not content:
        shown = f"The content field in the Message object at messages.{n} is empty."
        raise Problem(400, f"{shown} Add a ContentBlock object to the content field.")
    for index, block in enumerate(content):
        place = f"messages.{n}.content.{index}"
        if not is_object(block) or len(block) != 1 or not block.keys() <= BLOCKS:
            raise Problem(400, f"The ContentBlock object at {place} must set exactly one key.")
        kind, inner = next(iter(block.items()))
        yield place, kind, inner if is_object(inner) else {"text": inner}


def _refuse_block(place: str, kind: str, block: Message, *, role: str) -> None:
    if kind == "text" and not str(block.get("text") or "").strip():
        shown = f"The text field in the ContentBlock object at {place} is blank."
        raise Problem(400, f"{shown} Add text to the text field, and try again.")
    if kind in {"image", "document"} and role != "user":
        raise Problem(400, f"{place}: {kind} is only allowed in a user message.")
    is_of_tool = kind in {"toolUse", "toolResult"}
    if is_of_tool and not TOOL_ID.fullmatch(str(block.get("toolUseId"))):
        raise Problem(400, f"{place}.toolUseId: String should match pattern '{TOOL_ID.pattern}'")
    if kind == "toolUse" and not is_object(block.get("input")):
        raise Problem(400, f"The value at {place}.toolUse.input is not a JSON object.")


def _refuse_foreign(place: str, kind: str, block: Message, asked: Asked) -> None:
    """Refuse a thought that this account was not given."""
    told = block.get("reasoningText") if kind == "reasoningContent" else None
    if is_object(told) and not asked.seals.knows(
        told.get("signature"), "thinking", str(told.get("text", ""))
    ):
        raise Problem(400, f"{place}: Invalid `signature` in `thinking` block")


def _refuse_documents(placed: Sequence[Placed]) -> None:
    names = [str(block.get("name")) for _, kind, block in placed if kind == "document"]
    for name in names:
        if not DOCUMENT_NAME.fullmatch(name):
            shown = "The document file name can only contain alphanumeric characters, whitespace"
            raise Problem(400, f"{shown} characters, hyphens, parentheses, and square brackets.")
    if len(set(names)) < len(names):
        raise Problem(400, "Messages can't contain duplicate document names.")


def _refuse_wordless(blocks: Sequence[Sequence[Placed]]) -> None:
    for placed in blocks:
        kinds = {kind for _, kind, _ in placed}
        if "document" in kinds and "text" not in kinds:
            raise Problem(400, "A text block is required when a document is included.")


def _refuse_tools(body: Message, blocks: Sequence[Sequence[Placed]]) -> None:
    """Refuse calls without results in the next turn, and tools that nobody has described."""
    waiting: list[str] = []
    for n, placed in enumerate(blocks):
        results = [str(block["toolUseId"]) for _, kind, block in placed if kind == "toolResult"]
        missing = [name for name in waiting if name not in results]
        if missing:
            shown = f"Expected toolResult blocks at messages.{n}.content for the following Ids:"
            raise Problem(400, f"{shown} {', '.join(missing)}")
        if len(results) > len(waiting):
            shown = f"The number of toolResult blocks at messages.{n}.content exceeds the number of"
            raise Problem(400, f"{shown} toolUse blocks of previous turn.")
        waiting = [str(block["toolUseId"]) for _, kind, block in placed if kind == "toolUse"]
    if waiting:
        raise Problem(400, f"Expected toolResult blocks for the following Ids: {waiting}")
    kinds = {kind for placed in blocks for _, kind, _ in placed}
    if kinds & {"toolUse", "toolResult"} and not body.get("toolConfig"):
        shown = "The toolConfig field must be defined when using toolUse and toolResult content"
        raise Problem(400, f"{shown} blocks.")


def _count_markers(value: object) -> int:
    if is_object(value):
        return ("cachePoint" in value) + sum(map(_count_markers, value.values()))
    return sum(map(_count_markers, value)) if is_array(value) else 0
