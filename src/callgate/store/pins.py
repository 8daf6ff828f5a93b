"""Pins: what the tools of others were when somebody accepted them, and what they are now."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from callgate.call import Effect
from callgate.money import Money

Accepting = Literal["nothing", "the first list", "each tool at first"]
"""What of a list is accepted as it is seen: nothing; all of it, if nothing of its toolset was accepted
before; or each tool of which nothing was."""


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """What one tool says it is."""

    tool: str
    """What it is called where it comes from."""
    name: str
    """What agents call it."""
    text: str
    """All that a model reads of it, as JSON in its canonical form."""
    digest: str
    """SHA-256 of that without what its environment changes, as hexadecimal digits."""
    effect: Effect
    """What it counts as."""
    cost: Money | None


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """A list of tools as a gate has seen it."""

    toolset: str
    definitions: Sequence[Definition]
    accepting: Accepting = "nothing"
    locked: Sequence[Definition] | None = None
    """What a lock file says is accepted, instead of all that was; None where there is no such file."""
    seen_at: float
    """Seconds since 1970."""


class Pinned(msgspec.Struct, frozen=True, kw_only=True):
    """One tool of a toolset: as it was accepted, and as it was seen last."""

    toolset: str
    tool: str
    accepted: Definition | None
    """None where it never was."""
    seen: Definition | None
    """None where its toolset does not list it any more."""
    accepted_at: float | None
    seen_at: float | None
    """Since when it is as it was seen last."""

    @property
    def name(self) -> str:
        """What agents call it."""
        one = self.seen or self.accepted
        return f"{self.toolset}.{self.tool}" if one is None else one.name

    @property
    def state(self) -> Literal["accepted", "changed", "new", "gone"]:
        """How the two differ."""
        if self.accepted is None:
            return "new"
        if self.seen is None:
            return "gone"
        return "accepted" if self.accepted.digest == self.seen.digest else "changed"


class Pins(Protocol):
    """What a store knows of the tools of others."""

    def see_tools(self, sight: Sight, /) -> Future[None]:
        """Note what a toolset lists now, and accept of it what is to be accepted at first."""
        ...

    def accept_tools(
        self, toolset: str, digests: Mapping[str, str | None], accepted_at: float, /
    ) -> Future[Sequence[str]]:
        """Accept tools as they were seen last; return those that were accepted.

        Args:
            toolset: Whose.
            digests: By tool, what it was when somebody looked at it, and None for one that is gone: one
                that is something else by now is left as it is.
            accepted_at: Seconds since 1970.
        """
        ...

    def pins(self, toolset: str | None = None, /) -> Sequence[Pinned]:
        """Return every tool of a toolset that was accepted or seen, by name; None for those of all."""
        ...
