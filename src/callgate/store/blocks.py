"""Blocks: who is not asked for now, and why; every gate of the store goes by them."""

from __future__ import annotations

from typing import Literal

import msgspec

BlockKind = Literal["breaker", "credential", "model", "credit", "operator"]
"""``breaker``: it failed too often; ``credential``: its key is rejected; ``model``: its key may not
use this model; ``credit``: its account is empty; ``operator``: a person said so."""


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


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """The wish to be the one who tries whether a block is still needed."""

    subject: str
    now: float
    until: float
    """Nobody else may try before then."""
