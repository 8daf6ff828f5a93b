"""The door of OpenAI's HTTP API: ``/v1/chat/completions``."""

from __future__ import annotations

from collections.abc import Mapping

from callgate.doors.exchange import ModelEndpoint
from callgate.gate import Gate

DOOR = "openai"


def endpoints(gate: Gate) -> Mapping[str, ModelEndpoint]:
    """Return what answers at the paths of this door."""
    return {"/v1/chat/completions": ModelEndpoint(gate, gate.formats["openai_chat"], door=DOOR)}
