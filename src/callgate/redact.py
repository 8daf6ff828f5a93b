"""Redaction: what may be kept or shown of a secret, a prompt or an error."""

from __future__ import annotations

import re
from typing import Final

KEY_SHAPES: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:sk|rk|pk|cg_agent|cg_task|xai|gsk|AIza|ghp|xox[abp])[-_][A-Za-z0-9_\-]{8,}|Bearer\s+[^\s\"']+"
)
"""What a credential looks like in free text: the prefixes that providers give their keys."""


class Secret:
    """A credential in memory: it prints as stars, and only ``reveal`` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the credential itself; call it where it leaves the process, nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def redact(text: str) -> str:
    """Return ``text`` with everything that looks like a credential replaced by stars."""
    return KEY_SHAPES.sub("***", text)
