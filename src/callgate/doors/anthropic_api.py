"""The door of Anthropic's HTTP API: ``/v1/messages`` and ``/v1/messages/count_tokens``."""

from __future__ import annotations

from starlette.routing import Route

from callgate.doors.exchange import ModelEndpoint
from callgate.gate import Gate

DOOR = "anthropic"


def routes(gate: Gate) -> list[Route]:
    """Return the paths of this door."""
    messages = ModelEndpoint(gate, gate.formats["anthropic_messages"], door=DOOR)
    count = ModelEndpoint(gate, gate.formats["anthropic_count_tokens"], door=DOOR)
    return [
        Route("/v1/messages", messages, methods=["POST"]),
        Route("/v1/messages/count_tokens", count, methods=["POST"]),
    ]
