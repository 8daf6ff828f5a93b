"""Runs an example of the documentation as a reader would, and compares what it prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from callgate.config import FILE_NAME, load
from tests.docs.pages import Example

LONGEST_SECONDS = 60.0
PROMPT = "$ "
ANYTHING = "..."


class Mismatch(AssertionError):
    """An example does not do what its page says."""


def run(example: Example, folder: Path) -> None:
    """Run one example in ``folder``, which the examples of a page share, with an empty home.

    Raises:
        Mismatch: It failed, or printed something else than the page shows.
    """
    runners: Mapping[str, Callable[[Example, Path], None]] = {
        "console": run_console,
        "python": run_python,
        "toml": run_toml,
    }
    runners[example.language](example, folder)


def run_console(example: Example, folder: Path) -> None:
    """Run each command; the lines below it are what it must print, ``...`` stands for anything."""
    steps = list(commands(example.text))
    for n, (command, shown) in enumerate(steps, 1):
        status = example.exit_status if n == len(steps) else 0
        printed = execute(example, ["bash", "-c", command], folder, status=status)
        if shown and not matches(shown, printed):
            msg = f"{example.place}: `{command}` printed\n{printed}\nbut the page shows\n{shown}"
            raise Mismatch(msg)


def run_python(example: Example, folder: Path) -> None:
    """Run a program, and write it to its file if it names one; a warning is a failure."""
    program = [sys.executable, "-W", "error", "-c", example.text]
    if example.file is not None:
        (folder / example.file).write_text(example.text, encoding="utf-8")
    execute(example, program, folder, status=example.exit_status)


def run_toml(example: Example, folder: Path) -> None:
    """Write a file; settings must be valid as they stand."""
    path = folder / (example.file or FILE_NAME)
    path.write_text(example.text, encoding="utf-8")
    if example.file is None:
        load(path, environ={})


def execute(example: Example, command: list[str], folder: Path, *, status: int) -> str:
    """Run a command as somebody who has just installed the package; return what it printed."""
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        command,
        cwd=folder,
        env={
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}",
            "LANG": "C.UTF-8",
            "COLUMNS": "100",
            "NO_COLOR": "1",
            "TERM": "dumb",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    if done.returncode != status:
        shown = command[-1].strip()
        msg = (
            f"{example.place}: `{shown}` ended with {done.returncode}, not {status}:\n{done.stdout}"
        )
        raise Mismatch(msg)
    return done.stdout


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a console block with the output shown below it."""
    for step in re.split(rf"^{re.escape(PROMPT)}", text, flags=re.MULTILINE)[1:]:
        lines = step.splitlines()
        end = next((n for n, line in enumerate(lines) if not line.endswith("\\")), 0) + 1
        yield "\n".join(lines[:end]), "\n".join(lines[end:]).strip()


def matches(shown: str, printed: str) -> bool:
    """Return whether ``printed`` is what a page shows, spaces at the ends of lines aside."""
    pattern = ".*".join(re.escape(part) for part in trimmed(shown).split(ANYTHING))
    return re.fullmatch(pattern, trimmed(printed), re.DOTALL) is not None


def trimmed(text: str) -> str:
    """Return ``text`` without spaces at the ends of its lines and blank lines at its ends."""
    return "\n".join(line.rstrip() for line in text.splitlines()).strip()
