"""Azure OpenAI, which speaks OpenAI's formats."""

from __future__ import annotations

import re
from typing import Final

from callgate.call import Headers
from callgate.providers import Outgoing

TOKEN: Final = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
"""The form of a token of Entra ID, which no API key has. Source: RFC 7519 §3."""


class Azure:
    """Authenticates the way Azure wants it: an API key has a header of its own.

    Source: Azure OpenAI's REST reference, "Authentication".
    """

    async def authenticate(self, outgoing: Outgoing, url: str, /) -> Headers:
        """Add the API key, or the token of Entra ID."""
        del url
        if outgoing.credential is None:
            return outgoing.headers
        told = outgoing.credential.reveal()
        if TOKEN.fullmatch(told):
            return (*outgoing.headers, ("authorization", f"Bearer {told}"))
        return (*outgoing.headers, ("api-key", told))
