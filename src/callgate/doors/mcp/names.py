"""Names of tools as a client wants them: as everywhere, or flat, for models whose API takes no dots.

MCP allows dots in the names of tools, the APIs of OpenAI and Anthropic do not, and most clients hand names on as
they are. So ``/mcp?names=flat`` calls ``git.log`` ``git__log``.

Source: MCP 2026-07-28, "Tool Names"; OpenAI and Anthropic, API reference, "tools".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from callgate.call import Tool
from callgate.doors.exchange import Exchange
from callgate.doors.mcp.messages import Message

JOINT: Final = "__"
"""What stands for a dot."""


def wants_flat(exchange: Exchange) -> bool:
    """Return whether a client wants names without dots."""
    return exchange.asked("names") == "flat"


def flat_names(tools: Sequence[Tool]) -> Mapping[str, str]:
    """Return the flat name of each tool by its own; one whose flat name another has keeps its own."""
    taken = {tool.name for tool in tools}
    told: dict[str, str] = {}
    for tool in tools:
        flat = tool.name.replace(".", JOINT)
        told[tool.name] = tool.name if flat in taken else flat
        taken.add(flat)
    return told


def named(message: Message, tools: Sequence[Tool]) -> Message:
    """Return a call with the name that its tool has everywhere, in the place of its flat one."""
    name = next(
        (own for own, flat in flat_names(tools).items() if flat == message.params.name),
        message.params.name,
    )
    params = msgspec.structs.replace(message.params, name=name)
    return msgspec.structs.replace(message, params=params)
