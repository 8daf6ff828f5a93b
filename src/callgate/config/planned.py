"""Settings of the design that are not enforced yet: naming one is refused, never ignored.

A limit that does not hold is worse than none. What becomes enforced moves from here to the schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LIMITS: Final = frozenset({
    "per_minute", "per_hour", "per_day", "concurrency", "budget_per_hour", "budget_per_day",
    "budget_per_month", "on_limit",
})  # fmt: skip

PLANNED: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset({"caps", "limits", "users", "tools", "mcp", "alerts"}),
    "agents": LIMITS | {"tools"},
    "tasks": LIMITS
    | {"max_calls", "max_repeats", "max_depth", "max_wait", "max_retry_wait", "needs"},
    "providers": LIMITS | {"credit", "keys"},
    "models": frozenset({"escalate"}),
}
"""By section ("" for the file itself): names that the design has and this version does not."""

REMEDY: Final = "remove it: a limit that does not hold is worse than none"
ALLOWED: Final = "nothing yet: this version does not enforce it"
