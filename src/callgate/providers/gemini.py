"""Gemini, where Google serves it with a key."""

from __future__ import annotations

from callgate.call import Headers
from callgate.providers import Outgoing


class Gemini:
    """Authenticates the way Gemini's API wants it."""

    async def authenticate(self, outgoing: Outgoing, url: str, /) -> Headers:
        """Add the key; never to the address, which others may write down."""
        del url
        if outgoing.credential is None:
            return outgoing.headers
        return (*outgoing.headers, ("x-goog-api-key", outgoing.credential.reveal()))
