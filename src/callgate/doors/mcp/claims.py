"""What a request over MCP says about its task: in headers as at every door, or in its ``_meta``."""

from __future__ import annotations

from typing import Final

from callgate.call import Claims
from callgate.doors.exchange import Exchange
from callgate.doors.mcp.messages import INVALID_PARAMS, Message, ProtocolFlaw

KEYS: Final = {
    "task_id": "callgate/task",
    "task_type": "callgate/task-type",
    "user": "callgate/user",
    "parent": "callgate/parent-task",
}
"""Keys of ``_meta``, by what they claim."""


def claims_of(exchange: Exchange, message: Message) -> Claims:
    """Return what a request claims.

    Raises:
        ProtocolFlaw: Its headers claim one thing, and its ``_meta`` another.
    """
    by_header, meta = exchange.claims, message.meta
    if not any(key in meta for key in KEYS.values()):
        return by_header
    claimed: dict[str, str | None] = {}
    for field, key in KEYS.items():
        told, meant = getattr(by_header, field), meta.get(key) or None
        if meant is not None and not isinstance(meant, str):
            msg = f"{key} in _meta is no text"
            raise ProtocolFlaw(msg, number=INVALID_PARAMS, id=message.id)
        if None not in {told, meant} and told != meant:
            msg = f"the headers say {told!r} where {key} in _meta says {meant!r}"
            fix = "say it in one place"
            raise ProtocolFlaw(msg, number=INVALID_PARAMS, id=message.id, fix=fix)
        claimed[field] = told or meant
    return Claims(**claimed)
