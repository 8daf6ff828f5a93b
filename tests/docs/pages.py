"""The pages of the documentation, and the examples in them."""

from __future__ import annotations

from pathlib import Path

import msgspec
from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent.parent
LANGUAGES = frozenset({"console", "python", "toml"})
"""A block in one of these is an example: it is run, or it is marked as a sample."""


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One fenced block."""

    page: str
    line: int
    """Where it starts, counted from 1."""
    language: str
    marks: tuple[str, ...]
    """What stands behind the language: ``run``, ``sample``, ``exit=N``, ``file=NAME``."""
    text: str

    @property
    def place(self) -> str:
        """``page:line``, as editors open it."""
        return f"{self.page}:{self.line}"

    @property
    def exit_status(self) -> int:
        """The status that its last command must end with."""
        return next((int(mark[5:]) for mark in self.marks if mark.startswith("exit=")), 0)

    @property
    def file(self) -> str | None:
        """The file that a block in ``toml`` is; None for the settings."""
        return next((mark[5:] for mark in self.marks if mark.startswith("file=")), None)


def pages() -> list[Path]:
    """Return every page: the Markdown at the root and below docs/."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def examples(page: Path) -> list[Example]:
    """Return the examples of a page, in their order."""
    return examples_in(page.read_text(encoding="utf-8"), page=page.relative_to(ROOT).as_posix())


def examples_in(text: str, *, page: str) -> list[Example]:
    """Return the examples in Markdown."""
    found: list[Example] = []
    for token in MarkdownIt("commonmark").parse(text):
        language, *marks = token.info.split() if token.type == "fence" and token.info else [""]
        if language in LANGUAGES and token.map is not None:
            found.append(
                Example(
                    page=page,
                    line=token.map[0] + 1,
                    language=language,
                    marks=tuple(marks),
                    text=token.content,
                )
            )
    return found
