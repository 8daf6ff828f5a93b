"""A task: one piece of work of an agent for a user; it groups calls and owns budget and deadline."""

from __future__ import annotations

import msgspec

from callgate.money import Money

DEFAULT_TYPE = "default"


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of work of an agent, perhaps for a user."""

    id: str
    type: str = DEFAULT_TYPE
    agent: str
    user: str | None = None
    parent: str | None = None
    """The task that started this one."""
    budget: Money | None = None
    """The most that its calls may cost together; None sets no limit of its own."""
    models: tuple[str, ...] | None = None
    """Names or globs that it is narrowed to when it begins, for good; None leaves what its agent may."""
    tools: tuple[str, ...] | None = None
    started_at: float
    """Seconds since 1970."""
    deadline_at: float | None = None
    """Seconds since 1970; no attempt is admitted after it."""
    ended_at: float | None = None
    """None while it runs; a later call opens it again."""
