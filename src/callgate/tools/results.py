"""What a tool said, in the words of MCP: text, data and pictures; never a credential."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Final

import msgspec

from callgate.call import ToolResult
from callgate.redact import Secret, conceal

PICTURES: Final[Mapping[bytes, str]] = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
}
"""How pictures begin that models see. Source: the specifications of PNG (§5.2), JPEG and GIF89a."""


def said(text: str, *, is_error: bool = False) -> ToolResult:
    """Return a result that is text."""
    return ToolResult(content=({"type": "text", "text": text},), is_error=is_error)


def data(value: object) -> ToolResult:
    """Return a result that is data of JSON; text is text, and nothing is no text at all."""
    if value is None:
        return ToolResult()
    if isinstance(value, str):
        return said(value)
    text = msgspec.json.encode(value).decode()
    return ToolResult(content=({"type": "text", "text": text},), structured=value)


def medium(content: bytes, type: str) -> ToolResult:
    """Return a result that is a picture or a sound.

    Args:
        content: Its bytes.
        type: What it is, such as ``image/png``.
    """
    kind = type.partition("/")[0]
    block = {"type": kind, "data": base64.b64encode(content).decode(), "mimeType": type}
    return ToolResult(content=(block,))


def picture_type(content: bytes) -> str | None:
    """Return what kind of picture bytes are; None where they are none."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((type for begins, type in PICTURES.items() if content.startswith(begins)), None)


def useless(message: str, *, kind: str, hint: str) -> ToolResult:
    """Return what an agent hears of a call that was made, and whose result is of no use to it.

    Args:
        message: What came.
        kind: The same as a word for programs, such as ``result_too_large``.
        hint: What to do.
    """
    error = {"kind": kind, "retryable": False, "hint": hint}
    block = {"type": "text", "text": f"{message}. {hint}"}
    return ToolResult(content=(block,), structured={"error": error}, is_error=True)


LARGEST_MEDIUM: Final = 5_000_000
"""Bytes of a picture or a sound: more than that no model takes.

Source: Anthropic, "Vision" (5 MB for an image over the API).
"""


def limited(result: ToolResult, max_bytes: int) -> ToolResult:
    """Return a result, or what is said in the place of one that is too large."""
    size = sum(len(str(block.get("text", "")).encode()) for block in result.content)
    if size > max_bytes:
        return too_large(size, max_bytes)
    media = max((len(str(block.get("data", ""))) * 3 // 4 for block in result.content), default=0)
    return too_large(media, LARGEST_MEDIUM) if media > LARGEST_MEDIUM else result


def too_large(size: int | None, most: int) -> ToolResult:
    """Return what an agent hears of a result with more bytes than it may get; None is not counted."""
    counted = "more" if size is None else f"{size:,} bytes, more"
    msg = f"the call was made, and its result has {counted} than the {most:,} that an agent gets"
    hint = "Ask for less of it; do not make the same call again"
    return useless(msg, kind="result_too_large", hint=hint)


def concealed(result: ToolResult, credential: Secret | None) -> ToolResult:
    """Return a result without the credential of its call, in case the far side repeats it."""
    if credential is None:
        return result
    content = tuple(
        {**block, "text": conceal(str(block["text"]), credential)} if "text" in block else block
        for block in result.content
    )
    written = msgspec.json.encode(result.structured).decode()
    hidden = conceal(written, credential)
    structured = result.structured if hidden == written else json.loads(hidden)
    return msgspec.structs.replace(result, content=content, structured=structured)
