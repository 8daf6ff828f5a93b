"""The door of OpenAI's HTTP API: Chat Completions, Responses and embeddings."""

from __future__ import annotations

from collections.abc import Mapping

from callgate.doors.exchange import ModelEndpoint
from callgate.gate import Gate

DOOR = "openai"


def endpoints(gate: Gate) -> Mapping[str, ModelEndpoint]:
    """Return what answers at the paths of this door."""
    formats = {
        "/v1/chat/completions": "openai_chat",
        "/v1/responses": "openai_responses",
        "/v1/embeddings": "openai_embeddings",
    }
    return {
        path: ModelEndpoint(gate, gate.formats[format], door=DOOR)
        for path, format in formats.items()
    }
