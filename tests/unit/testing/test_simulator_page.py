"""docs/simulator.md tells the whole script format, and its examples are scripts."""

from __future__ import annotations

import re

import pytest

from callgate.testing.simulator import parse_script
from callgate.testing.simulator import script as tables
from callgate.testing.simulator.prices import BUILT_IN
from tests.docs.pages import ROOT, Example, examples

PAGE = ROOT / "docs" / "simulator.md"
TEXT = PAGE.read_text(encoding="utf-8")
SCRIPTS = [example for example in examples(PAGE) if example.language == "toml"]
TABLES = [
    table
    for table in vars(tables).values()
    if isinstance(table, type) and issubclass(table, tables.Table) and table is not tables.Table
]
KEYS = sorted({key for table in TABLES for key in table.model_fields})


@pytest.mark.parametrize("example", SCRIPTS, ids=lambda example: str(example.line))
def test_an_example_is_a_script(example: Example) -> None:
    assert parse_script(example.text, name=example.place).model_fields_set


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_told(key: str) -> None:
    assert re.search(rf"[`\s{{\[.]{key}\b", TEXT), f"docs/simulator.md does not tell {key}"


@pytest.mark.parametrize("how", tables.WITHOUT_STATUS)
def test_every_fault_has_a_row(how: str) -> None:
    assert f"\n| `{how}` |" in TEXT


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_built_in_price_is_named(name: str) -> None:
    assert f"`{name}`" in TEXT
