"""One thread beside the event loop, for what waits."""

from __future__ import annotations

import threading
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue

Then = Callable[[Exception | None], None]
"""Told on the event loop that something is done, with what it raised."""


class Thread:
    """Does one thing after another; an executor costs ten times as much for each.

    Args:
        loop: Where callers are told.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: SimpleQueue[tuple[Callable[[], None], Then] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="callgate-store", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Stop after what was asked for."""
        self._queue.put(None)

    def do(self, work: Callable[[], None], then: Then) -> None:
        """Do ``work`` in the thread, then call ``then`` on the event loop."""
        self._queue.put((work, then))

    async def run(self, work: Callable[[], None]) -> None:
        """Do ``work`` in the thread, and wait for it; raise what it raised."""
        done: Future[None] = self._loop.create_future()

        def told(error: Exception | None) -> None:
            if not done.done():
                done.set_result(None) if error is None else done.set_exception(error)

        self.do(work, told)
        await done

    def _work(self) -> None:
        while (asked := self._queue.get()) is not None:
            work, then = asked
            error: Exception | None = None
            try:
                work()
            except Exception as raised:  # noqa: BLE001  who asked is told
                error = raised
            # Without an event loop nobody waits any more.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(then, error)
