"""Settings files for tests: how one is written, read, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from callgate.config.loading import read_settings
from callgate.config.policies import Settings
from callgate.config.problems import InvalidSettings, Problem

PLACE = Path("/srv/callgate.toml")


def read(text: str) -> Settings:
    """Return what a file says, as if it stood at ``PLACE``."""
    return read_settings(text, PLACE)


def problems_of(text: str) -> list[Problem]:
    """Return every mistake of a file; none if it is valid."""
    try:
        read(text)
    except InvalidSettings as invalid:
        return list(invalid.problems)
    return []


def problem_of(text: str) -> Problem:
    """Return the one mistake of a file."""
    (problem,) = problems_of(text)
    return problem


def toml(page: Mapping[str, Any]) -> str:
    """Return a page of sections as TOML; JSON's scalars and lists are TOML's."""
    lines: list[str] = []
    for section, table in page.items():
        own = {key: value for key, value in table.items() if not isinstance(value, dict)}
        lines += _table(section, own)
        for name in table.keys() - own.keys():
            lines += _table(f"{section}.{json.dumps(name)}", table[name])
    return "\n".join(lines) + "\n"


def _table(header: str, table: Mapping[str, Any]) -> list[str]:
    settings = (f"{json.dumps(key)} = {json.dumps(value)}" for key, value in table.items())
    return [f"[{header}]", *settings]
