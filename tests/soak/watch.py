"""Somebody who looks at both accounts again and again, while something happens to gates."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from threading import Event
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import msgspec

from tests.soak.books import Books

BOOKED: Final = """
    SELECT coalesce(sum(spent_nano + held_nano), 0) FROM ledger WHERE scope LIKE 'task:%'
"""

LOOK_SECONDS: Final = 0.02
"""How long to rest between two looks; as long as the last one took, if that was longer."""


class Total(msgspec.Struct, frozen=True):
    """As much of the simulator's bill as is looked at."""

    total_nano_usd: int


class Watch:
    """At every moment at least as much is spent and held as was billed before.

    It looks in a thread of its own, as the loop is busy with agents.

    Args:
        books: What the gates say.
        far_url: Where the simulator says what it bills.
        besides: What else must hold; it raises if it does not.

    Attributes:
        looks: How often it looked.
    """

    def __init__(self, books: Books, far_url: str, besides: Callable[[], object]) -> None:
        self._books = books
        self._far = urlsplit(far_url).netloc
        self._besides = besides
        self.looks = 0

    async def __aenter__(self) -> Self:
        self._over = Event()
        self._looking = asyncio.get_running_loop().run_in_executor(None, self._look_on)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        await self._looking

    def _look_on(self) -> None:
        rest = 0.0
        with closing(HTTPConnection(self._far)) as far:
            while not self._over.wait(rest):
                began = time.monotonic()
                self._look(far)
                self.looks += 1
                rest = max(LOOK_SECONDS, time.monotonic() - began)

    def _look(self, far: HTTPConnection) -> None:
        far.request("GET", "/sim/bill?lines=0")
        billed = msgspec.json.decode(far.getresponse().read(), type=Total).total_nano_usd
        booked = int(self._books.ask(BOOKED)[0][0])
        assert booked >= billed, f"{billed} is billed, and only {booked} is booked"
        self._besides()


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that nobody tells of."""
    while True:
        if is_so():
            return
        await asyncio.sleep(LOOK_SECONDS)
