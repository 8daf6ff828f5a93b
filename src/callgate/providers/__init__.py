"""Providers: who answers a model call."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from callgate.call import Headers, Meter, Reply
from callgate.redact import Secret
from callgate.wire import Format, Request
from callgate.wire.codec.way_back import WayBack


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it leaves."""

    format: Format
    request: Request
    model: str
    """The model's name at the provider."""
    body: bytes
    headers: Headers
    """The client's own headers, without its key, cookies and connection matters."""
    credential: Secret | None
    meter: Meter = msgspec.field(default_factory=Meter)
    """What the reply tells is noted here, also where the reply is no answer."""
    way_back: WayBack | None = None
    """How the reply comes back to a client of another format; None where it is of the same."""


class Provider(Protocol):
    """One company or server that runs models."""

    def open(self, outgoing: Outgoing, /) -> AbstractAsyncContextManager[Reply]:
        """Send a request; the reply is open once its first content is here.

        Raises:
            Failed: The provider said no, or did not answer; ``billed`` says what that may cost.
        """
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...
