"""The door of OpenAI's HTTP API: ``/v1/chat/completions``."""

from __future__ import annotations

from starlette.routing import Route

from callgate.doors.exchange import ModelEndpoint
from callgate.gate import Gate

DOOR = "openai"


def routes(gate: Gate) -> list[Route]:
    """Return the paths of this door."""
    chat = ModelEndpoint(gate, gate.formats["openai_chat"], door=DOOR)
    return [Route("/v1/chat/completions", chat, methods=["POST"])]
