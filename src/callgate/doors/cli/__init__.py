"""The command line: every command of ``callgate``, one file for each group."""

from __future__ import annotations

import sys

from callgate.doors.cli.app import app
from callgate.doors.cli.screen import tell
from callgate.errors import CallgateError

UNUSABLE = 2
"""Exit status when a command could not do what it was asked."""


def main() -> None:
    """Run the command line; errors are told in words, never as a traceback."""
    try:
        app()
    except CallgateError as error:
        tell(
            f"[red]callgate:[/red] {error.message}"
            if not error.message.startswith("[")
            else error.message
        )
        sys.exit(UNUSABLE)
