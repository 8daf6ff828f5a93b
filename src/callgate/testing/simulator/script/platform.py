"""The tables of a script that make it a platform of tools which are paid for in credits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, Literal, Self, TypeAlias

import pydantic
from pydantic import Field

from callgate.testing.simulator.script.values import Count, Json, Seconds, Table, Wait

MOST_CREDITS: Final = 1_000_000_000_000

Credits: TypeAlias = Annotated[int, Field(ge=0, le=MOST_CREDITS)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1, strict=False)]
PlatformHow: TypeAlias = Literal[
    "status", "failed", "timeout", "malformed", "stall", "close", "reset"
]
KEEPS_ALL: Final = frozenset({"malformed", "stall", "close", "reset"})
"""Faults of the answer only: the tool has run, and is paid for."""


class PlatformFaultTable(Table):
    """What goes wrong with one call of a tool, or one look at its job."""

    how: PlatformHow = "status"
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    message: str | None = None
    body: Json | str | None = None
    """Replaces the platform's error body: a table as JSON, a text as it is."""
    headers: dict[str, str] = Field(default_factory=dict[str, str])
    retry_after_seconds: Wait | None = None
    keeps_credits: Credits | None = None
    """What is not refunded. None: nothing of an error, a failure and a timeout, else everything."""

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Self:
        for flaw in self._flaws():
            raise ValueError(flaw)
        return self

    def _flaws(self) -> Iterator[str]:
        if (self.how == "status") != (self.status is not None):
            yield 'status and how = "status" need each other'
        if self.how != "status" and (self.body is not None or self.headers):
            yield f"body, headers: only a status has them, and this is {self.how}"

    def kept(self, credits_used: int) -> int:
        """Return what a call costs that this happens to.

        Args:
            credits_used: What it would have cost.
        """
        if self.keeps_credits is not None:
            return self.keeps_credits
        return credits_used if self.how in KEEPS_ALL else 0


class PlatformStepTable(Table):
    """What a tool does once it is called."""

    output: Json | None = None
    """None makes one up that fits the tool's output schema."""
    credits_used: Credits | None = None
    """What is settled at the end; None: the price."""
    seconds: Seconds = 0.0
    """How long it runs."""
    fault: PlatformFaultTable | None = None
    poll_faults: Annotated[tuple[PlatformFaultTable, ...], Field(strict=False)] = ()
    """What the first looks at its job meet, one after the other."""
    times: Count = 1
    """How many calls it serves before the next step."""


class PlatformToolTable(Table):
    """One tool of the platform."""

    slug: str
    owner: str = "agentpatch"
    name: str | None = None
    description: str = ""
    price_credits: Credits
    input_schema: Json = Field(default={"type": "object"})
    output_schema: Json | None = None
    mode: Literal["sync", "async"] = "sync"
    """Whether a call waits for the output, or gets a job to ask for."""
    default_timeout_seconds: Annotated[int, Field(ge=1)] = 60
    max_timeout_seconds: Annotated[int, Field(ge=1)] = 600
    success_rate: Share = 1.0
    steps: Annotated[tuple[PlatformStepTable, ...], Field(strict=False)] = ()
    """What its calls do, one after the other; the last goes on."""


class PlatformTable(Table):
    """A platform: who has how many credits, and what can be bought for them."""

    accounts: dict[str, Credits] = Field(default_factory=dict[str, int])
    """Credits by key."""
    tools: Annotated[tuple[PlatformToolTable, ...], Field(strict=False)] = ()
