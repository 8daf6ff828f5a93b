"""Whether Anthropic goes on with a tool loop that the model of somebody else has begun."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

THOUGHTS: Final = frozenset({"thinking", "redacted_thinking"})


class Block(msgspec.Struct, frozen=True, gc=False):
    """A part of a content, as far as it matters here."""

    type: str = ""


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message."""

    role: str
    content: str | list[Block]


class Thinking(msgspec.Struct, frozen=True, gc=False):
    """Whether the model thinks."""

    type: str = ""


class Loop(msgspec.Struct, frozen=True, gc=False):
    """A request."""

    messages: list[Message]
    thinking: Thinking | None = None


_decode = msgspec.json.Decoder(Loop).decode


def refuses(body: bytes, /) -> str | None:
    """Return why Anthropic would refuse to go on with a conversation; None if it would not.

    Args:
        body: A request for a message; one that cannot be read is for others to judge.

    Source:
        Anthropic's guide to extended thinking: with a budget for it, "a final `assistant` message
        must start with a thinking block" where it calls tools. A model that decides by itself
        whether it thinks (``adaptive``) has no such rule.
    """
    if b'"enabled"' not in body or b'"tool_use"' not in body:
        return None
    try:
        loop = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if loop.thinking is None or loop.thinking.type != "enabled":
        return None
    kinds = _last_said(loop.messages)
    if "tool_use" not in kinds or kinds[0] in THOUGHTS:
        return None
    return "thinking is enabled, and the last calls of tools come without the thought before them"


def _last_said(messages: Sequence[Message]) -> list[str]:
    """Return the types of the blocks of the model's last turn, which may be in several messages."""
    kinds: list[str] = []
    for message in reversed(messages):
        if message.role == "assistant":
            blocks = [Block("text")] if isinstance(message.content, str) else message.content
            kinds[:0] = [block.type for block in blocks]
        elif kinds:
            break
    return kinds
