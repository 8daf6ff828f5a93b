"""A settings file as it was read, before anybody has checked what is in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

Page = Mapping[str, object]
"""A table of the file: of anything."""


def named_tables(page: Page, section: str) -> Iterator[tuple[str, Page]]:
    """Yield the name and the table of each ``[section.NAME]``, as far as they are tables."""
    for name, value in as_table(page.get(section)).items():
        table = as_table(value)
        if table or value == {}:
            yield name, table


def as_table(value: object) -> Page:
    """Return a value if it is a table, else an empty one."""
    return cast("Page", value) if isinstance(value, dict) else {}


def strings(table: Page, key: str) -> Iterator[tuple[int, str]]:
    """Yield the place and the text of each string in a list."""
    value = table.get(key)
    for index, text in enumerate(cast("list[object]", value) if isinstance(value, list) else ()):
        if isinstance(text, str):
            yield index, text
