"""Sessions of the earlier generations: a name that a client sends with every request.

No gate keeps anything under it. What a gate must know of the client later on stands in the name itself, so
that any of several gates knows it.

Source: MCP 2025-11-25, "Session Management".
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from typing import Any, Final, cast

from callgate.doors.exchange import Exchange
from callgate.doors.mcp.generations import CAPABILITIES_KEY, Generation
from callgate.doors.mcp.messages import Message

HEADER: Final = "mcp-session-id"

MODES: Final = ("form", "url")
"""Ways to ask a client's user."""


def new_session(message: Message) -> str:
    """Return a name for who begins with ``initialize``, which also says how its user can be asked."""
    modes = _modes(message.params.capabilities)
    return "-".join([secrets.token_hex(16), *modes])


def asked_modes(exchange: Exchange, message: Message, generation: Generation) -> Collection[str]:
    """Return the ways in which the user of a client can be asked."""
    if generation.is_stateless:
        return _modes(message.meta.get(CAPABILITIES_KEY))
    session = exchange.header(HEADER)
    return () if session is None else [mode for mode in MODES if mode in session.split("-")[1:]]


def _modes(capabilities: object) -> Collection[str]:
    """Return what a client declares: nothing at all means forms.

    Source: MCP 2025-11-25 and 2026-07-28, "Elicitation", "Capabilities".
    """
    if not isinstance(capabilities, Mapping):
        return ()
    declared = cast("Mapping[str, Any]", capabilities).get("elicitation")
    if not isinstance(declared, Mapping):
        return ()
    known = [mode for mode in MODES if mode in cast("Mapping[str, Any]", declared)]
    return known or MODES[:1]
