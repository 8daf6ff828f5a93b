"""The repository as text and as syntax trees, for the tests of this folder."""

from __future__ import annotations

import ast
import gc
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "src" / "callgate"
CODE = ("src", "tests", "bench", "examples", "docs")

LEFT_OUT = frozenset(
    {".git", ".venv", ".venvs", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
    | {".import_linter_cache", ".hypothesis", "dist", "build", "htmlcov"}
)
"""Folders that are not part of the repository; `.gitignore` names them too."""


def python_files(*roots: str) -> list[Path]:
    """Return the Python files below ``roots``, all of the repository's code if none is named."""
    found = (path for root in roots or CODE for path in (ROOT / root).rglob("*.py"))
    return sorted(path for path in found if not LEFT_OUT & set(path.parts))


def text_files() -> Iterator[tuple[str, str]]:
    """Yield every text file of the repository: its path from the root, and what it says."""
    for folder, below, names in os.walk(ROOT):
        below[:] = sorted(set(below) - LEFT_OUT)
        for path in (Path(folder, name) for name in sorted(names)):
            try:
                yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def tree(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return parsed(path.read_text(encoding="utf-8"), name=str(path))


def parsed(source: str, *, name: str = "<source>") -> ast.Module:
    """Return the syntax tree of a text, undisturbed.

    In Python 3.11 one parse within another breaks the outer one, and to print a traceback is to
    parse: what a collection finds lost, and logs, must wait.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(source, filename=name)
    finally:
        if was_enabled:
            gc.enable()


def imported(module: ast.Module) -> Iterator[str]:
    """Yield the full name of everything that a module imports, wherever it does so."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or ''}.{alias.name}" for alias in node.names)
