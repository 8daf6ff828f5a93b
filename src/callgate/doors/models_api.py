"""The door that lists models, in the words of whichever family asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from callgate.doors.exchange import WORDS, Exchange, Family, answer_error
from callgate.errors import Reason, Refused, Unknown
from callgate.gate import Gate

RELEASED: Final = "2026-01-01T00:00:00Z"
"""Both families want a date for each model; a route has none, so all have this one."""

RELEASED_UNIX: Final = 1_767_225_600

PATHS: Final = ("/v1/models", "/v1beta/models", "/v1alpha/models")

METHODS: Final = ("generateContent", "streamGenerateContent")
"""What Google's clients look for in a model that they may ask."""

Page = dict[str, Any]


class ModelsEndpoint:
    """Lists the models that the caller's agent may use, or tells one; an ASGI application."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        family = exchange.family
        try:
            page = self._page(exchange, family, scope["path_params"].get("model"))
        except Refused as refused:
            format = self._gate.formats[WORDS[family]]
            await answer_error(exchange, format, refused, passage=None)
            return
        body = msgspec.json.encode(page)
        await exchange.answer(200, [("content-type", "application/json")], body)

    def _page(self, exchange: Exchange, family: Family, model: str | None) -> Page:
        caller = self._gate.authenticate(exchange.key)
        names = self._gate.models(caller)
        model_page, list_page = PAGES[family]
        if model is None:
            return list_page([model_page(name) for name in names])
        if model not in names:
            msg = f"this agent may use no model {model!r} by name; it may use: {', '.join(names)}"
            fix = "GET of the path without a name lists them"
            raise Unknown(msg, reason=Reason(code="unknown_model", rule="models", fix=fix))
        return model_page(model)


def routes(gate: Gate) -> list[Route]:
    """Return the paths of this door."""
    endpoint = ModelsEndpoint(gate)
    one = [f"{path}/{{model:path}}" for path in PATHS]
    return [Route(path, endpoint, methods=["GET"]) for path in (*PATHS, *one)]


def _openai_model(name: str) -> Page:
    return {"id": name, "object": "model", "created": RELEASED_UNIX, "owned_by": "callgate"}


def _openai_page(models: Sequence[Page]) -> Page:
    return {"object": "list", "data": models}


def _anthropic_model(name: str) -> Page:
    return {"id": name, "type": "model", "display_name": name, "created_at": RELEASED}


def _anthropic_page(models: Sequence[Page]) -> Page:
    ends = (models[0]["id"], models[-1]["id"]) if models else (None, None)
    return {"data": models, "has_more": False, "first_id": ends[0], "last_id": ends[1]}


def _gemini_model(name: str) -> Page:
    return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": METHODS}


def _gemini_page(models: Sequence[Page]) -> Page:
    return {"models": models}


PAGES: Final[Mapping[Family, tuple[Callable[[str], Page], Callable[[Sequence[Page]], Page]]]] = {
    "openai": (_openai_model, _openai_page),
    "anthropic": (_anthropic_model, _anthropic_page),
    "gemini": (_gemini_model, _gemini_page),
}
"""How each family writes a model, and a list of them."""
