"""Hides the credentials that a server was given from whatever it says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from callgate.redact import STARS, Secret, redact

SHORTEST: Final = 6
"""Credentials of fewer characters are not looked for: they would be found in common words."""


class Disguise:
    """Replaces certain credentials by stars.

    Args:
        secrets: What nobody may read.
    """

    def __init__(self, secrets: Iterable[Secret]) -> None:
        values = {secret.reveal() for secret in secrets}
        # The longest first: one may be part of another.
        self._values = sorted((v for v in values if len(v) >= SHORTEST), key=len, reverse=True)
        self._quoted = [msgspec.json.encode(value)[1:-1] for value in self._values]

    def text(self, said: str) -> str:
        """Return free text without them, and without what looks like a credential."""
        for value in self._values:
            said = said.replace(value, STARS)
        return redact(said)

    def json(self, said: bytes) -> bytes:
        """Return JSON, as msgspec writes it, without them."""
        for quoted in self._quoted:
            if quoted in said:
                said = said.replace(quoted, STARS.encode())
        return said
