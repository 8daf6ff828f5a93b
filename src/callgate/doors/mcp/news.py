"""News for clients that listen: that the tools of their agent are others now."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from msgspec import UNSET

from callgate.call import Caller
from callgate.doors.exchange import Exchange
from callgate.doors.mcp.channel import BREATH, BREATH_SECONDS, EVENTS, event
from callgate.doors.mcp.generations import RESERVED, Generation
from callgate.doors.mcp.messages import INVALID_PARAMS, Message, ProtocolFlaw, notification, result
from callgate.gate import Gate

LOOK_SECONDS: Final = 1.0
"""How long a change may go untold: nobody tells the gate when a server has other tools."""

SUBSCRIPTION_KEY: Final = RESERVED + "subscriptionId"


class News:
    """Tells the clients of one gate when its tools change."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def tell(
        self,
        exchange: Exchange,
        caller: Caller,
        message: Message | None = None,
        generation: Generation | None = None,
    ) -> None:
        """Answer with a stream that ends when its client leaves or the gate stops.

        Args:
            exchange: The request: a GET of an earlier generation, or ``subscriptions/listen``.
            caller: Whose tools they are.
            message: The request of today's generation, which names what it wants to hear.
            generation: The rules that it goes by.

        Raises:
            ProtocolFlaw: It does not say what it wants to hear.
        """
        meta: dict[str, Any] = {}
        wants = True
        if message is not None:
            wants = _wants_tools(message)
            meta = {"_meta": {SUBSCRIPTION_KEY: message.id}}
        await exchange.start(200, EVENTS)
        if message is not None:
            heard = {"notifications": {"toolsListChanged": True} if wants else {}, **meta}
            told = notification("notifications/subscriptions/acknowledged", heard)
            await exchange.piece(event(told))
        await self._go_on(exchange, caller, meta, wants=wants)
        end = b""
        if message is not None and generation is not None:
            end = event(result(message.id, generation.complete(meta)))
        await exchange.piece(end, last=True)

    async def _go_on(
        self, exchange: Exchange, caller: Caller, meta: dict[str, Any], *, wants: bool
    ) -> None:
        gone = asyncio.ensure_future(exchange.disconnected())
        stopping = asyncio.ensure_future(exchange.stopping())
        every, tools, quiet_seconds = self._gate.every_tool, self._gate.tools(caller), 0.0
        try:
            while not (gone.done() or stopping.done()):
                await asyncio.wait(
                    (gone, stopping), timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                quiet_seconds += LOOK_SECONDS
                if wants and every is not self._gate.every_tool:
                    every, before = self._gate.every_tool, tools
                    tools = self._gate.tools(caller)
                    if tools != before:
                        told = notification("notifications/tools/list_changed", meta)
                        await exchange.piece(event(told))
                        quiet_seconds = 0.0
                if quiet_seconds >= BREATH_SECONDS:
                    await exchange.piece(BREATH)
                    quiet_seconds = 0.0
        finally:
            gone.cancel()
            stopping.cancel()


def _wants_tools(message: Message) -> bool:
    """Return whether a client wants to hear of tools; there is no other news."""
    asked = message.params.notifications
    if asked is None or message.id is UNSET:
        msg = "subscriptions/listen does not say what it wants to hear: params.notifications is missing"
        raise ProtocolFlaw(msg, number=INVALID_PARAMS, id=message.id)
    return asked.get("toolsListChanged") is True
