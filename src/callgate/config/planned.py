"""Settings of the design that are not enforced yet: naming one is refused, never ignored.

A limit that does not hold is worse than none. What becomes enforced moves from here to the schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PLANNED: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset({"alerts"}),
    "gate": frozenset({"idle_timeout"}),
    "tasks": frozenset({"needs", "idle_timeout"}),
    "models": frozenset({"bound"}),
}
"""By section ("" for the file itself): names that the design has and this version does not."""

REMEDY: Final = "remove it: a setting that does not hold is worse than none"
ALLOWED: Final = "nothing yet: this version does not enforce it"

PREFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "key": ("keyring:", "vault:", "aws:", "gcp:", "azure:"),
}
"""By setting: how values begin that the design has and this version does not."""


def value_to_come(key: str, value: object) -> str | None:
    """Return the part of a value which the design has and this version does not, if any."""
    if not isinstance(value, str):
        return None
    return next((prefix for prefix in PREFIXES.get(key, ()) if value.startswith(prefix)), None)
