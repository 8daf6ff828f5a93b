"""What is wrong with a settings file, told so that it can be put right at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from callgate.errors import Misconfigured

BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
LONGEST_FOUND: Final = 80
"""Characters of a value that a message shows."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One mistake."""

    line: int | None
    """The line in the file, from 1; None where the file as a whole is meant."""
    key: str
    """The setting, such as ``tasks.research.budget``."""
    found: str
    """What stands there."""
    allowed: str
    """What may stand there."""
    nearest: str | None = None
    """The valid name that is most like what was found."""
    remedy: str | None = None
    """What to do, where it does not follow from what is allowed."""


class InvalidSettings(Misconfigured):
    """The settings file has mistakes; all of them are listed.

    Attributes:
        problems: Every mistake, in the order of the file.
    """

    def __init__(self, path: Path, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = "a mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        blocks = [_block(path, problem) for problem in problems]
        super().__init__("\n".join([f"{path} has {count}:", *blocks]))


def dotted(path: Sequence[str | int]) -> str:
    """Return where a setting stands, such as ``models.smart.use[0]``."""
    parts = [f"[{part}]" if isinstance(part, int) else _quoted(part) for part in path]
    return ".".join(parts).replace(".[", "[")


def shown(value: object) -> str:
    """Return a value as a message shows it."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= LONGEST_FOUND else f"{text[:LONGEST_FOUND]}…"


def _quoted(part: str) -> str:
    return part if BARE_KEY.fullmatch(part) else f'"{part}"'


def _block(path: Path, problem: Problem) -> str:
    place = path.name if problem.line is None else f"{path.name}:{problem.line}"
    lines = [
        f"  {place}  {problem.key}",
        f"    found    {problem.found}",
        f"    allowed  {problem.allowed}",
    ]
    if problem.nearest is not None:
        lines.append(f"    perhaps  {problem.nearest}")
    if problem.remedy is not None:
        lines.append(f"    do       {problem.remedy}")
    return "\n".join(lines)
