"""``[platforms.NAME]`` as the rest of the house sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import msgspec

from callgate.money import Money

ProfileName = Literal["agentpatch", "agentpmt"]
"""The platforms whose ways are known."""

Pin = Literal["first", "accepted"]
"""What of the tools of others may be called: what was seen first, or only what somebody accepted."""

MAX_RESULT_BYTES: Final = 1_000_000


class PlatformPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A platform that offers tools for credits, and which of them are used."""

    name: str
    profile: ProfileName
    base_url: str | None = None
    """Without a slash at the end; None: where everybody finds the platform."""
    key: str
    """A secret reference."""
    tools: tuple[str, ...]
    """``slug``, or ``owner/slug`` where the owner is not the platform itself."""
    pin: Pin = "first"
    low_balance: Money | None = None
    """Somebody is told once less than this is left."""
    timeout_seconds: float | None = None
    """How long a call may take; None: as long as the platform lets the tool run."""
    first_poll_seconds: float = 1.0
    longest_poll_seconds: float = 15.0
    """How long to wait before the first look at a job, and at the most between two."""
    refresh_seconds: float = 3600.0
    """How old a definition may become before it is looked up again."""
    max_result_bytes: int = MAX_RESULT_BYTES
    ca_file: Path | None = None
    proxy: str | None = None
    connect_timeout_seconds: float = 5.0
    read_timeout_seconds: float = 60.0
    """The longest silence in a reply that has begun, and the wait for one that calls no tool."""
