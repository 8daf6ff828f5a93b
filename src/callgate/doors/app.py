"""All HTTP doors of one gate, as one ASGI application."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from callgate.doors import anthropic_api, control_api, models_api, openai_api
from callgate.doors.exchange import ModelEndpoint
from callgate.errors import CallgateError
from callgate.gate import Gate


def http_app(gate: Gate) -> ASGIApp:
    """Return the application that answers at every path of the gate."""
    models = {**openai_api.endpoints(gate), **anthropic_api.endpoints(gate)}
    return Doors(models, rest=_rest(gate))


class Doors:
    """Leads model calls to their endpoints, and everything else to a router.

    Most of what comes is a model call, and to look up its path costs a tenth of routing it.
    """

    def __init__(self, models: Mapping[str, ASGIApp], *, rest: ASGIApp) -> None:
        self._models = models
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        model = self._models.get(scope["path"]) if scope["type"] == "http" else None
        if model is not None and scope["method"] == "POST":
            await model(scope, receive, send)
        else:
            await self._rest(scope, receive, send)


def _rest(gate: Gate) -> Starlette:
    return Starlette(
        routes=[
            *models_api.routes(gate),
            *control_api.routes(gate),
            Route("/healthz", _healthy, methods=["GET"]),
            Route("/{path:path}", Elsewhere(gate)),
        ],
        exception_handlers={CallgateError: control_api.answer_refusal},
    )


class Elsewhere:
    """Answers at every other path, in the words of the family that seems to ask."""

    def __init__(self, gate: Gate) -> None:
        formats = gate.formats
        self._openai = ModelEndpoint(
            gate, formats["openai_chat"], door=openai_api.DOOR, elsewhere=True
        )
        self._anthropic = ModelEndpoint(
            gate, formats["anthropic_messages"], door=anthropic_api.DOOR, elsewhere=True
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        names = {name for name, _ in scope["headers"]}
        anthropic = b"anthropic-version" in names or "/messages" in scope["path"]
        await (self._anthropic if anthropic else self._openai)(scope, receive, send)


async def _healthy(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok\n")
