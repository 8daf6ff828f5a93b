"""What Messages refuses inside a conversation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from callgate.testing.simulator.request import Problem, is_array, is_integer, is_object
from callgate.testing.simulator.seals import Seals

ROLES: Final = ("user", "assistant", "system")
TOOL_ID: Final = re.compile(r"^[a-zA-Z0-9_-]+$")
MOST_CACHE_MARKERS: Final = 4
THINKING: Final = ("thinking", "redacted_thinking")

Message = dict[str, object]
Placed = tuple[str, dict[str, object]]
"""A content block and where it stands, such as ``messages.1.content.0``."""


def refuse_broken_messages(body: Message, messages: Sequence[Message], seals: Seals) -> None:
    """Refuse empty text, tool uses and results that do not belong together, foreign signatures.

    Args:
        body: The whole request.
        messages: Its messages.
        seals: Knows the signatures that this key was given.

    Raises:
        Problem: There is a flaw; the first is told.
    """
    _refuse_budget(body)
    if (markers := _count_markers(body)) > MOST_CACHE_MARKERS:
        shown = f"A maximum of {MOST_CACHE_MARKERS} blocks with cache_control may be provided."
        raise Problem(400, f"{shown} Found {markers}.")
    for n, message in enumerate(messages):
        if message.get("role") not in ROLES:
            shown = f"messages.{n}.role: Input should be 'user', 'assistant' or 'system'"
            raise Problem(400, shown)
        _refuse_empty(message, n, is_last=n == len(messages) - 1)
        for place, block in _blocks(message, n):
            _refuse_block(place, block, seals)
        if message.get("role") == "system":
            _refuse_misplaced(messages, n)
    turns = list(_turns(messages))
    _refuse_pairs(turns)
    if _thinks(body):
        _refuse_unthought(turns)


def _refuse_budget(body: Message) -> None:
    thinking, limit = body.get("thinking"), body.get("max_tokens")
    budget = thinking.get("budget_tokens") if is_object(thinking) else None
    if is_integer(budget) and is_integer(limit) and budget >= limit:
        raise Problem(400, "`max_tokens` must be greater than `thinking.budget_tokens`.")


def _count_markers(value: object) -> int:
    if is_object(value):
        return ("cache_control" in value) + sum(map(_count_markers, value.values()))
    return sum(map(_count_markers, value)) if is_array(value) else 0


def _refuse_empty(message: Message, n: int, *, is_last: bool) -> None:
    content = message.get("content")
    if content or (is_last and message.get("role") == "assistant"):
        return
    shown = "all messages must have non-empty content except for the optional final assistant"
    raise Problem(400, f"messages.{n}: {shown} message")


def _refuse_misplaced(messages: Sequence[Message], n: int) -> None:
    """Refuse an instruction that does not stand between the user's words and the model's.

    Source:
        The texts in anthropics/claude-code#73821 and LeenHawk/gproxy#209; that it must follow the
        user is in Anthropic's guide, in other words than these.
    """
    if n == 0:
        shown = "use the top-level 'system' parameter for the initial system prompt"
        raise Problem(400, f"messages.{n}: {shown}")
    if messages[n - 1].get("role") != "user":
        raise Problem(400, f"messages.{n}: role 'system' must follow a 'user' message")
    if n + 1 < len(messages) and messages[n + 1].get("role") != "assistant":
        shown = "role 'system' must precede an 'assistant' message or end the array"
        raise Problem(400, f"messages.{n}: {shown}")


def _blocks(message: Message, n: int) -> Iterator[Placed]:
    content = message.get("content")
    for index, block in enumerate(content if is_array(content) else ()):
        if is_object(block):
            yield f"messages.{n}.content.{index}", block


def _refuse_block(place: str, block: Message, seals: Seals) -> None:
    kind = block.get("type")
    if kind == "text" and not block.get("text"):
        raise Problem(400, "messages: text content blocks must be non-empty")
    if kind == "tool_use":
        name = block.get("id")
        if not isinstance(name, str) or not TOOL_ID.match(name):
            shown = f"{place}.tool_use.id: String should match pattern '{TOOL_ID.pattern}'"
            raise Problem(400, shown)
        if not is_object(block.get("input")):
            raise Problem(400, f"{place}.tool_use.input: Input should be a valid dictionary")
    if kind == "thinking":
        said = str(block.get("thinking", ""))
        if not seals.knows(block.get("signature"), "thinking", said):
            raise Problem(400, f"{place}: Invalid `signature` in `thinking` block")


def _turns(messages: Sequence[Message]) -> Iterator[tuple[str, list[Placed]]]:
    """Yield the blocks of each turn; messages of one role in a row are one turn."""
    role, blocks = "", list[Placed]()
    for n, message in enumerate(messages):
        said = str(message.get("role"))
        if said == "system":
            continue
        if said != role and role:
            yield role, blocks
            blocks = []
        role = said
        blocks = [*blocks, *_blocks(message, n)]
    yield role, blocks


def _refuse_pairs(turns: Sequence[tuple[str, list[Placed]]]) -> None:
    """Refuse a tool use without its result in the next turn, and a result without its use."""
    waiting: list[str] = []
    for role, blocks in turns:
        results = {
            str(block.get("tool_use_id")): place
            for place, block in blocks
            if block.get("type") == "tool_result"
        }
        for name, place in results.items():
            if name not in waiting:
                shown = (
                    f"{place}: unexpected `tool_use_id` found in `tool_result` blocks: {name}. "
                    "Each `tool_result` block must have a corresponding `tool_use` block in the "
                    "previous message."
                )
                raise Problem(400, shown)
        _refuse_waiting([name for name in waiting if name not in results])
        uses = [str(block.get("id")) for _, block in blocks if block.get("type") == "tool_use"]
        waiting = uses if role == "assistant" else []
    _refuse_waiting(waiting)


def _refuse_waiting(waiting: Sequence[str]) -> None:
    if waiting:
        shown = (
            "messages: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(waiting)}. Each `tool_use` block must have a corresponding `tool_result` "
            "block in the next message."
        )
        raise Problem(400, shown)


def _thinks(body: Message) -> bool:
    thinking = body.get("thinking")
    return is_object(thinking) and thinking.get("type") == "enabled"


def _refuse_unthought(turns: Sequence[tuple[str, list[Placed]]]) -> None:
    """Refuse that the last assistant turn of a tool loop does not begin with its thinking."""
    assistants = [blocks for role, blocks in turns if role == "assistant" and blocks]
    if not assistants:
        return
    place, first = assistants[-1][0]
    kinds = [block.get("type") for _, block in assistants[-1]]
    if "tool_use" in kinds and first.get("type") not in THINKING:
        shown = (
            f"{place}.type: Expected `thinking` or `redacted_thinking`, but found "
            f"`{first.get('type')}`. When `thinking` is enabled, a final `assistant` message must "
            "start with a thinking block (preceeding the lastmost set of `tool_use` and "
            "`tool_result` blocks)."
        )
        raise Problem(400, shown)
