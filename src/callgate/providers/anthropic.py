"""Anthropic, and every server that speaks its API."""

from __future__ import annotations

from callgate.call import Headers
from callgate.providers import Outgoing

VERSION = "2023-06-01"
"""Sent where a client names no ``anthropic-version``, which the API requires.

Source: the first version that has Messages, which the API still serves.
"""


class Anthropic:
    """Authenticates the way Anthropic's API wants it."""

    async def authenticate(self, outgoing: Outgoing, url: str, /) -> Headers:
        """Add the key, and a version if the client sent none."""
        del url
        headers, credential = outgoing.headers, outgoing.credential
        if not any(name == "anthropic-version" for name, _ in headers):
            headers = (*headers, ("anthropic-version", VERSION))
        if credential is None:
            return headers
        return (*headers, ("x-api-key", credential.reveal()))
