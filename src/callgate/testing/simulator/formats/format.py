"""What every simulated format has: requests it reads, replies, events and errors it words."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from typing import ClassVar, Final

import msgspec

from callgate.testing.simulator.generation import Generation
from callgate.testing.simulator.request import Asked, Problem
from callgate.testing.simulator.script import Api, FormatName, Kind

CREATED_AT: Final = 1_767_225_600
"""2026-01-01T00:00:00Z: when every reply says that it was created."""

FRAGMENT: Final = 16
"""How many characters of a tool call's arguments one event carries."""

CLIENT_ERROR, SERVER_ERROR = 400, 500

EVENT_STREAM: Final = "text/event-stream; charset=utf-8"

_PIECE: Final = re.compile(r"\s*\S+|\s+\Z")

Headers = list[tuple[str, str]]


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
    kind: Kind | None = None
    """Which of the errors with this status; None for the usual one."""
    message: str | None = None
    """None for the provider's usual words."""
    param: str | None = None
    code: str | None = None
    model: str = ""
    key: str | None = None
    retry_after_seconds: float | None = None
    """What the body tells to wait, where a provider tells it there."""
    details: Sequence[object] = ()
    """What Gemini tells besides."""

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
            retry_after_seconds=problem.retry_after_seconds,
            details=problem.details,
        )


class Wording(msgspec.Struct, frozen=True):
    """How a provider words one error."""

    type: str
    code: str | None
    message: str
    """With ``{model}`` and ``{key}`` where it names them."""


Errors = Mapping[tuple[int, Kind | None], Wording]


def wording(errors: Errors, spec: ErrorSpec) -> Wording:
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


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a rate limit."""

    limit: int
    remaining: int
    full_in_seconds: float
    """From now until it is whole again."""


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """The rate limits of a key and model as they stand."""

    now: float
    """The instant, in seconds since 1970."""
    requests: Bucket | None = None
    tokens: Bucket | None = None


class Format(ABC):
    """How one format is spoken."""

    name: ClassVar[FormatName]
    api: ClassVar[Api]
    overloaded: ClassVar[int] = 503
    """The status with which it says that it is overloaded."""
    ends_with_done: ClassVar[int] = 0
    """How many ``[DONE]`` end a stream."""
    tells_waits_in_body: ClassVar[bool] = False
    """Whether an error's body tells how long to wait, and no header does."""
    keepalive: ClassVar[bytes] = b'event: ping\ndata: {"type":"ping"}\n\n'
    """An event that says nothing; not every format has one of its own."""
    has_lines: ClassVar[bool] = True
    """Whether a stream is lines of text, which a script may dress otherwise."""

    @abstractmethod
    def read(self, body: dict[str, object], asked: Asked, *, strict: bool) -> None:
        """Read a request into ``asked``.

        Raises:
            Problem: The provider would refuse it.
        """

    @abstractmethod
    def reply(self, asked: Asked, said: Generation) -> bytes:
        """Return the body of a plain reply."""

    @abstractmethod
    def events(self, asked: Asked, said: Generation) -> list[Event]:
        """Return the events of a stream; the last one is what says that it is complete."""

    @abstractmethod
    def reply_id(self, asked: Asked) -> str:
        """Return the id that the reply carries."""

    @abstractmethod
    def headers(self, asked: Asked) -> Headers:
        """Return the headers that this provider sends with every answer."""

    @abstractmethod
    def error(self, spec: ErrorSpec, asked: Asked) -> bytes:
        """Return the body of an error reply."""

    @abstractmethod
    def error_event(self, asked: Asked, body: bytes, n: int) -> bytes:
        """Return the event that ends a stream with the error in ``body``.

        Args:
            asked: The request.
            body: A body as :meth:`error` makes it, or the script's own JSON.
            n: How many events went before it.
        """

    @abstractmethod
    def rate_headers(self, rates: Rates) -> Headers:
        """Return the headers that tell how much is left."""

    @abstractmethod
    def model_list(self, models: list[str]) -> bytes:
        """Return the list of models."""

    @abstractmethod
    def model(self, name: str) -> bytes:
        """Return what is known of one model."""

    def error_headers(self, spec: ErrorSpec) -> Headers:
        """Return the headers that tell an error besides its body."""
        del spec
        return []

    def broken_off(self, asked: Asked, spec: ErrorSpec, body: bytes, n: int) -> bytes:
        """Return the event that ends a stream with an error; see :meth:`error_event`."""
        del spec
        return self.error_event(asked, body, n)

    def maimed(self, event: bytes) -> bytes:
        """Return an event whose JSON ends in its middle."""
        return event[: len(event) * 2 // 3].rstrip(b"\r\n") + b"\n\n"

    def failed_event(self, asked: Asked, body: bytes, n: int) -> bytes:
        """Return the event with which a generation says that it failed."""
        return self.error_event(asked, body, n)

    def stream_type(self, asked: Asked) -> str:
        """Return the content type of a stream."""
        del asked
        return EVENT_STREAM

    def wrong_key(self, asked: Asked) -> Problem:
        """Return the refusal of a key that is not accepted."""
        del asked
        return Problem(401)

    def keep(self, asked: Asked, said: Generation) -> None:
        """Remember what later requests may refer to, once generation has begun."""
        del asked, said

    def count(self, asked: Asked) -> bytes:
        """Return the answer to a request to count its tokens.

        Raises:
            Problem: The format has no such request.
        """
        raise Problem(404, f"{asked.model}: tokens cannot be counted.")

    def retrieve(self, asked: Asked, name: str) -> bytes:
        """Return a reply that was given before.

        Raises:
            Problem: There is none of this name, or the format keeps none.
        """
        raise Problem(404, f"{asked.api}: {name} was not kept.")

    def forget(self, asked: Asked, name: str) -> bytes:
        """Delete a reply that was given before, and return what says so.

        Raises:
            Problem: There is none of this name, or the format keeps none.
        """
        raise Problem(404, f"{asked.api}: {name} was not kept.")


def pieces(text: str) -> list[str]:
    """Cut text into words with the white space before them, as tokens often are."""
    return _PIECE.findall(text)


def fragments(arguments: str) -> Iterator[str]:
    """Cut a tool call's arguments into fragments."""
    for start in range(0, len(arguments), FRAGMENT):
        yield arguments[start : start + FRAGMENT]
