"""What a tool of a server does to the world: what the settings say, and what it says itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from callgate.call import Effect
from callgate.config.mcp_policies import McpPolicy

GRAVITY: Final[Mapping[Effect, int]] = {"read": 0, "write": 1, "destructive": 2}


def effect_of(policy: McpPolicy, hints: Mapping[str, Any]) -> tuple[Effect, bool]:
    """Return a tool's effect, and whether a call of it may be made twice.

    Args:
        policy: What the settings say about its server. Where they trust it, its word counts; else
            it counts only where it makes matters stricter.
        hints: Its ``annotations``.

    Source:
        Specification of MCP 2026-07-28, ``ToolAnnotations``: each hint with its default, and that
        no client may believe those of a server that is not trusted.
    """
    said = _said(hints)
    if policy.trust and policy.effect is None:
        return said, hints.get("idempotentHint") is True or policy.is_idempotent
    declared = policy.effect or "destructive"
    effect = max(declared, said, key=GRAVITY.__getitem__) if _says(hints) else declared
    return effect, policy.is_idempotent and hints.get("idempotentHint") is not False


def _says(hints: Mapping[str, Any]) -> bool:
    """Return whether the hints say anything about the effect; what is left out says nothing."""
    return any(isinstance(hints.get(hint), bool) for hint in ("readOnlyHint", "destructiveHint"))


def _said(hints: Mapping[str, Any]) -> Effect:
    if hints.get("readOnlyHint") is True:
        return "read"
    return "write" if hints.get("destructiveHint") is False else "destructive"
