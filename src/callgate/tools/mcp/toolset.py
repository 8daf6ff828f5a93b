"""The tools of one MCP server, as the road calls them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from callgate.call import Tool, ToolResult
from callgate.clock import Clock
from callgate.config import state_folder
from callgate.config.mcp_policies import REFERENCE, McpPolicy, OAuthPolicy
from callgate.errors import Misconfigured
from callgate.redact import Secret
from callgate.tools import Invocation, Pinning
from callgate.tools.mcp.definitions import Definition, Listing
from callgate.tools.mcp.effects import effect_of

if TYPE_CHECKING:
    from callgate.tools.mcp.connection import Given
    from callgate.tools.mcp.supervisor import State, Supervisor

MAX_CONNECTIONS: Final = 8
"""Connections to one server, each with another credential: tools may have keys of their own, and
keys are replaced."""

DRAIN_SECONDS: Final = 30.0
"""How long calls may go on whose server the settings no longer have."""

Resolve = Callable[[str], Secret]
"""Returns the secret that a reference names."""


class McpToolset:
    """One server of the settings.

    Args:
        policy: What the settings say about it.
        environ: The gate's environment, of which the server gets the least.
        resolve: What turns references into secrets.
        folder: Where a server runs that names no folder.
        clock: What time it is.
        rng: Where the jitter of restarts comes from.

    Raises:
        Misconfigured: The SDK of MCP is not installed.
    """

    def __init__(
        self,
        policy: McpPolicy,
        *,
        environ: Mapping[str, str],
        resolve: Resolve,
        folder: Path,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        if find_spec("mcp") is None:
            msg = f"[mcp.{policy.name}] needs the SDK of MCP: pip install 'callgate[mcp]'"
            raise Misconfigured(msg)
        self._policy = policy
        self._environ = environ
        self._resolve = resolve
        self._folder = folder
        self._clock = clock
        self._rng = rng
        self._listing: Listing | None = None
        self._tools: tuple[Tool, ...] = ()
        self._supervisors: dict[Secret | None, Supervisor] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """What the settings call it."""
        return self._policy.name

    @property
    def pinning(self) -> Pinning:
        """Which tools there are is its own choice, so what it lists first is taken as a whole."""
        policy = self._policy
        given = {name: value for name, value in policy.env.items() if not REFERENCE.match(value)}
        return Pinning(
            accepting="the first list" if policy.pin == "first" else "nothing",
            surroundings={**given, "folder": str(policy.cwd or self._folder)},
        )

    @property
    def listing(self) -> Listing | None:
        """What the server has told last; None where it has told nothing yet."""
        return self._listing

    @property
    def age_seconds(self) -> float | None:
        """How old that is."""
        told = self._listing
        return None if told is None else self._clock.monotonic() - told.listed_at

    @property
    def states(self) -> Sequence[State]:
        """How its connections are."""
        return [supervisor.state for supervisor in self._supervisors.values()]

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._own().start()

    async def ready(self) -> None:
        """Wait until its tools are known, or it is known that they are not to be had now."""
        await self._own().settled()

    def tools(self) -> Sequence[Tool]:
        """Return its tools as it has told them last, and have it asked again where that is long ago."""
        age = self.age_seconds
        if self._listing is None or age is None or age > self._listing.ttl_seconds:
            self._own().freshen()
        return self._tools

    async def call(self, invocation: Invocation, /) -> ToolResult:
        """Run one attempt.

        Raises:
            Failed: As :meth:`callgate.tools.Toolset.call` says.
        """
        credential = invocation.credential
        # What a program knows, it was started with.
        is_sent = credential is not None and self._policy.url is not None
        supervisor = self._of(credential) if is_sent else self._own()
        return await supervisor.call(invocation)

    async def restart(self) -> None:
        """End the server, and start it anew."""
        await asyncio.gather(*(each.restart() for each in self._supervisors.values()))

    async def close(self) -> None:
        """End the server, and everything it has started, once its calls have had time to end."""
        ending = (each.close(drain_seconds=DRAIN_SECONDS) for each in self._supervisors.values())
        await asyncio.gather(*ending)
        if self._leaving:
            await asyncio.wait(self._leaving)

    def _own(self) -> Supervisor:
        """Return the connection with the credential that the settings name.

        One that cannot be resolved now is the connection's own trouble, when it starts.
        """
        key = self._policy.key
        try:
            return self._of(None if key is None else self._resolve(key))
        except Misconfigured:
            return self._of(None)

    def _of(self, credential: Secret | None) -> Supervisor:
        """Return the connection with a credential: each has its own, and none sees another's."""
        known = self._supervisors.get(credential)
        if known is not None:
            return known
        # Large, and needed only where there is a server.
        from callgate.tools.mcp.supervisor import Supervisor  # noqa: PLC0415

        supervisor = Supervisor(
            self.name,
            give=lambda: self._give(credential),
            publish=self._publish,
            start_timeout_seconds=self._policy.start_timeout_seconds,
            clock=self._clock,
            rng=self._rng,
        )
        self._retire()
        self._supervisors[credential] = supervisor
        return supervisor

    def _retire(self) -> None:
        """Let go of the oldest connection where there are too many, once its calls have ended."""
        if len(self._supervisors) < MAX_CONNECTIONS:
            return
        oldest = next(iter(self._supervisors))
        leaving = asyncio.create_task(
            self._supervisors.pop(oldest).close(drain_seconds=DRAIN_SECONDS)
        )
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    def _publish(self, told: Listing) -> None:
        old, self._listing = self._listing, told
        if old is not None and old.digest == told.digest:
            return
        self._tools = tuple(self._tool(definition) for definition in told.definitions)

    def _tool(self, definition: Definition) -> Tool:
        policy, raw = self._policy, definition.raw
        hints: Mapping[str, Any] = raw.get("annotations") or {}
        effect, is_idempotent = effect_of(policy, hints)
        return Tool(
            name=f"{policy.name}.{definition.name}",
            description=raw.get("description") or "",
            input_schema=raw["inputSchema"],
            output_schema=raw.get("outputSchema"),
            title=raw.get("title") or hints.get("title"),
            effect=effect,
            is_idempotent=is_idempotent,
            toolset=policy.name,
            remote_name=definition.remote_name,
            cost=policy.cost,
            key=policy.key,
            timeout_seconds=policy.timeout_seconds,
            hints=hints or None,
        )

    def _give(self, credential: Secret | None, *, auth: Any = None) -> Given:
        """Return what a connection is made of, with each secret as it is now.

        Raises:
            Misconfigured: A secret is missing.
            NeedsLogin: There is no token, and only a person can get one.
        """
        from callgate.tools.mcp.connection import Given  # noqa: PLC0415  (as above)

        policy, secrets = self._policy, list[Secret]()
        if credential is None and policy.key is not None:
            credential = self._resolve(policy.key)
        headers = self._filled(policy.headers, secrets)
        if credential is not None:
            secrets.append(credential)
            headers["authorization"] = f"Bearer {credential.reveal()}"
        if policy.oauth is not None and auth is None:
            auth = self._authorizing(policy.oauth, secrets)
        env = self._filled(policy.env, secrets)
        return Given(
            policy=policy,
            command=None if policy.command is None else self._command(env),
            headers=headers,
            secrets=tuple(secrets),
            auth=auth,
        )

    async def log_in(self, show: Callable[[str], Awaitable[None]]) -> Listing:
        """Have a person agree that the gate may use the server; return its tools.

        Args:
            show: Takes the address where that is done.

        Raises:
            Misconfigured: The settings name no way for that.
            BaseExceptionGroup: It was not agreed to, or the server does not answer.
        """
        from callgate.tools.mcp.connection import connect  # noqa: PLC0415  (as above)
        from callgate.tools.mcp.oauth import TokenFile, asking  # noqa: PLC0415

        policy = self._policy
        if policy.oauth is None or policy.oauth.grant != "authorization_code":
            msg = f"nobody logs in to {policy.name}: [mcp.{policy.name}] has no oauth with authorization_code"
            raise Misconfigured(msg)
        file = TokenFile.of(policy, state_folder(self._environ), self._clock)
        async with (
            asking(policy, policy.oauth, file, self._resolve, show) as auth,
            connect(self._give(None, auth=auth), self._clock) as connection,
        ):
            return await connection.tools()

    def _authorizing(self, oauth: OAuthPolicy, secrets: list[Secret]) -> Any:
        """Return what adds a token to each request, and note what of it is secret."""
        from callgate.tools.mcp.oauth import TokenFile, authorizing  # noqa: PLC0415  (as above)

        file = TokenFile.of(self._policy, state_folder(self._environ), self._clock)
        secrets += file.secrets
        if oauth.client_secret is not None:
            secrets.append(self._resolve(oauth.client_secret))
        return authorizing(self._policy, oauth, file, self._resolve)

    def _command(self, env: Mapping[str, str]) -> Any:
        from callgate.tools.mcp.process import Command, least_environment  # noqa: PLC0415

        policy = self._policy
        return Command(
            server=policy.name,
            program=policy.command or "",
            args=policy.args,
            env={**least_environment(self._environ), **env},
            cwd=policy.cwd or self._folder,
        )

    def _filled(self, values: Mapping[str, str], secrets: list[Secret]) -> dict[str, str]:
        """Return values with secrets in the place of references, and note the secrets."""
        filled: dict[str, str] = {}
        for name, value in values.items():
            if REFERENCE.match(value):
                secret = self._resolve(value)
                secrets.append(secret)
                filled[name] = secret.reveal()
            else:
                filled[name] = value
        return filled
