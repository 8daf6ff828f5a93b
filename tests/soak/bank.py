"""A bank that refunds, does not always say so, and counts; and the tool by which a gate asks it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from aiohttp import web

from callgate.call import Tool, ToolResult
from callgate.errors import BrokenReply, TimedOut, Transient
from callgate.tools import Invocation

TIMEOUT_SECONDS: Final = 0.3
"""How long the tool waits for the bank."""

LATE_SECONDS: Final = 0.6

WAYS: Final = {"good": 10, "late": 3, "cut": 3, "cut before": 2}
"""How the bank answers, and how often: well; after the tool has given up; not at all, though it has
refunded; not at all, and it has not."""

REFUND: Final = Tool(
    name="refund",
    description="Refund a charge.",
    input_schema={
        "type": "object",
        "properties": {"charge": {"type": "string"}, "amount": {"type": "number"}},
        "required": ["charge"],
    },
    effect="write",
    toolset="bank",
    remote_name="refund",
    timeout_seconds=TIMEOUT_SECONDS,
)


class Bank:
    """Refunds every request that it takes, as a server without idempotency keys does."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.refunds: Counter[str] = Counter()
        """How often each charge was refunded."""
        self.ways: Counter[str] = Counter()
        self.reached = asyncio.Event()
        """Set whenever a request has come."""

    @asynccontextmanager
    async def serve(self) -> AsyncGenerator[str]:
        """Serve at a free port; yield the URL."""
        app = web.Application()
        app.router.add_post("/refunds", self._refund)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        try:
            yield f"http://{host}:{port}"
        finally:
            await runner.cleanup()

    async def _refund(self, request: web.Request) -> web.StreamResponse:
        charge = (await request.json())["charge"]
        (way,) = self._rng.choices(list(WAYS), list(WAYS.values()))
        self.ways[way] += 1
        if way != "cut before":
            self.refunds[charge] += 1
        self.reached.set()
        if way.startswith("cut"):
            assert request.transport is not None
            request.transport.abort()
        if way == "late":
            await asyncio.sleep(LATE_SECONDS)
        return web.json_response({"refund": f"re_{charge}"})


class BankTools:
    """The one tool of a bank.

    Args:
        url: Where the bank is.
    """

    name = "bank"

    def __init__(self, url: str) -> None:
        self._url = url

    def tools(self) -> Sequence[Tool]:
        """Return it."""
        return TOOLS

    async def call(self, invocation: Invocation, /) -> ToolResult:
        """Ask for a refund, once."""
        timeout = aiohttp.ClientTimeout(total=invocation.timeout_seconds)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(f"{self._url}/refunds", json=dict(invocation.arguments)) as reply,
            ):
                return ToolResult(structured=await reply.json())
        except aiohttp.ClientConnectorError as error:
            raise Transient(str(error), billed=False) from error
        except aiohttp.ClientError as error:
            raise BrokenReply(str(error), billed=True) from error
        except TimeoutError:
            msg = "the bank has not answered in time"
            raise TimedOut(msg, billed=True) from None

    @property
    def pinning(self) -> None:
        """Nothing: the bank does not change its tools."""

    def start(self) -> None:
        """Do nothing: it is known what tools there are."""

    async def close(self) -> None:
        """Do nothing: each call has its own connection."""


TOOLS: Final = (REFUND,)
