"""``[mcp.NAME]`` as the rest of the house sees it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from callgate.call import Effect
from callgate.config.platform_policies import Pin
from callgate.money import Money

MAX_RESULT_BYTES: Final = 1_000_000

REFERENCE: Final = re.compile(r"(?:env|file):")
"""How a value begins that is not itself, but says where a secret is."""


Grant = Literal["authorization_code", "client_credentials"]


class OAuthPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """``[mcp.NAME.oauth]``: how tokens for a server are got."""

    grant: Grant = "authorization_code"
    """Whether a person agrees once, or the gate has a credential of its own."""
    client_id: str | None = None
    """Who the gate is; None: it registers itself."""
    client_secret: str | None = None
    """A secret reference."""
    issuer: str | None = None
    """Which authorization server the credential is for."""
    scope: str | None = None


class McpPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """``[mcp.NAME]``: a server whose tools agents may call as ``NAME.tool``."""

    name: str
    command: str | None = None
    """The program that is the server; None where it is at ``url``."""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = {}
    """What its environment has besides the least: values, or references of secrets."""
    cwd: Path | None = None
    """Where it runs; None: where the settings file is."""
    url: str | None = None
    """Where it listens; None where ``command`` starts it."""
    key: str | None = None
    """The reference of what is sent to ``url`` as a bearer token."""
    headers: Mapping[str, str] = {}
    """What is sent to ``url`` besides: values, or references of secrets."""
    oauth: OAuthPolicy | None = None
    """How tokens for ``url`` are got; None: none are."""
    ca_file: Path | None = None
    """Certificates to trust besides the usual ones."""
    trust: bool = False
    """Whether what it says about its own tools is believed."""
    pin: Pin = "first"
    effect: Effect | None = None
    """What its tools do to the world, where nothing else says so; None: the worst."""
    is_idempotent: bool = False
    """Whether a call of its tools may be made twice."""
    cost: Money = Money()
    """The most that one call of a tool of it can cost."""
    timeout_seconds: float = 60.0
    """How long one attempt may take."""
    start_timeout_seconds: float = 30.0
    """How long it may take to start and to tell its tools."""
    max_result_bytes: int = MAX_RESULT_BYTES

    @property
    def references(self) -> Sequence[str]:
        """Every reference of a secret among its settings."""
        secret = None if self.oauth is None else self.oauth.client_secret
        said = (*self.env.values(), *self.headers.values(), self.key or "", secret or "")
        return [value for value in said if REFERENCE.match(value)]
