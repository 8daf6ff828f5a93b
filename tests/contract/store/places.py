"""Where an empty database of each kind is made, and taken away after."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlencode
from uuid import uuid4

import psycopg
import pytest

URL: Final = "CALLGATE_POSTGRESQL"
"""The environment variable with the URL of a database for tests."""

REQUIRE: Final = "CALLGATE_REQUIRE"
"""The environment variable that names what must not be skipped."""


@contextmanager
def new_place(kind: str, folder: Path) -> Generator[str]:
    """Make the place of an empty database."""
    if kind == "sqlite":
        yield str(folder)
        return
    with new_schema() as url:
        yield url


@contextmanager
def new_schema() -> Generator[str]:
    """Make a schema in the database for tests; its URL leads into it."""
    url = server()
    name = f"test_{uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE SCHEMA "{name}"'.encode())
        try:
            yield also(url, options=f"-csearch_path={name}")
        finally:
            connection.execute(f'DROP SCHEMA "{name}" CASCADE'.encode())


def also(url: str, **options: str) -> str:
    """Return a URL with more of what libpq may be told in it; the last word counts."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(options)}"


def server() -> str:
    """Return where tests find PostgreSQL; skip where there is none, unless it is required."""
    url = os.environ.get(URL)
    if url is not None:
        return url
    told = f"no PostgreSQL: {URL} names none"
    if "postgresql" in os.environ.get(REQUIRE, "").split(","):
        pytest.fail(f"{told}, and {REQUIRE} requires it")
    pytest.skip(told)
