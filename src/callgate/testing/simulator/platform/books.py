"""The books of a platform: accounts, tools, jobs, and every movement of credits."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

import jsonschema_rs
import msgspec

from callgate.clock import Clock, rfc3339
from callgate.testing.simulator.bill import Entry
from callgate.testing.simulator.made_up import MadeUp
from callgate.testing.simulator.request import is_object, shown_key
from callgate.testing.simulator.script import (
    PlatformFaultTable,
    PlatformStepTable,
    PlatformTable,
    PlatformToolTable,
)

JobStatus = Literal["pending", "success", "failed", "timeout"]

WORDS: Final = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel")
USUAL: Final = PlatformStepTable()
LONGEST_TIMEOUT_SECONDS: Final = 3600

NEVER_RUNS: Final = frozenset({400, 401, 402, 403, 404, 429})
"""Errors that come before a tool is run, so that no credits are reserved for it."""


class Refusal(Exception):
    """The platform says no.

    Attributes:
        status: The HTTP status.
        message: Why.
        fields: What the body tells besides.
    """

    def __init__(self, status: int, message: str, **fields: object) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.fields = fields


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """One change of an account."""

    n: int
    """The line of its call on the bill."""
    job_id: str
    key: str | None
    """The last four characters of the account's key."""
    kind: Literal["reserve", "settle", "refund"]
    credits: int
    """What was taken off the account, kept of what was, or given back."""
    balance: int
    """What the account has afterwards."""


class Credits(msgspec.Struct, frozen=True, kw_only=True):
    """What the accounts of a platform have, and every movement that led there."""

    balances: Mapping[str, int]
    """Credits by key; keys are starred where this is shown."""
    movements: tuple[Movement, ...]
    """The oldest first."""

    def shown(self) -> object:
        """Return what ``/sim/credits`` shows, without keys."""
        balances = {shown_key(key): credits for key, credits in self.balances.items()}
        return {"balances": balances, "movements": self.movements}


class Account:
    """One customer of the platform."""

    def __init__(self, key: str, credits: int) -> None:
        self.key = key
        self.credits = credits


class Shelf:
    """One tool, and how far its steps have been played."""

    def __init__(self, table: PlatformToolTable) -> None:
        self.table = table
        self.calls = 0

    def next_step(self) -> PlatformStepTable:
        """Return what its next call does."""
        taken = self.calls
        self.calls += 1
        for step in self.table.steps:
            if taken < step.times:
                return step
            taken -= step.times
        return self.table.steps[-1] if self.table.steps else USUAL


class Job(msgspec.Struct, kw_only=True):
    """One call of a tool that is paid for."""

    id: str
    n: int
    account: Account
    tool: PlatformToolTable
    step: PlatformStepTable
    timeout_seconds: float
    created_at: str
    output: Mapping[str, object]
    status: JobStatus = "pending"
    error: str | None = None
    reserved: int = 0
    used: int = 0
    latency_ms: int = 0
    completed_at: str | None = None
    polls: int = 0

    @property
    def balance(self) -> int:
        """What its account has now."""
        return self.account.credits

    def next_poll_fault(self) -> PlatformFaultTable | None:
        """Return what the next look at it meets, if anything."""
        self.polls += 1
        faults = self.step.poll_faults
        return faults[self.polls - 1] if self.polls <= len(faults) else None


