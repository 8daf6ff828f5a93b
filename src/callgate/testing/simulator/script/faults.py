"""The table of a script that says what goes wrong."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Annotated, Final, Literal, Self, TypeAlias

import pydantic
from pydantic import Field

from callgate.testing.simulator.script.values import Encoding, Json, Seconds, Table, Wait

How: TypeAlias = Literal[
    "status", "end", "close", "reset", "refuse", "stall", "malformed", "error_event",
    "failed_event", "mid_utf8", "mid_json",
]  # fmt: skip
Kind: TypeAlias = Literal[
    "rate", "tokens", "day", "ramp", "slow_down", "money", "credential", "context", "policy",
    "signature",
]  # fmt: skip
RetryAfterForm: TypeAlias = Literal["seconds", "float", "date", "ms", "reset", "body"]
Place: TypeAlias = Literal["before_headers", "after_headers"]
WITHOUT_STATUS: Final = [how for how in typing.get_args(How) if how != "status"]
BEFORE_HEADERS: Final = frozenset({"close", "reset", "refuse", "stall"})
CARRIES_AN_ERROR: Final = frozenset({"status", "error_event", "failed_event"})


class FaultTable(Table):
    """What goes wrong, and where."""

    how: How = "status"
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    kind: Kind | None = None
    """Which error, where a status has several: 429 ``rate`` (default) or ``money``."""
    message: str | None = None
    body: Json | str | None = None
    """Replaces the provider's error body: a table as JSON, a text as it is."""
    headers: dict[str, str] = Field(default_factory=dict[str, str])
    encoding: Encoding | None = None
    """Compresses the error's body."""
    retry_after_seconds: Wait | None = None
    retry_after_form: RetryAfterForm | None = None
    """None: as this provider says it; seconds in a header, with Gemini in the body."""
    for_seconds: Seconds | None = None
    """How long nobody listens after ``refuse``, in real seconds."""
    at: Place | None = None
    after_events: Annotated[int, Field(ge=0)] | None = None
    """How many events of a stream arrive whole before it happens."""
    billed: bool | None = None
    """Overrules whether a fault before generation costs: True bills the whole answer."""

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Self:
        for flaw in self._flaws():
            raise ValueError(flaw)
        return self

    def _flaws(self) -> Iterator[str]:
        if self.how == "status" and self.status is None:
            yield f"a fault needs a status, or how = one of {', '.join(WITHOUT_STATUS)}"
        if self.how not in CARRIES_AN_ERROR and self._error_fields():
            yield (
                f"{', '.join(self._error_fields())}: only status, error_event and failed_event "
                "carry an error"
            )
        if self.at is not None and self.after_events is not None:
            yield "at and after_events exclude each other"
        if self.how == "status" and (self.at is not None or self.after_events is not None):
            yield "a status has no place in a stream; an error_event has"
        yield from self._flaws_of_place()

    def _flaws_of_place(self) -> Iterator[str]:
        if self.at == "before_headers" and self.how not in BEFORE_HEADERS:
            yield f"{self.how} cannot happen before_headers; close, reset, refuse and stall can"
        if (self.how == "refuse") != (self.for_seconds is not None):
            yield "refuse and for_seconds need each other: for how long nobody listens"
        if self.how == "refuse" and (self.at == "after_headers" or self.after_events is not None):
            yield "refuse happens before_headers"

    def _error_fields(self) -> list[str]:
        fields = ("status", "kind", "message", "body", "encoding", "retry_after_seconds")
        return [name for name in fields if getattr(self, name) is not None]

    @property
    def is_before_headers(self) -> bool:
        """Whether it happens instead of an answer."""
        if self.how not in BEFORE_HEADERS:
            return self.how == "status"
        return self.at == "before_headers" or (self.at is None and self.after_events is None)
