"""What a tool said, in the words of MCP: text, data and pictures; never a credential."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Final, cast

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
        return said(whole(value))
    try:
        text = msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        text = whole(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
        value = json.loads(text)
    return ToolResult(content=({"type": "text", "text": text},), structured=value)


def writable(result: ToolResult) -> ToolResult:
    """Return a result that somebody has made as it can be written.

    Raises:
        TypeError: It holds what JSON cannot.
    """
    try:
        msgspec.json.encode(result)
    except UnicodeEncodeError:
        page = json.dumps(msgspec.to_builtins(result), ensure_ascii=False)
        return msgspec.convert(json.loads(whole(page)), ToolResult)
    return result


def whole(text: str) -> str:
    """Return a text without halves of characters, which JSON can hold and UTF-8 cannot."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


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


DEEPEST: Final = 100
"""Lists and objects in one another: who reads a result must not fail because of it."""


def limited(result: ToolResult, max_bytes: int) -> ToolResult:
    """Return a result, or what is said in the place of one that is too large or too deep."""
    size = sum(len(str(block.get("text", "")).encode()) for block in result.content)
    if size > max_bytes:
        return too_large(size, max_bytes)
    if _is_too_deep(result.structured):
        msg = f"the call was made, and its result has more than {DEEPEST} levels"
        hint = "Ask for less of it; do not make the same call again"
        return useless(msg, kind="result_too_deep", hint=hint)
    media = max((len(str(block.get("data", ""))) * 3 // 4 for block in result.content), default=0)
    return too_large(media, LARGEST_MEDIUM) if media > LARGEST_MEDIUM else result


def _is_too_deep(value: object) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return False
    return True


def _inside(value: object) -> Iterable[object]:
    """Give what a list or an object holds."""
    if isinstance(value, dict):
        return cast("dict[str, object]", value).values()
    return cast("list[object]", value) if isinstance(value, list) else ()


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
