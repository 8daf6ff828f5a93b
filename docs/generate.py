"""Writes the pages of docs/ that the code itself can tell; `--check` only says which are stale."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from callgate import errors

DOCS = Path(__file__).parent
NOTE = "<!-- Written by `make docs` from {source}; change it there. -->"


def errors_page() -> str:
    """Return the reference of every error, sorted as the tree is."""
    lines = [
        "# Errors",
        "",
        NOTE.format(source="src/callgate/errors.py"),
        "",
        "A **Refused** call has not left the gate and has cost nothing. A **Failed** call was sent to a",
        "provider; whether it may have been billed is known and decides what is booked. The code is what",
        "a program looks at: it stands in the `callgate` object of an HTTP error, in the audit log and in",
        "the receipt, and never changes its meaning. A refusal may give a narrower one than its class.",
        "",
        "| error | code | HTTP | what happened |",
        "|---|---|---|---|",
    ]
    lines += [error_row(error, depth) for error, depth in error_tree(errors.CallgateError, 0)]
    return "\n".join(lines) + "\n"


def error_tree(
    error: type[errors.CallgateError], depth: int
) -> Iterator[tuple[type[errors.CallgateError], int]]:
    """Yield an error and those below it, each with its depth, in the order of the module."""
    yield error, depth
    for below in error.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from error_tree(below, depth + 1)


def error_row(error: type[errors.CallgateError], depth: int) -> str:
    """Return one row of the table."""
    summary = " ".join((inspect.getdoc(error) or "").partition("\n\n")[0].split())
    name = f"{'&emsp;' * depth}`{error.__name__}`"
    return f"| {name} | `{error.code}` | {error.status} | {summary.replace('``', '`')} |"


PAGES: Mapping[str, Callable[[], str]] = {"errors.md": errors_page}


def main() -> int:
    """Write every page that differs from what is there; return the exit status."""
    stale = {name: text for name, make in PAGES.items() if (text := make()) != current(name)}
    if "--check" in sys.argv[1:]:
        for name in stale:
            print(f"docs/{name} is stale: run `make docs`")
        return 1 if stale else 0
    for name, text in stale.items():
        (DOCS / name).write_text(text, encoding="utf-8")
        print(f"docs/{name} written")
    return 0


def current(name: str) -> str:
    """Return the page as it stands, empty if there is none."""
    path = DOCS / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
