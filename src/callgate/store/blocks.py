"""Blocks: who is not asked for now, and why; every gate of the store goes by them."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol

import msgspec

BlockKind = Literal["breaker", "credential", "model", "missing", "credit", "operator"]
"""``breaker``: it failed too often; ``credential``: its key is rejected; ``model``: its key may not
use this model; ``missing``: it does not have this model; ``credit``: its account is empty;
``operator``: a person said so."""

REMEDIES: Final[Mapping[BlockKind, str]] = {
    "credential": "put a good key in its place",
    "model": "let its account use the model, or take the model out of the settings",
    "missing": "correct the model's name in the settings, or take it out",
    "credit": "top up its account",
    "operator": "ask who closed it",
}
"""What somebody has to do besides lifting it; who only fails too often is tried again by itself."""


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is not asked for now."""

    subject: str
    """``openai``, ``openai:gpt-5.5``, or either with ``#`` and the mark of one credential."""
    kind: BlockKind
    reason: str
    """What happened, in a sentence without secrets."""
    times: int = 1
    """How often in a row; each time it lasts longer."""
    since: float
    """Seconds since 1970."""
    until: float | None = None
    """From then on one call may try it; None: until somebody lifts it."""

    @property
    def closing(self) -> str:
        """The command that lifts it."""
        return f"callgate breakers close {self.subject}"

    @property
    def fix(self) -> str:
        """What to do about it."""
        remedy = REMEDIES.get(self.kind)
        return self.closing if remedy is None else f"{remedy}, then {self.closing}"

    @property
    def fingerprint(self) -> str:
        """What an alert of it is about."""
        return f"{self.kind} {self.subject}"


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """The wish to be the one who tries whether a block is still needed."""

    subject: str
    now: float
    until: float
    """Nobody else may try before then."""


class Blocks(Protocol):
    """A store, as those see it who must know who is not asked."""

    def block(self, block: Block, /) -> Future[None]:
        """Let nobody ask somebody for a while, in any gate; a longer block that holds stays.

        In the same transaction an alert is raised, unless a person wanted it so.
        """
        ...

    def unblock(self, subject: str, /) -> Future[bool]:
        """Lift a block and resolve its alert; return False if there is none."""
        ...

    def claim_probe(self, probe: Probe, /) -> Future[bool]:
        """Be the one who tries whether a block is still needed; of several gates only one is."""
        ...

    def release_probe(self, subject: str, /) -> Future[None]:
        """Let somebody else try, as who was to has found out nothing."""
        ...

    def blocks(self) -> Sequence[Block]:
        """Return who is not asked for now, by name."""
        ...
