"""An authorization server, and an MCP server that takes its tokens only.

Source: RFC 6749, 7591 (registration), 7636 (PKCE), 8414 and 9728 (metadata), 8707 (resource), 9207
(``iss``), as far as the specification of MCP 2026-07-28 asks for them.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from tests.contract.mcp.front import Front
from tests.contract.mcp.peer import Peer

GATE = base64.b64encode(b"gate:s3cret-of-the-gate").decode()


class Authority:
    """Who gives tokens.

    Attributes:
        live: The access tokens that are good now.
        asked: The grants of all token requests, in their order.
        agrees: Whether the person in the browser agrees.
        lifetime_seconds: How long an access token holds, by its own word.
    """

    def __init__(self) -> None:
        self.url = ""
        self.live: set[str] = set()
        self.asked: list[str] = []
        self.agrees = True
        self.lifetime_seconds = 3600
        self.clients: dict[str, dict[str, Any]] = {}
        self._codes: dict[str, Mapping[str, str]] = {}
        self._refreshes: set[str] = set()
        self._count = 0

    @property
    def resource(self) -> str:
        return f"{self.url}/mcp"

    async def of_resource(self, _: web.Request) -> web.Response:
        return web.json_response(
            {"resource": self.resource, "authorization_servers": [f"{self.url}/as"]}
        )

    async def metadata(self, _: web.Request) -> web.Response:
        issuer = f"{self.url}/as"
        return web.json_response(
            {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/authorize",
                "token_endpoint": f"{issuer}/token",
                "registration_endpoint": f"{issuer}/register",
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
                "authorization_response_iss_parameter_supported": True,
            }
        )  # fmt: skip

    async def register(self, request: web.Request) -> web.Response:
        client = {
            **await request.json(),
            "client_id": self._new("client"),
            "token_endpoint_auth_method": "none",
        }
        self.clients[client["client_id"]] = client
        return web.json_response(client, status=201)

    async def authorize(self, request: web.Request) -> web.Response:
        asked = request.query
        client = self.clients[asked["client_id"]]
        assert asked["redirect_uri"] in client["redirect_uris"]
        assert (asked["code_challenge_method"], asked["resource"]) == ("S256", self.resource)
        said = {"state": asked["state"], "iss": f"{self.url}/as"}
        if self.agrees:
            said["code"] = self._new("code")
            self._codes[said["code"]] = dict(asked)
        else:
            said["error"] = "access_denied"
        return web.Response(
            status=302, headers={"location": f"{asked['redirect_uri']}?{urlencode(said)}"}
        )

    async def token(self, request: web.Request) -> web.Response:
        form = {key: str(value) for key, value in (await request.post()).items()}
        self.asked.append(form["grant_type"])
        if not self._holds(form, request.headers.get("authorization")):
            return web.json_response({"error": "invalid_grant"}, status=400)
        access = self._new("access-token-0123456789")
        self.live = {access}
        page: dict[str, Any] = {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": self.lifetime_seconds,
        }
        if form["grant_type"] != "client_credentials":
            page["refresh_token"] = self._new("refresh-token-0123456789")
            self._refreshes = {page["refresh_token"]}
        return web.json_response(page)

    def _holds(self, form: Mapping[str, str], authorization: str | None) -> bool:
        """Tell whether what was sent is worth a token; nothing is worth two."""
        if form["resource"] != self.resource:
            return False
        match form["grant_type"]:
            case "authorization_code":
                asked = self._codes.pop(form["code"], None)
                digest = sha256(form["code_verifier"].encode()).digest()
                challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
                return (
                    asked is not None
                    and asked["code_challenge"] == challenge
                    and asked["redirect_uri"] == form["redirect_uri"]
                )
            case "refresh_token":
                return form["refresh_token"] in self._refreshes
            case "client_credentials":
                return authorization == f"Basic {GATE}"
            case _:
                return False

    def _new(self, kind: str) -> str:
        self._count += 1
        return f"{kind}-{self._count}"


@asynccontextmanager
async def guarded(authority: Authority) -> AsyncGenerator[str]:
    """Let both listen, and yield where the MCP server is."""

    def answer(request: web.Request) -> web.Response | None:
        if (request.headers.get("authorization") or "").removeprefix("Bearer ") in authority.live:
            return None
        where = f"{authority.url}/.well-known/oauth-protected-resource/mcp"
        return web.Response(
            status=401, headers={"www-authenticate": f'Bearer resource_metadata="{where}"'}
        )

    front = Front(Peer({}), answer)
    app = web.Application()
    app.add_routes(
        [
            web.post("/mcp", front.post),
            web.get("/.well-known/oauth-protected-resource/mcp", authority.of_resource),
            web.get("/.well-known/oauth-authorization-server/as", authority.metadata),
            web.post("/as/register", authority.register),
            web.get("/as/authorize", authority.authorize),
            web.post("/as/token", authority.token),
        ]
    )
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    authority.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield authority.resource
    finally:
        await runner.cleanup()
