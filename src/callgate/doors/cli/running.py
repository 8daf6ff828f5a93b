"""What a run asks a gate for, what it gets, and how it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from callgate.money import Money
from callgate.observe.receipt import Receipt


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The task that a run is to have; None leaves it to the settings."""

    agent: str | None
    type: str | None
    user: str | None
    task_id: str | None
    budget: Money | None
    timeout_seconds: float | None
    models: Sequence[str] | None
    """Names or globs that it is narrowed to."""
    tools: Sequence[str] | None
    config: Path | None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """How a program reaches its task at a gate."""

    url: str
    """Where the gate listens, without a slash at the end."""
    key: str
    """Good for this task only."""
    hidden: frozenset[str]
    """Variables that hold real keys, which the program must not find."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended."""

    exit_status: int
    receipt: Receipt | None
    """None where the gate could not tell it any more."""


Work = Callable[[Entry], Awaitable[int]]
"""What is done with the entry; gives an exit status."""
