"""The door that lists models, ``/v1/models``, in the words of whichever family asks."""

from __future__ import annotations

import msgspec
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from callgate.doors.exchange import Exchange, answer_error
from callgate.errors import Refused
from callgate.gate import Gate
from callgate.pipeline.permission import listed

RELEASED = "2026-01-01T00:00:00Z"
"""Both families want a date for each model; a route has none, so all have this one."""

RELEASED_UNIX = 1_767_225_600


class ModelsEndpoint:
    """Lists the models that the caller's agent may use; an ASGI application."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        anthropic = exchange.header("anthropic-version") is not None
        format = self._gate.formats["anthropic_messages" if anthropic else "openai_chat"]
        try:
            caller = self._gate.authenticate(exchange.key)
        except Refused as stranger:
            await answer_error(exchange, format, stranger, passage=None)
            return
        agent = self._gate.agent(caller)
        names = () if agent is None else listed(self._gate.settings, agent)
        page = _anthropic_page(names) if anthropic else _openai_page(names)
        body = msgspec.json.encode(page)
        await exchange.answer(200, [("content-type", "application/json")], body)


def routes(gate: Gate) -> list[Route]:
    """Return the paths of this door."""
    return [Route("/v1/models", ModelsEndpoint(gate), methods=["GET"])]


def _openai_page(names: tuple[str, ...]) -> dict[str, object]:
    models = [
        {"id": name, "object": "model", "created": RELEASED_UNIX, "owned_by": "callgate"}
        for name in names
    ]
    return {"object": "list", "data": models}


def _anthropic_page(names: tuple[str, ...]) -> dict[str, object]:
    models = [
        {"id": name, "type": "model", "display_name": name, "created_at": RELEASED}
        for name in names
    ]
    ends = (names[0], names[-1]) if names else (None, None)
    return {"data": models, "has_more": False, "first_id": ends[0], "last_id": ends[1]}
