"""What the simulator received, byte for byte."""

from __future__ import annotations

import base64
import re
from collections import deque
from typing import Final

import msgspec

from callgate.testing.simulator.connection import Incoming

SECRET_HEADERS: Final = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"}
)


KEY_IN_QUERY: Final = re.compile(r"((?:^|&)key=)[^&]*")
"""Gemini takes a key in the query."""


class ReceivedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it arrived."""

    n: int
    """The number of its line on the bill."""
    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    """Names in lower case, in their order; keys and cookies are starred."""
    body: bytes
    raw_headers: tuple[tuple[str, str], ...]
    """The headers with their keys; Python only, never in ``/sim/requests``."""

    def __repr__(self) -> str:
        """Return a form that holds no key, for a failing test's output."""
        return f"ReceivedRequest(n={self.n}, {self.method} {self.path}, body={self.body!r})"

    @classmethod
    def of(cls, n: int, incoming: Incoming) -> ReceivedRequest:
        """Return what there is to know of ``incoming``."""
        return cls(
            n=n,
            method=incoming.method,
            path=incoming.path,
            query=KEY_IN_QUERY.sub(r"\1***", incoming.query),
            headers=tuple((name, _starred(name, value)) for name, value in incoming.headers),
            body=incoming.body,
            raw_headers=tuple(incoming.headers),
        )

    def header(self, name: str) -> str | None:
        """Return the first header of this name as it came, or None."""
        return next((value for key, value in self.raw_headers if key == name.lower()), None)

    def json(self) -> dict[str, object]:
        """Return the body as a JSON object.

        Raises:
            msgspec.DecodeError: It is not one.
        """
        return msgspec.json.decode(self.body, type=dict[str, object])

    def shown(self) -> dict[str, object]:
        """Return what ``/sim/requests`` shows: the body in base64, no keys."""
        return {
            "n": self.n,
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": self.headers,
            "body_base64": base64.b64encode(self.body).decode(),
        }


class Journal:
    """The latest requests.

    Args:
        keep: How many.
    """

    def __init__(self, keep: int) -> None:
        self._kept: deque[tuple[int, Incoming]] = deque(maxlen=keep)

    def note(self, n: int, incoming: Incoming) -> None:
        """Keep a request."""
        self._kept.append((n, incoming))

    def read(self) -> tuple[ReceivedRequest, ...]:
        """Return what is kept, the oldest first."""
        return tuple(ReceivedRequest.of(n, incoming) for n, incoming in self._kept)


def _starred(name: str, value: str) -> str:
    return "***" if name in SECRET_HEADERS else value
