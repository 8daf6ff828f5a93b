"""OAuth for servers that are elsewhere: tokens that are kept, renewed, and asked of a person once.

The flows are the SDK's. What it forgets with the process, when a token ends and who gave it, is kept
beside the token: else a token that can be renewed would be asked for anew, or its refresh token be
sent to somebody else.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web
from mcp.client.auth import OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.auth.oauth2 import OAuthContext
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthMetadata,
    OAuthToken,
)
from pydantic import AnyUrl

from callgate.clock import Clock
from callgate.config.mcp_policies import McpPolicy, OAuthPolicy
from callgate.redact import Secret

EARLY_SECONDS: Final = 30.0
"""So long before its end a token is renewed, as a request takes time too."""

NOWHERE: Final = "http://127.0.0.1/callback"
"""The redirect of a client that asks nobody."""

Resolve = Callable[[str], Secret]
Show = Callable[[str], Awaitable[None]]
"""Takes the address where a person agrees."""


class NeedsLogin(Exception):
    """There is no token, and only a person can get one."""


class Kept(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is kept of one server."""

    tokens: dict[str, Any] | None = None
    expires_at: float | None = None
    """When the access token ends, in seconds since 1970."""
    client: dict[str, Any] | None = None
    """Who the gate is at the authorization server."""
    issuer: dict[str, Any] | None = None
    """What the authorization server says about itself."""


class TokenFile:
    """Keeps the tokens of one server in a file that only its owner can read.

    Args:
        path: Where.
        clock: What time it is.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._context: OAuthContext | None = None
        self._kept = self._read()

    @classmethod
    def of(cls, policy: McpPolicy, folder: Path, clock: Clock) -> TokenFile:
        """Return the file of a server: one for each name and address."""
        mark = sha256((policy.url or "").encode()).hexdigest()[:12]
        return cls(folder / "mcp" / f"{policy.name}-{mark}.json", clock)

    @property
    def secrets(self) -> list[Secret]:
        """What of it nobody may read."""
        tokens = self._kept.tokens or {}
        return [Secret(str(tokens[k])) for k in ("access_token", "refresh_token") if tokens.get(k)]

    @property
    def is_empty(self) -> bool:
        """Whether nobody has logged in yet."""
        return self._kept.tokens is None

    def attach(self, context: OAuthContext) -> None:
        """Give what is kept to a flow, and keep from then on what it finds out."""
        self._context = context
        if self._kept.expires_at is not None:
            context.token_expiry_time = self._kept.expires_at - EARLY_SECONDS
        if self._kept.issuer is not None:
            context.oauth_metadata = OAuthMetadata.model_validate(self._kept.issuer)

    def forget(self) -> None:
        """Begin anew; what is in the file stays until there are new tokens."""
        self._kept = Kept()

    async def get_tokens(self) -> OAuthToken | None:
        """Return the tokens, if there are any."""
        return None if self._kept.tokens is None else OAuthToken.model_validate(self._kept.tokens)

    async def set_tokens(self, tokens: OAuthToken) -> None:
        """Keep new tokens, with when they end and who gave them."""
        kept, context = self._kept, self._context
        kept.tokens = tokens.model_dump(mode="json", exclude_none=True)
        ends_in = tokens.expires_in
        kept.expires_at = None if ends_in is None else self._clock.now() + ends_in
        if context is not None and context.oauth_metadata is not None:
            kept.issuer = context.oauth_metadata.model_dump(mode="json", exclude_none=True)
        self._write()

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        """Return who the gate is at the authorization server, if it is known there."""
        client = self._kept.client
        return None if client is None else OAuthClientInformationFull.model_validate(client)

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Keep who the gate is; it is written with the first tokens."""
        self._kept.client = client_info.model_dump(mode="json", exclude_none=True)

    def _read(self) -> Kept:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Kept)
        except (FileNotFoundError, msgspec.DecodeError):
            return Kept()

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = self._path.with_suffix(f".{os.getpid()}.new")
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        new.write_bytes(msgspec.json.encode(self._kept))
        new.replace(self._path)


def authorizing(policy: McpPolicy, oauth: OAuthPolicy, file: TokenFile, resolve: Resolve) -> Any:
    """Return what adds a token to each request, and renews it.

    Raises:
        NeedsLogin: There is none, and only a person can get one.
    """
    if oauth.grant == "client_credentials":
        flow: OAuthClientProvider = ClientCredentialsOAuthProvider(
            policy.url or "",
            file,
            client_id=oauth.client_id or "",
            client_secret=resolve(oauth.client_secret or "").reveal(),
            scope=oauth.scope,
            issuer=oauth.issuer,
        )
    else:
        if file.is_empty:
            raise NeedsLogin
        flow = OAuthClientProvider(policy.url or "", _metadata(oauth, NOWHERE), file, _ask_nobody)
    file.attach(flow.context)
    return flow


@asynccontextmanager
async def asking(
    policy: McpPolicy, oauth: OAuthPolicy, file: TokenFile, resolve: Resolve, show: Show
) -> AsyncGenerator[OAuthClientProvider]:
    """Let a person agree: the flow shows where, and hears on this machine that it is done."""
    file.forget()
    async with _Ear.listening() as ear:
        metadata = _metadata(oauth, ear.url)
        if oauth.client_id is not None:
            secret = oauth.client_secret
            known = OAuthClientInformationFull(
                **metadata.model_dump(),
                client_id=oauth.client_id,
                client_secret=None if secret is None else resolve(secret).reveal(),
            )
            await file.set_client_info(known)
        flow = OAuthClientProvider(policy.url or "", metadata, file, show, ear.hear)
        file.attach(flow.context)
        yield flow


async def _ask_nobody(_: str) -> None:
    """Say that a person is needed, where there is none."""
    raise NeedsLogin


def _metadata(oauth: OAuthPolicy, redirect: str) -> OAuthClientMetadata:
    return OAuthClientMetadata(
        client_name="Callgate",
        redirect_uris=[AnyUrl(redirect)],
        grant_types=["authorization_code", "refresh_token"],
        token_endpoint_auth_method="client_secret_post" if oauth.client_secret else None,
        scope=oauth.scope,
    )


class _Ear:
    """Hears at a free port of this machine that a person has agreed.

    Source: RFC 8252 §7.3, loopback redirects.
    """

    def __init__(self) -> None:
        self._heard: asyncio.Future[AuthorizationCodeResult] = (
            asyncio.get_running_loop().create_future()
        )
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def listening(cls) -> AsyncGenerator[_Ear]:
        ear = cls()
        app = web.Application()
        app.add_routes([web.get("/callback", ear._answer)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ear.url = f"http://127.0.0.1:{runner.addresses[0][1]}/callback"
        try:
            yield ear
        finally:
            await runner.cleanup()

    async def hear(self) -> AuthorizationCodeResult:
        return await self._heard

    async def _answer(self, request: web.Request) -> web.Response:
        said = request.query
        if not self._heard.done():
            self._heard.set_result(
                AuthorizationCodeResult(
                    code=said.get("code", ""), state=said.get("state"), iss=said.get("iss")
                )
            )
        text = "Done: you can close this page." if "code" in said else "It was not agreed to."
        return web.Response(text=text)