class Books:
    """Everything that the platform knows.

    Args:
        table: Its tools and accounts.
        clock: What time goes by.
        seed: What ids and made-up outputs follow from.
    """

    def __init__(self, table: PlatformTable, *, clock: Clock, seed: bytes) -> None:
        self._clock = clock
        self._seed = seed
        self._accounts = {key: Account(key, credits) for key, credits in table.accounts.items()}
        self._shelves = {(tool.owner, tool.slug): Shelf(tool) for tool in table.tools}
        self._jobs: dict[str, Job] = {}
        self._births: Counter[bytes] = Counter()
        self.movements: list[Movement] = []
        """What was taken, kept and given back, the oldest first."""

    @property
    def tools(self) -> Sequence[PlatformToolTable]:
        """Every tool, in the script's order."""
        return [shelf.table for shelf in self._shelves.values()]

    @property
    def credits(self) -> Credits:
        """How the accounts stand."""
        return Credits(
            balances={key: account.credits for key, account in self._accounts.items()},
            movements=tuple(self.movements),
        )

    def top_up(self, key: str, credits: int) -> None:
        """Add credits to an account; it is opened where there is none."""
        self._accounts.setdefault(key, Account(key, 0)).credits += credits

    def account(self, key: str | None) -> Account:
        """Return whose key this is.

        Raises:
            Refusal: Nobody's.
        """
        found = None if key is None else self._accounts.get(key)
        if found is None:
            raise Refusal(401, "Missing API key" if key is None else "Invalid API key")
        return found

    def shelf(self, owner: str | None, slug: str) -> Shelf:
        """Return a tool; without an owner, the first of that slug.

        Raises:
            Refusal: There is none.
        """
        for (of, named), shelf in self._shelves.items():
            if named == slug and owner in {None, of}:
                return shelf
        raise Refusal(404, "Tool not found")

    def job(self, account: Account, job_id: str) -> Job:
        """Return a job of an account.

        Raises:
            Refusal: It has none of that id.
        """
        found = self._jobs.get(job_id)
        if found is None or found.account is not account:
            raise Refusal(404, "Job not found")
        return found

    def begin(
        self, account: Account, shelf: Shelf, *, entry: Entry, given: object, timeout: int | None
    ) -> Job:
        """Take a call: check it, take its step, and reserve its price.

        Raises:
            Refusal: Its input is not what the tool takes, or the account has too little.
        """
        tool = shelf.table
        if timeout is not None and not 1 <= timeout <= LONGEST_TIMEOUT_SECONDS:
            raise Refusal(400, f"timeout_seconds must be 1 to {LONGEST_TIMEOUT_SECONDS}")
        for flaw in _flaws(tool.input_schema, given):
            raise Refusal(400, f"Invalid input: {flaw}")
        job = self._new_job(account, shelf, entry=entry, given=given, timeout=timeout)
        if _is_refused(job.step.fault):
            return job
        price = tool.price_credits
        if account.credits < price:
            raise Refusal(402, "Insufficient credits", required=price, balance=account.credits)
        job.reserved = price
        account.credits -= price
        self._move(job, "reserve", price)
        entry.credits = price
        entry.billed = True
        self._jobs[job.id] = job
        return job

    async def run(self, job: Job, entry: Entry) -> None:
        """Let a job run to its end, and settle it."""
        step, limit = job.step, job.timeout_seconds
        fault = step.fault
        begun = self._clock.monotonic()
        is_late = step.seconds > limit or (fault is not None and fault.how == "timeout")
        await self._clock.sleep(min(step.seconds, limit))
        job.latency_ms = round((self._clock.monotonic() - begun) * 1000)
        job.completed_at = rfc3339(self._clock.now())
        used = job.tool.price_credits if step.credits_used is None else step.credits_used
        if is_late:
            job.status, job.error = "timeout", f"The tool did not answer within {limit:g} s"
            used = 0 if fault is None else fault.kept(used)
        elif fault is not None and fault.how in {"failed", "status"}:
            job.status, job.error = "failed", fault.message or "The tool failed"
            used = fault.kept(used)
        else:
            job.status = "success"
            used = used if fault is None else fault.kept(used)
        self._settle(job, entry, used)

    def _settle(self, job: Job, entry: Entry, used: int) -> None:
        back = job.reserved - used
        job.used = used
        job.account.credits += back
        if used:
            self._move(job, "settle", used)
        if back:
            self._move(job, "refund", back)
        entry.credits = used
        entry.billed = used > 0

    def _new_job(
        self, account: Account, shelf: Shelf, *, entry: Entry, given: object, timeout: int | None
    ) -> Job:
        tool, step = shelf.table, shelf.next_step()
        draw = self._draw(account, tool, given)
        made = step.output
        if made is None:
            made_up = MadeUp(tool.output_schema or {"type": "object"}, draw, WORDS).value()
            made = made_up if is_object(made_up) else {"result": made_up}
        return Job(
            id=f"job_{draw.hex()[:16]}",
            n=entry.n,
            account=account,
            tool=tool,
            step=step,
            output=made,
            timeout_seconds=min(timeout or tool.default_timeout_seconds, tool.max_timeout_seconds),
            created_at=rfc3339(self._clock.now()),
        )

    def _draw(self, account: Account, tool: PlatformToolTable, given: object) -> bytes:
        digest = hashlib.blake2b(key=self._seed, digest_size=32)
        digest.update(f"{account.key}\0{tool.owner}\0{tool.slug}\0".encode())
        digest.update(msgspec.json.encode(given))
        asked = digest.digest()
        self._births[asked] += 1
        digest.update(str(self._births[asked]).encode())
        return digest.digest()

    def _move(self, job: Job, kind: Literal["reserve", "settle", "refund"], credits: int) -> None:
        moved = Movement(
            n=job.n, job_id=job.id, key=shown_key(job.account.key), kind=kind, credits=credits,
            balance=job.account.credits,
        )  # fmt: skip
        self.movements.append(moved)


def _is_refused(fault: PlatformFaultTable | None) -> bool:
    return fault is not None and fault.how == "status" and fault.status in NEVER_RUNS


def _flaws(schema: Mapping[str, object], given: object) -> Iterator[str]:
    if not isinstance(given, dict):
        yield "the body must be a JSON object"
        return
    for error in jsonschema_rs.iter_errors(dict(schema), given):
        yield error.message
