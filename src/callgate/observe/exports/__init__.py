"""What a provider says was used and what it charges: its usage and cost exports, read into lines."""

from __future__ import annotations

from typing import Literal

import msgspec

from callgate.call import Usage
from callgate.config.policies import Api
from callgate.errors import Misconfigured

Bucket = Literal[
    "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_long_tokens",
    "output_tokens",
]  # fmt: skip
"""A field of :class:`callgate.call.Usage`. No export tells reasoning apart from other output."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an export: what one day and model used, or was charged, or both."""

    place: str
    """Where it stands, for messages: ``usage.csv line 3``."""
    day: str
    """The day in UTC, such as ``2026-11-25``."""
    model: str | None = None
    """None where the export is not told apart by model, and for a fee."""
    requests: int | None = None
    usage: Usage | None = None
    """The tokens; None where the line has costs only."""
    cost_femto: int | None = None
    """Femto-dollars; None where the line has tokens only."""
    list_femto: int | None = None
    """The same before discounts, where the export tells it besides."""
    bucket: Bucket | None = None
    """What the cost is for; None where it is for all buckets."""
    quantity_tokens: int | None = None
    """How many tokens of that bucket the cost is for."""
    rounded: bool = False
    """Whether the cost is told to the cent only."""
    fee: str | None = None
    """What is charged, where it is not tokens of a model."""
    service_tier: str | None = None
    batch: bool = False
    owner: str | None = None
    """Whose it is: the key, and the project or workspace, as far as the export tells."""


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """What one or more files say together."""

    api: Api
    formats: tuple[str, ...]
    """The formats that were recognised."""
    lines: tuple[Line, ...]
    days: tuple[str, ...]
    """Every day that the files are about, rising; on some of them nothing may have been used."""
    is_whole: bool = True
    """False where the last page says that there are more."""
    warnings: tuple[str, ...] = ()


def unreadable(place: str, what: str) -> Misconfigured:
    """Return the refusal of a file that cannot be an export, or cannot be trusted as one."""
    return Misconfigured(f"{place}: {what}")
