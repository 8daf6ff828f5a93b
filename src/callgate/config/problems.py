"""What is wrong with a settings file, told so that it can be put right at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from callgate.errors import Misconfigured


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
