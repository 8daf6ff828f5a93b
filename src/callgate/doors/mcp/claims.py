"""What a request over MCP says about its task: in headers as at every door, or in its ``_meta``."""

from __future__ import annotations

from typing import Final

from callgate.call import Claims
from callgate.doors.exchange import Exchange
from callgate.doors.mcp.messages import INVALID_PARAMS, Message, ProtocolFlaw
from callgate.doors.repeats import HEADER, repeat_of

KEYS: Final = {
    "task_id": "callgate/task",
    "task_type": "callgate/task-type",
    "user": "callgate/user",
    "parent": "callgate/parent-task",
}
"""Keys of ``_meta``, by what they claim."""

REPEAT: Final = "callgate/repeat"
"""The key of ``_meta`` by which a call says for which time it is meant."""


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


def repeat_claimed(exchange: Exchange, message: Message) -> int | None:
    """Return for which time, on purpose, a call is meant; what its ``_meta`` says goes first.

    Raises:
        Malformed: That is no whole number.
    """
    return repeat_of(message.meta.get(REPEAT, exchange.header(HEADER)))
