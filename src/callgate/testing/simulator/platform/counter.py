"""The counter of a platform: who asks, what of it goes wrong, and what is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Final

import msgspec

from callgate.clock import Clock
from callgate.testing.simulator.bill import Entry
from callgate.testing.simulator.connection import Connection, Incoming
from callgate.testing.simulator.formats.format import ErrorSpec
from callgate.testing.simulator.platform.agentpatch import AgentPatch
from callgate.testing.simulator.platform.agentpatch_mcp import find_mcp
from callgate.testing.simulator.platform.agentpmt import AgentPMT
from callgate.testing.simulator.platform.books import Account, Books, Job, Refusal
from callgate.testing.simulator.platform.words import Body, Wanted, Words
from callgate.testing.simulator.script import PlatformFaultTable

JSON: Final[tuple[str, str]] = ("content-type", "application/json")
PLATFORMS: Final = (AgentPatch(), AgentPMT())
USUAL_MESSAGES: Final[Mapping[int, str]] = {
    401: "Invalid API key",
    402: "Insufficient credits",
    403: "Forbidden",
    404: "Tool not found",
    429: "Rate limit exceeded",
}

Start = Callable[[Coroutine[None, None, None], Entry], "asyncio.Task[None]"]
"""Runs something that counts as a request under way until it is done."""


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """One request at the counter."""

    words: Words
    wanted: Wanted
    incoming: Incoming
    connection: Connection
    entry: Entry
    clock: Clock

    def send(self, status: int, body: Body, *, cut: bool = False) -> None:
        """Answer; cut off in the middle of the JSON if that is wanted."""
        data = msgspec.json.encode(body)
        self.entry.status = self.words.status(status)
        self.connection.send(self.entry.status, [JSON], data[: len(data) // 2] if cut else data)


class Counter:
    """Serves one platform in the words of each that is known.

    Args:
        books: What the platform knows.
        start: Runs what takes time.
    """

    def __init__(self, books: Books, start: Start) -> None:
        self.books = books
        self._start = start

    def answer(self, visit: Visit, key: str | None) -> asyncio.Task[None] | None:
        """Answer at once, or return the task that does."""
        try:
            return self._serve(visit, key)
        except Refusal as refusal:
            self._refuse(visit, refusal)
            return None

    def _serve(self, visit: Visit, key: str | None) -> asyncio.Task[None] | None:
        wanted = visit.wanted
        if visit.incoming.method != wanted.method:
            raise Refusal(405, f"use {wanted.method}")
        if wanted.operation == "note":
            visit.entry.status = 202
            visit.entry.finish("complete")
            visit.connection.send(202, [], b"")
            return None
        if wanted.operation == "invoke":
            return self._invoke(visit, self.books.account(key))
        if wanted.operation == "poll":
            return self._poll(visit, self.books.job(self.books.account(key), wanted.job_id))
        visit.send(200, visit.words.page(wanted, self.books, key))
        visit.entry.finish("complete")
        return None

    def _invoke(self, visit: Visit, account: Account) -> asyncio.Task[None] | None:
        try:
            body = msgspec.json.decode(visit.incoming.body)
        except msgspec.DecodeError:
            raise Refusal(400, "the body is not JSON") from None
        called, given, timeout = visit.words.read(visit.wanted, body)
        shelf = self.books.shelf(called.owner, called.slug)
        job = self.books.begin(account, shelf, entry=visit.entry, given=given, timeout=timeout)
        if not job.reserved and job.step.fault is not None and job.step.fault.how == "status":
            self._fail(visit, job.step.fault, job)
            return None
        if job.tool.mode == "async" and visit.words.has_jobs:
            self._start(self._run(visit.entry, job), visit.entry)
            visit.send(202, visit.words.pending(job))
            return None
        return self._start(self._answer_late(visit, job), visit.entry)

    async def _run(self, entry: Entry, job: Job) -> None:
        await self.books.run(job, entry)
        entry.finish("complete")

    async def _answer_late(self, visit: Visit, job: Job) -> None:
        await self.books.run(job, visit.entry)
        fault = job.step.fault
        if fault is None or fault.how in {"failed", "timeout"}:
            visit.send(200, visit.words.done(job))
            visit.entry.finish("complete")
            return
        await self._break(visit, fault, lambda: visit.words.done(job), job)

    def _poll(self, visit: Visit, job: Job) -> asyncio.Task[None] | None:
        fault = job.next_poll_fault()
        if fault is None:
            visit.send(200, visit.words.job(job))
            visit.entry.finish("complete")
            return None
        return self._start(
            self._break(visit, fault, lambda: visit.words.job(job), None), visit.entry
        )

    async def _break(
        self, visit: Visit, fault: PlatformFaultTable, body: Callable[[], Body], job: Job | None
    ) -> None:
        """Let an answer go wrong."""
        if fault.how == "status":
            self._fail(visit, fault, job)
        elif fault.how == "malformed":
            visit.send(200, body(), cut=True)
            visit.entry.finish("cut")
        elif fault.how == "stall":
            await asyncio.get_running_loop().create_future()
        else:
            visit.entry.finish("cut")
            end = visit.connection.reset if fault.how == "reset" else visit.connection.close
            end()

    def _fail(self, visit: Visit, fault: PlatformFaultTable, job: Job | None) -> None:
        status = fault.status or 500
        usual = USUAL_MESSAGES.get(status, "The tool's provider failed")
        fields: dict[str, object] = {}
        if status == 402 and job is not None:  # noqa: PLR2004 (Payment Required)
            fields = {"required": job.tool.price_credits, "balance": job.balance}
        refusal = Refusal(status, fault.message or usual, **fields)
        self._refuse(visit, refusal, fault, job)

    def _refuse(
        self,
        visit: Visit,
        refusal: Refusal,
        fault: PlatformFaultTable | None = None,
        job: Job | None = None,
    ) -> None:
        wait = None if fault is None else fault.retry_after_seconds
        headers: dict[str, str] = dict([JSON])
        if wait is not None:
            headers["retry-after"] = f"{wait:g}"
        if fault is not None:
            headers.update(fault.headers)
        spec = ErrorSpec(status=refusal.status, retry_after_seconds=wait)
        visit.entry.refuse(spec, visit.clock.monotonic())
        told = (
            visit.words.error(refusal, job) if fault is None or fault.body is None else fault.body
        )
        data = told.encode() if isinstance(told, str) else msgspec.json.encode(told)
        visit.connection.send(visit.words.status(refusal.status), headers.items(), data)


def find_visit(incoming: Incoming) -> tuple[Words, Wanted] | None:
    """Return which platform a request is for, and what it wants there."""
    for words in PLATFORMS:
        wanted = words.find(incoming)
        if wanted is not None:
            return words, wanted
    return find_mcp(incoming)
