"""All HTTP doors of one gate, as one ASGI application."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from callgate.doors import (
    anthropic_api,
    control_api,
    gemini_api,
    models_api,
    openai_api,
    tools_api,
)
from callgate.doors.exchange import WORDS, Exchange, Family, ModelEndpoint
from callgate.doors.mcp import PATH, McpEndpoint
from callgate.errors import CallgateError
from callgate.gate import Gate


def http_app(gate: Gate) -> ASGIApp:
    """Return the application that answers at every path of the gate."""
    mcp = McpEndpoint(gate)
    models = {**openai_api.endpoints(gate), **anthropic_api.endpoints(gate)}
    calls: dict[str, ASGIApp] = {**models, PATH: mcp}
    return Doors(calls, gemini=gemini_api.endpoint(gate), rest=_rest(gate, mcp))


class Doors:
    """Leads calls to their endpoints, and everything else to a router.

    Most of what comes is a call, and to look up its path costs a tenth of routing it.
    """

    def __init__(self, calls: Mapping[str, ASGIApp], *, gemini: ASGIApp, rest: ASGIApp) -> None:
        self._calls = calls
        self._gemini = gemini
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        is_call = scope["type"] == "http" and scope["method"] == "POST"
        taker = self._taker(scope["path"]) if is_call else None
        await (taker or self._rest)(scope, receive, send)

    def _taker(self, path: str) -> ASGIApp | None:
        """Return who takes calls at a path: one that is written out, or one that names its model."""
        known = self._calls.get(path)
        return self._gemini if known is None and gemini_api.is_called(path) else known


def _rest(gate: Gate, mcp: McpEndpoint) -> Starlette:
    return Starlette(
        routes=[
            *models_api.routes(gate),
            *control_api.routes(gate),
            *tools_api.routes(gate),
            Route(PATH, mcp, include_in_schema=False),
            Route("/healthz", _healthy, methods=["GET"]),
            Route("/{path:path}", Elsewhere(gate)),
        ],
        exception_handlers={CallgateError: control_api.answer_refusal},
    )


class Elsewhere:
    """Answers at every other path, in the words of the family that seems to ask."""

    def __init__(self, gate: Gate) -> None:
        self._families: Mapping[Family, ModelEndpoint] = {
            family: ModelEndpoint(gate, gate.formats[format], door=family, elsewhere=True)
            for family, format in WORDS.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        family = Exchange(scope, receive, send).family
        await self._families[family](scope, receive, send)


async def _healthy(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok\n")
