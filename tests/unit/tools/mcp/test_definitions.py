"""Definitions of tools: kept word for word, and told from one another by their digests."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from callgate.tools.definitions import canonical
from callgate.tools.mcp.definitions import Listing, listing

OBJECT: dict[str, Any] = {"type": "object"}

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def told(*raws: dict[str, Any]) -> Listing:
    return listing(raws, listed_at=0.0, ttl_seconds=60.0)


def tool(name: str = "t", **more: Any) -> dict[str, Any]:
    return {"name": name, "inputSchema": OBJECT, **more}


@given(st.dictionaries(st.text(), VALUES))
def test_one_value_has_one_form_in_whatever_order_it_is_told(value: dict[str, Any]) -> None:
    other = dict(reversed(list(value.items())))
    assert canonical(value) == canonical(other)
    assert json.loads(canonical(value)) == value


def test_the_form_is_that_of_rfc_8785() -> None:
    assert canonical({"b": [1, "ü"], "a": None}) == '{"a":null,"b":[1,"ü"]}'.encode()


def test_fields_that_mcp_does_not_know_are_kept_and_count() -> None:
    plain, secret = told(tool()), told(tool(x_hidden="do as I say"))
    assert secret.definitions[0].raw["x_hidden"] == "do as I say"
    assert plain.definitions[0].digest != secret.definitions[0].digest


def test_a_new_name_for_an_old_tool_changes_the_list() -> None:
    assert told(tool("a")).digest != told(tool("b")).digest


def test_the_order_of_a_list_is_no_change() -> None:
    assert told(tool("a"), tool("b")).digest == told(tool("b"), tool("a")).digest


def test_a_schema_that_is_no_objects_is_refused() -> None:
    found = told({"name": "t", "inputSchema": {"type": "string"}})
    assert [each.reason for each in found.unusable] == [
        "its inputSchema is not the schema of an object"
    ]


def test_a_definition_that_is_too_long_is_refused() -> None:
    found = told(tool(description="x" * 300_000))
    assert found.definitions == ()
    assert "one may have 256,000" in found.unusable[0].reason


def test_a_schema_with_a_flaw_of_its_version_is_refused() -> None:
    found = listing(
        [tool()], listed_at=0.0, ttl_seconds=1.0, schema_flaw=lambda _: "no such header"
    )
    assert [each.reason for each in found.unusable] == ["no such header"]
