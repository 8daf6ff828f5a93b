"""The event loop of a command."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Final, TypeVar

import uvloop

Result = TypeVar("Result")

ENOUGH_FILES: Final = 10_240
"""What macOS lets a process have at most, whatever its limit says (OPEN_MAX)."""

if sys.platform == "win32":

    def lift_file_limit() -> None:
        """Do nothing: Windows has no such limit."""

else:
    import resource

    def lift_file_limit() -> None:
        """Let this process open as many files as it may; the usual 1,024 are 500 open streams."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        enough = ENOUGH_FILES if hard < 0 else min(hard, ENOUGH_FILES)
        if 0 <= soft < enough:
            resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))


def run_loop(work: Coroutine[object, object, Result]) -> Result:
    """Run ``work`` to its end on uvloop, which halves the cost of a socket in Python."""
    lift_file_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_unregistered(work))


async def _unregistered(work: Coroutine[object, object, Result]) -> Result:
    """Do ``work`` without the loop's register of generators, ten of which serve a call.

    It is a set of weak references, in Python, and is read as the loop ends, when whoever opened a
    generator has closed it. One that is dropped before its end is still closed by the loop.
    """
    sys.set_asyncgen_hooks(firstiter=None)
    return await work
