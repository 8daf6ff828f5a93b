"""docs/torture.md names tests that are there."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "torture.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def is_missing(path: str, name: str) -> bool:
    """Return whether no file of this path has a test of this name."""
    file = ROOT / path
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    return re.search(rf"^(?:async )?def {name}\(", text, re.MULTILINE) is None


def rows(section: str) -> list[str]:
    """Return the rows of the table below a heading, without its head."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return [line for line in text.splitlines() if line.startswith("| ")][1:]


def test_every_test_that_the_page_names_is_there() -> None:
    named = NAMED.findall(PAGE)
    assert named
    assert [f"{path}::{name}" for path, name in named if is_missing(path, name)] == []


@pytest.mark.parametrize("section", ["Streams that mislead a client", "Twenty cases"])
def test_every_case_names_a_test(section: str) -> None:
    assert [row for row in rows(section) if not NAMED.search(row)] == []


def test_all_twenty_cases_are_there_in_order() -> None:
    numbers = [row.split("|")[1].strip() for row in rows("Twenty cases")]
    assert numbers == [str(number) for number in range(1, 21)]


@pytest.mark.parametrize(
    ("path", "name"),
    [("tests/docs/test_gone.py", "test_x"), ("tests/docs/test_torture.py", "test_every_case")],
)
def test_a_test_that_is_gone_is_found(path: str, name: str) -> None:
    assert is_missing(path, name)
