"""What a call came to, as MCP tells it: content for the model, the same as data, and an error as both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from callgate.call import ToolResult
from callgate.doors.mcp.generations import Generation
from callgate.doors.tool_errors import earlier_page, shown_content, tool_error
from callgate.pipeline import ToolPassage


def told_result(
    passage: ToolPassage, result: ToolResult, generation: Generation
) -> Mapping[str, Any]:
    """Return what a tool said.

    Source: MCP 2026-07-28, "Structured Content": what is told as data is told as text too.
    """
    told: dict[str, Any] = {"isError": result.is_error}
    if result.structured is not None:
        if not result.content:
            text = _text(msgspec.json.encode(result.structured).decode())
            result = msgspec.structs.replace(result, content=(text,))
        if generation.can_say(result.structured):
            told["structuredContent"] = result.structured
    meta: dict[str, Any] = {**call_meta(passage)}
    if result.already_done is not None:
        meta["callgate/already-done"] = earlier_page(result.already_done)
    return generation.complete({"content": shown_content(result), **told, "_meta": meta})


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
