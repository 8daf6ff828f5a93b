"""The door of Anthropic's HTTP API: ``/v1/messages`` and ``/v1/messages/count_tokens``."""

from __future__ import annotations

from collections.abc import Mapping

from callgate.doors.exchange import ModelEndpoint
from callgate.gate import Gate

DOOR = "anthropic"


def endpoints(gate: Gate) -> Mapping[str, ModelEndpoint]:
    """Return what answers at the paths of this door."""
    count = ModelEndpoint(gate, gate.formats["anthropic_count_tokens"], door=DOOR)
    return {
        "/v1/messages": ModelEndpoint(gate, gate.formats["anthropic_messages"], door=DOOR),
        "/v1/messages/count_tokens": count,
    }
