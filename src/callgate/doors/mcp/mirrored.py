"""Arguments that a tool wants to see in headers too: both must say the same.

Source: MCP 2026-07-28, "Custom Headers from Tool Parameters". A schema that asks for it in a way that the
protocol does not have asks for nothing: clients do not take such a tool.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from callgate.call import Tool
from callgate.doors.exchange import Exchange
from callgate.doors.mcp.generations import decoded, mismatch
from callgate.doors.mcp.messages import Message

ASKS: Final = "x-mcp-header"
PREFIX: Final = "mcp-param-"

WHOLE: Final = re.compile(r"(-?[0-9]+)(?:\.0+)?")
"""A whole number, however it is written."""

Argument = tuple[tuple[str, ...], str, bool]
"""Where it stands in the arguments, its header, and whether it is a whole number."""


class MirroredArguments:
    """Holds headers against arguments, of the tools that ask for it."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Tool, tuple[Argument, ...]]] = {}

    def has(self, tool: Tool) -> bool:
        """Return whether a tool asks for any."""
        return bool(self._asked(tool))

    def check(self, exchange: Exchange, message: Message, tool: Tool, body: bytes) -> None:
        """Look at a call of a tool.

        Raises:
            ProtocolFlaw: A header says something else than the argument.
        """
        try:
            arguments = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # The road says what is wrong with them.
            return
        for path, header, is_whole in self._asked(tool):
            told, meant = decoded(exchange.header(header)), _at(arguments, path)
            if not _agree(told, meant, is_whole=is_whole) or (
                told is None and exchange.header(header) is not None
            ):
                raise mismatch(message, header)

    def _asked(self, tool: Tool) -> tuple[Argument, ...]:
        known = self._known.get(tool.name)
        if known is None or known[0] is not tool:
            self._known[tool.name] = known = (tool, tuple(_arguments(tool.input_schema, ())))
        return known[1]


def _arguments(schema: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Argument]:
    """Give what a schema wants in headers, of it and of the objects within it."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return
    for name, part in cast("Mapping[str, Any]", properties).items():
        if not isinstance(part, Mapping):
            continue
        inner = cast("Mapping[str, Any]", part)
        header = inner.get(ASKS)
        if isinstance(header, str):
            yield (*path, name), PREFIX + header.lower(), inner.get("type") == "integer"
        yield from _arguments(inner, (*path, name))


def _at(arguments: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not isinstance(arguments, dict):
            return None
        arguments = cast("dict[str, Any]", arguments).get(name)
    return arguments


def _agree(told: str | None, meant: object, *, is_whole: bool) -> bool:
    if meant is None or isinstance(meant, dict | list):
        return told is None
    if told is None:
        return False
    if isinstance(meant, bool):
        return told == ("true" if meant else "false")
    if is_whole and isinstance(meant, int | float):
        number = WHOLE.fullmatch(told)
        return number is not None and int(number[1]) == meant
    return told == str(meant)
