"""The toolsets of one version of the settings; those whose settings stay the same stay open."""

from __future__ import annotations

import logging
from asyncio import Future
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from callgate.config.mcp_policies import McpPolicy
from callgate.config.platform_policies import PlatformPolicy
from callgate.config.policies import Settings
from callgate.gate.parts import Parts
from callgate.redact import Secret
from callgate.secrets import Secrets
from callgate.store import Balance
from callgate.tools import Toolset
from callgate.tools.direct import direct_toolsets
from callgate.tools.mcp.toolset import McpToolset
from callgate.tools.platform import CreditPlatform

log = logging.getLogger("callgate")


class Opened(msgspec.Struct, frozen=True):
    """Toolsets that one part of the settings has made."""

    policy: Any
    """All that they were made by: while it is the same, they stay."""
    toolsets: Sequence[Toolset]


class Plan(msgspec.Struct, frozen=True):
    """What one part of the settings makes."""

    key: str
    """Which part it is."""
    policy: Any
    make: Callable[[], Sequence[Toolset]]


class Toolsets(msgspec.Struct, frozen=True, kw_only=True):
    """Opens the toolsets that settings name."""

    settings: Settings
    secrets: Secrets
    parts: Parts
    functions: Sequence[Callable[..., Any]] = ()
    """What the program itself brings along as tools."""

    def open(self, old: Mapping[str, Opened]) -> Mapping[str, Opened]:
        """Return the toolsets of these settings, by the part that they are of.

        Args:
            old: Those of the settings before, of which the ones that nothing changed are kept.

        Raises:
            Misconfigured: One cannot be made; then none is.
        """
        opened: dict[str, Opened] = {}
        for plan in self._plans():
            before = old.get(plan.key)
            is_kept = before is not None and before.policy == plan.policy
            opened[plan.key] = before if is_kept and before else Opened(plan.policy, plan.make())
        return opened

    def _plans(self) -> Iterator[Plan]:
        tools = self.settings.tools
        direct = {name: each for name, each in tools.items() if each.python or each.http}
        if direct or self.functions:
            made_by = (direct, tuple(self.functions))
            yield Plan("tools", made_by, partial(direct_toolsets, self.settings, self.functions))
        for name, policy in self.settings.platforms.items():
            yield Plan(f"platforms.{name}", policy, partial(self._platform, policy))
        for name, server in self.settings.mcp.items():
            yield Plan(f"mcp.{name}", server, partial(self._server, server))

    def _platform(self, policy: PlatformPolicy) -> Sequence[Toolset]:
        return (
            CreditPlatform(
                policy,
                credential=partial(self._credential, policy.key),
                clock=self.parts.clock,
                on_balance=self._note_balance,
            ),
        )

    def _server(self, policy: McpPolicy) -> Sequence[Toolset]:
        path = self.settings.path
        return (
            McpToolset(
                policy,
                environ=self.parts.environ,
                resolve=self.secrets.resolve,
                folder=Path.cwd() if path is None else path.parent,
                clock=self.parts.clock,
                rng=self.parts.rng,
            ),
        )

    def _credential(self, reference: str) -> Secret:
        return self.secrets.resolve(reference)

    def _note_balance(self, balance: Balance) -> None:
        """Keep what an account has; where the store is down, the next answer tells it anew."""
        self.parts.store.note_balance(balance).add_done_callback(_log_lost)


def _log_lost(noted: Future[None]) -> None:
    if not noted.cancelled() and (error := noted.exception()) is not None:
        log.warning("a balance is not noted: %s", error)
