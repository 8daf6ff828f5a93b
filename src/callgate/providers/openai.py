"""OpenAI, and every server that speaks its API."""

from __future__ import annotations

from callgate.call import Headers
from callgate.providers import Outgoing


class OpenAI:
    """Authenticates the way OpenAI's API wants it."""

    async def authenticate(self, outgoing: Outgoing, url: str, /) -> Headers:
        """Add the bearer token."""
        del url
        if outgoing.credential is None:
            return outgoing.headers
        return (*outgoing.headers, ("authorization", f"Bearer {outgoing.credential.reveal()}"))
