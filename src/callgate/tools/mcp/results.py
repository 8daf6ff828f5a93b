"""What a tool of a server has said, as the road takes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from callgate.call import Tool, ToolResult
from callgate.errors import BrokenReply, Reason
from callgate.tools.mcp.disguise import Disguise

LINK: Final = re.compile(
    r"\n?[ \t]*For further information visit https://errors\.pydantic\.dev/\S+"
)
"""What servers written in Python add to each mistake in arguments; a model may follow it."""


def result_of(
    raw: Mapping[str, Any], tool: Tool, *, disguise: Disguise, max_result_bytes: int
) -> ToolResult:
    """Return the result of a call.

    Args:
        raw: The result of ``tools/call``, complete.
        tool: Which tool said it.
        disguise: Hides the credentials of the server.
        max_result_bytes: How large it may be.

    Raises:
        BrokenReply: It is too large, or its data is not what the tool promises.
    """
    blocks = _blocks(raw.get("content"), tool)
    said: dict[str, Any] = {"content": blocks, "structured": raw.get("structuredContent")}
    packed = msgspec.json.encode(said)
    if len(packed) > max_result_bytes:
        raise too_large(tool, f"{len(packed):,} bytes", max_result_bytes)
    clean = disguise.json(packed)
    if clean is not packed:
        said = msgspec.json.decode(clean)
    is_error = raw.get("isError") is True
    if not is_error:
        _check(tool, said["structured"])
    return ToolResult(
        content=tuple(map(_without_links, said["content"]) if is_error else said["content"]),
        structured=said["structured"],
        is_error=is_error,
    )


def _blocks(content: object, tool: Tool) -> list[Mapping[str, Any]]:
    """Return the blocks of a result; the SDK lets others pass for a result of another kind."""
    if content is None:
        return []
    blocks = cast("list[object]", content) if isinstance(content, list) else [content]
    if not all(isinstance(block, Mapping) and "type" in block for block in blocks):
        msg = f"{tool.name} has run, and its content is no list of blocks"
        raise BrokenReply(msg, billed=True)
    return cast("list[Mapping[str, Any]]", blocks)


def too_large(tool: Tool, size: str, limit: int) -> BrokenReply:
    """Return the failure of a call whose result is larger than agreed."""
    msg = (
        f"{tool.name} has run, and its result is not passed on: it has {size}, and [mcp.{tool.toolset}] "
        f"max_result_bytes is {limit:,}"
    )
    fix = f"ask for less, or raise [mcp.{tool.toolset}] max_result_bytes"
    return BrokenReply(msg, billed=True, reason=Reason(code=BrokenReply.code, fix=fix))


def _without_links(block: Mapping[str, Any]) -> Mapping[str, Any]:
    text = block.get("text")
    if not isinstance(text, str):
        return block
    return {**block, "text": LINK.sub("", text)}


def _check(tool: Tool, structured: object) -> None:
    """Hold the data of a result against what the tool promises.

    Source: specification of MCP 2025-11-25, server/tools, "Output Schema": a server must keep to
    it, and a client should check.
    """
    if tool.output_schema is None:
        return
    flaw = _flaw(tool.output_schema, structured)
    if flaw is not None:
        msg = f"{tool.name} has run, and its result is not what its outputSchema says: {flaw}"
        fix = f"tell whoever makes the server {tool.toolset}"
        raise BrokenReply(msg, billed=True, reason=Reason(code=BrokenReply.code, fix=fix))


def _flaw(schema: Mapping[str, Any], structured: object) -> str | None:
    if structured is None:
        return "it has no structuredContent"
    # Large, and needed only for tools that promise something.
    import jsonschema_rs  # noqa: PLC0415

    try:
        jsonschema_rs.validate(dict(schema), structured, retriever=_retrieve_nothing)
    except jsonschema_rs.ValidationError as error:
        place = "/".join(map(str, error.instance_path)) or "the whole"
        # The message would quote what the tool said, which may be long and is nobody else's.
        return f"at {place}, it does not fit {'/'.join(map(str, error.schema_path))}"
    except ValueError:
        # A schema that is none promises nothing.
        return None
    return None


def _retrieve_nothing(uri: str) -> Any:
    """Refuse to fetch what a schema refers to: a server's schema opens no connection."""
    msg = f"a schema may not refer to {uri}"
    raise ValueError(msg)
