"""What both simulated providers have in common: the shape of a dialect."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Final, Protocol

import msgspec

from callgate.testing.simulator.generation import Generation
from callgate.testing.simulator.request import Asked, Problem
from callgate.testing.simulator.script import Api

CREATED_AT: Final = 1_767_225_600
"""2026-01-01T00:00:00Z: when every reply says that it was created."""

FRAGMENT: Final = 16
"""How many characters of a tool call's arguments one event carries."""

CLIENT_ERROR, SERVER_ERROR = 400, 500

_PIECE: Final = re.compile(r"\s*\S+|\s+\Z")


class Carries(IntEnum):
    """What of the output an event of a stream brings."""

    NOTHING = 0
    THINKING = 1
    OUTPUT = 2


class Event(msgspec.Struct, frozen=True, gc=False):
    """One server-sent event, with its bytes as they go out."""

    data: bytes
    carries: Carries = Carries.NOTHING


class ErrorSpec(msgspec.Struct, frozen=True, kw_only=True):
    """An error to put into a provider's words."""

    status: int
    kind: str | None = None
    """Which of the errors with this status; None for the usual one."""
    message: str | None = None
    """None for the provider's usual words."""
    param: str | None = None
    code: str | None = None
    model: str = ""
    key: str | None = None

    @classmethod
    def of(cls, problem: Problem, asked: Asked) -> ErrorSpec:
        """Return the error that ``problem`` describes."""
        return cls(
            status=problem.status,
            kind=problem.kind,
            message=problem.message,
            param=problem.param,
            code=problem.code,
            model=asked.model,
            key=asked.key,
        )


class Wording(msgspec.Struct, frozen=True):
    """How a provider words one error."""

    type: str
    code: str | None
    message: str
    """With ``{model}`` and ``{key}`` where it names them."""


def wording(errors: Mapping[tuple[int, str | None], Wording], spec: ErrorSpec) -> Wording:
    """Return a provider's words for an error: for its kind, its status, or the nearest there is.

    Args:
        errors: All that the provider has, by status and kind; 400 and 500 are among them.
        spec: The error.
    """
    nearest = SERVER_ERROR if spec.status >= SERVER_ERROR else CLIENT_ERROR
    return (
        errors.get((spec.status, spec.kind))
        or errors.get((spec.status, None))
        or errors[nearest, None]
    )


class Dialect(Protocol):
    """How one provider speaks."""

    @property
    def api(self) -> Api:
        """Which provider it is."""
        ...

    def read(self, body: dict[str, object], asked: Asked, *, strict: bool) -> None:
        """Read a request into ``asked``.

        Raises:
            Problem: The provider would refuse it.
        """
        ...

    def reply(self, asked: Asked, said: Generation) -> bytes:
        """Return the body of a plain reply."""
        ...

    def events(self, asked: Asked, said: Generation) -> list[Event]:
        """Return the events of a stream; the last one is what says that it is complete."""
        ...

    def reply_id(self, asked: Asked) -> str:
        """Return the id that the reply carries."""
        ...

    def headers(self, asked: Asked) -> list[tuple[str, str]]:
        """Return the headers that this provider sends with every answer."""
        ...

    def error(self, spec: ErrorSpec, asked: Asked) -> bytes:
        """Return the body of an error reply."""
        ...

    def error_event(self, body: bytes) -> bytes:
        """Return the event that ends a stream with the error in ``body``."""
        ...

    def model_list(self, models: list[str]) -> bytes:
        """Return the list of models."""
        ...

    def model(self, name: str) -> bytes:
        """Return what is known of one model."""
        ...


def pieces(text: str) -> list[str]:
    """Cut text into words with the white space before them, as tokens often are."""
    return _PIECE.findall(text)


def fragments(arguments: str) -> Iterator[str]:
    """Cut a tool call's arguments into fragments."""
    for start in range(0, len(arguments), FRAGMENT):
        yield arguments[start : start + FRAGMENT]
