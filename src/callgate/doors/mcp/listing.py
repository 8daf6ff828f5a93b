"""Tools as MCP lists them, a page at a time."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from callgate.call import Tool
from callgate.doors.mcp.generations import Generation
from callgate.doors.mcp.messages import INVALID_PARAMS, Message, ProtocolFlaw
from callgate.doors.mcp.names import flat_names

PAGE: Final = 500
"""Tools of a page: more than any model takes, and what a client that reads one page only has seen."""


def tool_page(
    tools: Sequence[Tool], message: Message, generation: Generation, *, flat: bool
) -> Mapping[str, Any]:
    """Return a page of a list of tools.

    A cursor is the name of the last tool that a page had: it holds at every gate, and also where tools
    have come and gone since.

    Args:
        tools: All of them, by name.
        message: The request.
        generation: The rules that it goes by.
        flat: Whether the client wants names without dots.

    Raises:
        ProtocolFlaw: Its cursor is none that a page of ours has ended with.
    """
    cursor = message.params.cursor
    start = 0 if cursor is None else bisect_right(tools, _name_of(cursor, message), key=_NAME)
    page = tools[start : start + PAGE]
    told = [told_tool(tool, generation) for tool in page]
    if flat:
        names = flat_names(tools)
        told = [{**each, "name": names[each["name"]]} for each in told]
    value: dict[str, Any] = {"tools": told}
    if start + PAGE < len(tools):
        value["nextCursor"] = urlsafe_b64encode(page[-1].name.encode()).decode()
    return generation.listed(value)


def told_tool(tool: Tool, generation: Generation) -> Mapping[str, Any]:
    """Return one tool; what it does to the world stands in its annotations."""
    told: dict[str, Any] = {
        "name": tool.name,
        "description": tool.description,
        "inputSchema": tool.input_schema,
        "annotations": _annotations(tool),
    }
    if tool.title is not None:
        told["title"] = tool.title
    schema = tool.output_schema
    if schema is not None and (generation.is_stateless or schema.get("type") == "object"):
        told["outputSchema"] = schema
    return told


def _annotations(tool: Tool) -> Mapping[str, bool]:
    """Return hints for the client, by what the settings say and not by what the source says."""
    if tool.effect == "read":
        return {"readOnlyHint": True, "destructiveHint": False, "idempotentHint": True}
    return {
        "readOnlyHint": False,
        "destructiveHint": tool.effect == "destructive",
        "idempotentHint": tool.is_repeatable,
    }


def _name_of(cursor: str, message: Message) -> str:
    try:
        return urlsafe_b64decode(cursor).decode()
    except ValueError as error:
        msg = f"{cursor[:100]!r} is no cursor of this gate; begin without one"
        raise ProtocolFlaw(msg, number=INVALID_PARAMS, id=message.id) from error


_NAME: Final = attrgetter("name")
