"""OpenAI, and every server that speaks its API."""

from __future__ import annotations

from callgate.call import Headers
from callgate.redact import Secret


class OpenAI:
    """Authenticates the way OpenAI's API wants it."""

    def authenticate(self, credential: Secret | None, headers: Headers, /) -> Headers:
        """Add the bearer token."""
        if credential is None:
            return headers
        return (*headers, ("authorization", f"Bearer {credential.reveal()}"))
