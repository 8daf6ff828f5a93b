"""What a tool does to the world: the settings, and the word of its server."""

from __future__ import annotations

from typing import Any

import pytest

from callgate.config.mcp_policies import McpPolicy
from callgate.tools.mcp.effects import effect_of


def effect(hints: dict[str, Any], **policy: Any) -> tuple[str, bool]:
    return effect_of(McpPolicy(name="peer", **policy), hints)


def test_what_nobody_has_declared_counts_as_the_worst() -> None:
    assert effect({}) == ("destructive", False)


def test_nobody_believes_a_stranger_who_says_that_he_is_harmless() -> None:
    assert effect({"readOnlyHint": True, "idempotentHint": True}) == ("destructive", False)


def test_a_stranger_who_says_that_he_is_dangerous_is_believed() -> None:
    assert effect({"destructiveHint": True}, effect="read") == ("destructive", False)
    assert effect({"readOnlyHint": False}, effect="read") == ("destructive", False)
    assert effect({"destructiveHint": False}, effect="read") == ("write", False)
    assert effect({"idempotentHint": False}, is_idempotent=True) == ("destructive", False)


def test_what_the_settings_declare_holds_where_the_server_says_nothing() -> None:
    assert effect({"title": "Look"}, effect="read", is_idempotent=True) == ("read", True)


@pytest.mark.parametrize(
    ("hints", "found"),
    [
        ({"readOnlyHint": True}, ("read", False)),
        ({"destructiveHint": False}, ("write", False)),
        ({"destructiveHint": False, "idempotentHint": True}, ("write", True)),
        ({}, ("destructive", False)),
    ],
)
def test_a_server_that_is_trusted_is_believed(
    hints: dict[str, Any], found: tuple[str, bool]
) -> None:
    assert effect(hints, trust=True) == found
