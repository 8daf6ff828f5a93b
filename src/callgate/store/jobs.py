"""Jobs: what the far side of a tool goes on with by itself, and whoever is alive asks for."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Collection, Sequence
from typing import Final, Protocol

import msgspec

from callgate.money import Money
from callgate.store.settling import Settlement

LONGEST_JOB_SECONDS: Final = 2 * 3600.0
"""A job that nobody has settled for so long is given up, and booked at what is held for it."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job that runs, of an attempt that has not ended."""

    attempt_id: str
    call_id: str
    toolset: str
    """Where the tool comes from."""
    tool: str
    """What the agent called."""
    id: str
    """What the far side calls it."""
    reserved: Money | None
    """What is held for it."""
    noted_at: float
    """Seconds since 1970."""


class Outlived(msgspec.Struct, frozen=True, kw_only=True):
    """A job whose gate died, as who asks for the same again finds it."""

    attempt_id: str
    call_id: str
    result: bytes | None
    """What came of it; None while it runs, or waits for somebody who takes it over."""


class Jobs(Protocol):
    """What a store knows of them."""

    def note_job(self, attempt_id: str, job_id: str, noted_at: float, /) -> Future[None]:
        """Note that the far side goes on with an attempt by itself, before it is asked again."""
        ...

    def adopt_jobs(self, toolsets: Collection[str], /) -> Future[Sequence[Job]]:
        """Take over the jobs of some toolsets whose gates are dead; no other gate gets the same."""
        ...

    def end_job(self, settlement: Settlement, result: bytes | None, /) -> Future[None]:
        """Settle the attempt of a job that was taken over, and keep its result for who asks again.

        A second time does nothing.
        """
        ...

    def find_outlived(self, task_id: str, fingerprint: bytes, /) -> Outlived | None:
        """Return the oldest job of a call of a task whose gate died, unless its result is claimed.

        Args:
            task_id: Whose.
            fingerprint: A digest of what was asked.
        """
        ...

    def claim_result(self, attempt_id: str, claimed_at: float, /) -> Future[bool]:
        """Be the one who hands out the result of a job; False if somebody has been."""
        ...
