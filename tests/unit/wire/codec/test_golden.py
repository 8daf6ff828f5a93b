"""A translation is the same bytes as ever; a change of one is a change of a file here."""

from __future__ import annotations

import pytest

from tests.unit.wire.codec.golden import FOLDER, pages

PAGES = dict(pages())


@pytest.mark.parametrize("name", PAGES)
def test_a_translation_is_the_bytes_that_are_written_down(name: str) -> None:
    assert PAGES[name] == (FOLDER / name).read_bytes()


def test_no_file_is_left_over() -> None:
    assert {path.name for path in FOLDER.iterdir()} == PAGES.keys()
