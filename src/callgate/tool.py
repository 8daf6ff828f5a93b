"""A tool as the road sees it: what it is called, takes, does to the world and costs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import msgspec

from callgate.money import Money

Effect = Literal["read", "write", "destructive"]
"""What a tool does to the world: nothing, something, or something that cannot be undone."""

Progress = Callable[[float, float | None, str | None], Awaitable[None]]
"""Takes how far a call is, of how much (None if unknown), and a word about it."""


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that an agent can call, as a toolset offers it."""

    name: str
    """What agents call it; no other tool of a gate has the same."""
    description: str
    input_schema: Mapping[str, Any]
    """JSON schema of the arguments: an object."""
    output_schema: Mapping[str, Any] | None = None
    """JSON schema of the structured result, where the source promises one."""
    title: str | None = None
    effect: Effect = "destructive"
    """What nobody has declared counts as the worst."""
    is_idempotent: bool = False
    """Whether the same call again changes nothing more; a ``read`` always is."""
    toolset: str
    """Where it comes from: the name of its toolset."""
    remote_name: str
    """What it is called there."""
    cost: Money | None = Money()
    """The most that one call of it can cost; None where nobody says."""
    key: str | None = None
    """The reference of the secret that a call of it needs; it is resolved just before the call."""
    takes_key: bool = False
    """Whether it can be given an idempotency key, so that it does one thing once."""
    timeout_seconds: float = 60.0
    """How long one attempt may take."""
    hints: Mapping[str, Any] | None = None
    """What its source says about it (``annotations`` of MCP); believed only where it makes matters
    stricter."""

    @property
    def is_repeatable(self) -> bool:
        """Whether a call may be made again though it is not known if it has happened."""
        return self.effect == "read" or self.is_idempotent
