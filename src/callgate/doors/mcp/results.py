"""What a call came to, as MCP tells it: content for the model, the same as data, and an error as both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from callgate.call import ToolResult
from callgate.doors.mcp.generations import Generation
from callgate.doors.tool_errors import tool_error
from callgate.pipeline import ToolPassage


def told_result(
    passage: ToolPassage, result: ToolResult, generation: Generation
) -> Mapping[str, Any]:
    """Return what a tool said.

    Source: MCP 2026-07-28, "Structured Content": what is told as data is told as text too.
    """
    told: dict[str, Any] = {"content": result.content, "isError": result.is_error}
    if result.structured is not None:
        if not result.content:
            told["content"] = [_text(msgspec.json.encode(result.structured).decode())]
        if generation.can_say(result.structured):
            told["structuredContent"] = result.structured
    return generation.complete({**told, "_meta": call_meta(passage)})


def told_error(
    passage: ToolPassage, error: BaseException, generation: Generation
) -> Mapping[str, Any]:
    """Return why a call did not succeed: text for the model, and what a program can go by.

    It is a result and no error of the protocol, as clients show only results to the model whole.
    """
    told = tool_error(error, passage)
    value = {
        "content": [_text(f"{told.message}\n{told.hint}")],
        "structuredContent": {"error": told},
        "isError": True,
    }
    return generation.complete({**value, "_meta": call_meta(passage)})


def call_meta(passage: ToolPassage) -> Mapping[str, str]:
    """Return which call of which task it was."""
    meta = {"callgate/call": passage.call.id}
    if passage.task is not None:
        meta["callgate/task"] = passage.task.id
    return meta


def _text(text: str) -> Mapping[str, str]:
    return {"type": "text", "text": text}
