"""Marks that only the key for which they were minted may bring back."""

from __future__ import annotations

import base64
import binascii
import hashlib

NONCE, MAC = 16, 32


class Seals:
    """Mints and checks the signatures and encrypted items of one key.

    Args:
        seed: The simulator's seed; another seed knows none of the marks of this one.
        key: Who may bring them back.
    """

    def __init__(self, seed: bytes, key: str | None) -> None:
        self._secret = hashlib.blake2b(f"{key}".encode(), key=seed, digest_size=32).digest()

    def mint(self, nonce: bytes, kind: str, content: str = "", *, size: int = 0) -> str:
        """Return a mark in base64.

        Args:
            nonce: At least 16 bytes that make it differ from every other one.
            kind: What it is a mark of; one of another kind is refused.
            content: What it vouches for, which must come back unchanged.
            size: So many bytes more, which mean nothing.
        """
        head = nonce[:NONCE]
        padding = (head * (size // NONCE + 1))[:size]
        return base64.b64encode(head + self._mac(head, kind, content) + padding).decode()

    def knows(self, mark: object, kind: str, content: str = "") -> bool:
        """Say whether this key was given ``mark`` for this content."""
        if not isinstance(mark, str):
            return False
        try:
            raw = base64.b64decode(mark.replace("-", "+").replace("_", "/"), validate=True)
        except (binascii.Error, ValueError):
            return False
        head = raw[:NONCE]
        return raw[NONCE : NONCE + MAC] == self._mac(head, kind, content)

    def _mac(self, nonce: bytes, kind: str, content: str) -> bytes:
        text = f"{kind}\0{content}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(nonce + text, key=self._secret, digest_size=MAC).digest()
