"""The keys that open a door: how they look, and what is kept of them."""

from __future__ import annotations

import secrets
from hashlib import sha256
from typing import Literal

KeyKind = Literal["agent", "task"]

RANDOM_BYTES = 32
"""256 random bits: nobody guesses one, so a plain SHA-256 of it may be stored."""

PREFIX = "cg_"
"""What every key of a gate starts with, so that secret scanners and people know one."""


def new_key(kind: KeyKind) -> str:
    """Return a new key, such as ``cg_task_…``; it is shown once and never stored."""
    return f"{PREFIX}{kind}_{secrets.token_urlsafe(RANDOM_BYTES)}"


def digest(key: str) -> bytes:
    """Return the SHA-256 of a key, which is what is stored and compared."""
    return sha256(key.encode()).digest()
