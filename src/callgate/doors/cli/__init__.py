"""The command line: every command of ``callgate``, one file for each group."""

from __future__ import annotations

import sys
from typing import Final

from callgate.doors.cli.app import make_app
from callgate.doors.cli.screen import complain
from callgate.errors import CallgateError

UNUSABLE: Final = 2
"""Exit status when a command could not do what it was asked."""


def main() -> None:
    """Run the command line; errors are told in words, never as a traceback."""
    typed = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
    try:
        make_app(typed)()
    except CallgateError as error:
        complain(error.message)
        sys.exit(UNUSABLE)
