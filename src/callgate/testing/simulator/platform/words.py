"""What the two platforms of the simulator have in common: a request read, and a body to answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from callgate.testing.simulator.platform.books import Books, Job, Refusal

Operation = Literal["list", "look", "invoke", "poll", "balance", "history", "talk", "note"]
"""``talk`` is about the protocol itself, and a ``note`` gets no answer."""

Body = Mapping[str, object]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a request wants of a platform."""

    operation: Operation
    method: str = "GET"
    owner: str | None = None
    slug: str = ""
    job_id: str = ""
    query: Mapping[str, str] = {}

    def number(self, name: str, default: int, *, most: int) -> int:
        """Return a whole number of the query.

        Raises:
            Refusal: It is none, or not between 1 and ``most``.
        """
        text = self.query.get(name, str(default))
        if not (text.isdecimal() and 1 <= int(text) <= most):
            raise Refusal(400, f"{name} must be a whole number from 1 to {most}")
        return int(text)


class Words(Protocol):
    """How one platform speaks."""

    @property
    def api(self) -> str:
        """What it is called."""
        ...

    @property
    def credit_nano_usd(self) -> int:
        """What a credit costs."""
        ...

    @property
    def has_jobs(self) -> bool:
        """Whether it answers before a slow tool is done."""
        ...

    def status(self, status: int, /) -> int:
        """Return with which HTTP status something is answered."""
        ...

    def read(self, wanted: Wanted, body: object, /) -> tuple[Wanted, object, int | None]:
        """Return which tool is called, with what, and how long it may take.

        Raises:
            Refusal: It cannot be read.
        """
        ...

    def page(self, wanted: Wanted, books: Books, key: str | None, /) -> Body:
        """Return what a request that calls no tool gets.

        Raises:
            Refusal: There is nothing of that name, it cannot be read, or is only for customers.
        """
        ...

    def pending(self, job: Job, /) -> Body:
        """Return the answer to a call whose output comes later."""
        ...

    def done(self, job: Job, /) -> Body:
        """Return the answer to a call that is over."""
        ...

    def job(self, job: Job, /) -> Body:
        """Return the answer to a look at a job."""
        ...

    def error(self, refusal: Refusal, job: Job | None = None, /) -> Body:
        """Return the body of an error."""
        ...
