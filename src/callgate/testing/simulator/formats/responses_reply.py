"""The ``response`` object of the Responses API and the items in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from callgate.call import Usage
from callgate.testing.simulator.formats.format import CREATED_AT
from callgate.testing.simulator.formats.openai import tool_id
from callgate.testing.simulator.generation import Generation, ToolUse
from callgate.testing.simulator.request import Asked, is_array, is_object
from callgate.testing.simulator.script import Finish

INCOMPLETE: Final[dict[Finish, str]] = {
    "length": "max_output_tokens",
    "context": "max_output_tokens",
    "refusal": "content_filter",
}
"""Why a response is incomplete; any other end completes it."""

ECHOED: Final[dict[str, object]] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
}
"""What a response repeats of its request, and what it says where the request says nothing."""

ENCRYPTED: Final = "reasoning.encrypted_content"
ENCRYPTED_BYTES: Final = 96

encode = msgspec.json.Encoder().encode

Item = dict[str, object]


def reply_id(asked: Asked) -> str:
    """Return the id of a response."""
    return f"resp_{asked.draw('reply', 24).hex()}"


def response_of(asked: Asked, said: Generation) -> dict[str, object]:
    """Return a response that has ended."""
    reason = said.finish_reason or INCOMPLETE.get(said.finish)
    usage = None if said.shape.usage == "never" else usage_of(said.usage)
    return {
        **begun(asked),
        "status": "incomplete" if reason else "completed",
        "completed_at": None if reason else CREATED_AT,
        "incomplete_details": {"reason": reason} if reason else None,
        "output": output_of(asked, said),
        "service_tier": said.service_tier or "default",
        "usage": usage,
    }


def begun(asked: Asked) -> dict[str, object]:
    """Return a response that has just begun."""
    body = asked.body
    given = {name: value for name, value in body.items() if value is not None}
    reasoning, text = given.get("reasoning"), given.get("text")
    return {
        "id": reply_id(asked),
        "object": "response",
        "created_at": CREATED_AT,
        "status": "in_progress",
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "model": asked.model,
        "output": [],
        **{name: given.get(name, usual) for name, usual in ECHOED.items()},
        "reasoning": {
            "effort": None,
            "summary": None,
            **(reasoning if is_object(reasoning) else {}),
        },
        "service_tier": "default",
        "text": {
            "format": {"type": "text"},
            "verbosity": "medium",
            **(text if is_object(text) else {}),
        },
        "usage": None,
        "user": given.get("user"),
    }


def output_of(asked: Asked, said: Generation) -> list[Item]:
    """Return the items of a response that has ended."""
    items = list(_items(asked, said))
    if (said.finish_reason or INCOMPLETE.get(said.finish)) and items:
        items[-1]["status"] = "incomplete"
    return items


def _items(asked: Asked, said: Generation) -> Iterator[Item]:
    if reasons(said):
        yield reasoning_item(asked, said, encrypted=True)
    if speaks(said):
        yield message_item(asked, status="completed", content=[content_part(said)])
    for n, use in enumerate(said.tool_uses):
        yield call_item(asked, use, n=n, arguments=use.arguments, status="completed")


def reasons(said: Generation) -> bool:
    """Say whether the response has a reasoning item."""
    return bool(said.thinking) or said.usage.reasoning_tokens > 0


def speaks(said: Generation) -> bool:
    """Say whether the response has a message: also an empty one, where it has nothing else."""
    if said.text or said.refusal is not None:
        return True
    return not said.tool_uses and not reasons(said)


def wants_summary(asked: Asked) -> bool:
    """Say whether the request asks for a summary of the reasoning."""
    reasoning = asked.body.get("reasoning")
    if not is_object(reasoning):
        return False
    return (reasoning.get("summary") or reasoning.get("generate_summary")) is not None


def reasoning_item(asked: Asked, said: Generation, *, encrypted: bool) -> Item:
    """Return the reasoning item, with what only this key can send back if it was asked for."""
    shows = bool(said.thinking) and wants_summary(asked)
    item: Item = {
        "id": item_id(asked, "rs"),
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": said.thinking}] if shows else [],
    }
    include = asked.body.get("include")
    if is_array(include) and ENCRYPTED in include:
        nonce = asked.draw("reasoning")
        minted = asked.seals.mint(nonce, "reasoning", size=ENCRYPTED_BYTES)
        item["encrypted_content"] = minted if encrypted else ""
    return item


def message_item(asked: Asked, *, status: str, content: list[Item]) -> Item:
    """Return the message of the model."""
    return {
        "id": item_id(asked, "msg"),
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def content_part(said: Generation, text: str | None = None) -> Item:
    """Return the part of the message that holds its text or its refusal.

    Args:
        said: What is said.
        text: So much of it; None for all.
    """
    if said.refusal is not None:
        return {"type": "refusal", "refusal": said.refusal if text is None else text}
    shown = said.text if text is None else text
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": shown}


def call_item(asked: Asked, use: ToolUse, *, n: int, arguments: str, status: str) -> Item:
    """Return a tool call."""
    return {
        "id": item_id(asked, "fc", n),
        "type": "function_call",
        "status": status,
        "arguments": arguments,
        "call_id": tool_id(use),
        "name": use.name,
    }


def item_id(asked: Asked, prefix: str, n: int = 0) -> str:
    """Return the id of an item, such as ``msg_3f2a…``."""
    return f"{prefix}_{asked.draw(f'{prefix} {n}', 24).hex()}"


def usage_of(usage: Usage) -> dict[str, object]:
    """Return usage as Responses counts it: caches within the input, reasoning within the output.

    Source: openai 3.57.0 ``ResponseUsage``.
    """
    short, long = usage.cache_write_tokens, usage.cache_write_long_tokens
    return {
        "input_tokens": usage.total_input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": short + long,
            "cache_write_tokens_details": {"ttl_30m_tokens": short, "ttl_12h_tokens": long},
        },
        "output_tokens": usage.total_output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_input_tokens + usage.total_output_tokens,
    }
