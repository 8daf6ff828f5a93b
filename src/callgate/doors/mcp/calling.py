"""Calls to tools over MCP: ``tools/call``, its progress, and how it is cancelled."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from math import isfinite
from typing import Any, Final

from msgspec import UNSET

from callgate.call import Caller, Claims, Progress, ToolCall, new_id
from callgate.doors.exchange import Exchange, Watch, own_headers
from callgate.doors.mcp.channel import JSON, Channel
from callgate.doors.mcp.claims import claims_of, repeat_claimed
from callgate.doors.mcp.generations import Generation
from callgate.doors.mcp.messages import (
    CANCELLED,
    INVALID_PARAMS,
    NO_ARGUMENTS,
    Message,
    ProtocolFlaw,
    failure,
    notification,
    result,
)
from callgate.doors.mcp.mirrored import MirroredArguments
from callgate.doors.mcp.results import told_error, told_result
from callgate.errors import CallgateError, ClientLeft, Malformed, Refused
from callgate.gate import Gate
from callgate.pipeline import ToolPassage

DOOR: Final = "mcp"

SESSION_HEADER: Final = "mcp-session-id"
"""By which a client of an earlier generation tells its requests from those of others."""

log = logging.getLogger("callgate")

Handle = tuple[str, str | None, str, int | str]
"""One call of a client that may cancel it: agent, key, session and request."""


class Calls:
    """The calls to tools of one gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._mirrored = MirroredArguments()
        self._running: dict[Handle, Channel] = {}

    async def call(
        self, exchange: Exchange, caller: Caller, message: Message, generation: Generation
    ) -> None:
        """Answer ``tools/call``.

        Raises:
            ProtocolFlaw: It is none, as the protocol has it.
        """
        channel = Channel(exchange)
        handle = _handle(exchange, caller, message.id)
        try:
            call = self._translated(exchange, caller, message, generation, channel)
            channel.passage = passage = ToolPassage(call=call)
            if handle is not None:
                self._running[handle] = channel
            await self._carry(exchange, passage, channel, generation, message.id)
        finally:
            channel.close()
            if handle is not None:
                self._running.pop(handle, None)

    async def cancel(self, exchange: Exchange, caller: Caller, message: Message) -> None:
        """End a call as its client asks; one that runs at another gate, or has ended, goes its way."""
        handle = _handle(exchange, caller, message.params.request)
        channel = None if handle is None else self._running.get(handle)
        if handle is not None and channel is not None and channel.passage is not None:
            channel.passage.leave(self._drain_seconds)
            await channel.end(failure(handle[3], CANCELLED, "Request cancelled"))

    async def refuse(
        self,
        exchange: Exchange,
        caller: Caller,
        refused: Refused,
        *,
        name: str = "",
        claims: Claims | None = None,
    ) -> tuple[CallgateError, Iterable[tuple[str, str]]]:
        """Refuse what may have been a call, so that it leaves a row.

        Returns:
            What the client is told, and the headers of the answer.
        """
        call = ToolCall(
            id=new_id("call"),
            door=DOOR,
            caller=caller,
            claims=claims or exchange.claims,
            started_at=self._gate.clock.now(),
            flaw=refused,
            name=name,
            body=b"",
        )
        passage = ToolPassage(call=call)
        told: CallgateError = refused
        try:
            async with self._gate.tool_road(passage):
                pass
        except CallgateError as error:
            told = error
        return told, own_headers(passage, JSON)

    @property
    def _drain_seconds(self) -> float:
        return self._gate.settings.gate.drain_limit_seconds

    def _translated(
        self,
        exchange: Exchange,
        caller: Caller,
        message: Message,
        generation: Generation,
        channel: Channel,
    ) -> ToolCall:
        params = message.params
        if params.name is None:
            msg = "tools/call names no tool: params.name is missing"
            raise ProtocolFlaw(msg, number=INVALID_PARAMS, id=message.id)
        body = bytes(params.arguments)
        if body == b"null":
            body = NO_ARGUMENTS
        claims = claims_of(exchange, message)
        if generation.is_stateless:
            tool = self._gate.every_tool.get(params.name)
            # Who may not call a tool does not learn what it asks for.
            if tool and self._mirrored.has(tool) and tool in self._gate.tools(caller):
                self._mirrored.check(exchange, message, tool, body)
        repeat, flaw = None, None
        try:
            repeat = repeat_claimed(exchange, message)
        except Malformed as malformed:
            flaw = malformed
        return ToolCall(
            id=new_id("call"),
            door=DOOR,
            caller=caller,
            claims=claims,
            started_at=self._gate.clock.now(),
            flaw=flaw,
            name=params.name,
            repeat=repeat,
            body=body,
            on_progress=progress_of(message, channel),
        )

    async def _carry(
        self,
        exchange: Exchange,
        passage: ToolPassage,
        channel: Channel,
        generation: Generation,
        id: Any,
    ) -> None:
        watch = Watch(exchange, passage, self._drain_seconds)
        try:
            async with self._gate.tool_road(passage) as reply:
                value = told_result(passage, reply.result, generation)
        except ClientLeft:
            return
        except CallgateError as error:
            value = told_error(passage, error, generation)
        except Exception as error:
            log.exception("call %s failed by a mistake of the gate's own", passage.call.id)
            value = told_error(passage, error, generation)
        finally:
            watch.end()
        if not passage.left:
            await channel.end(result(id, value))


def progress_of(message: Message, channel: Channel) -> Progress | None:
    """Return where progress is told; None where the client does not want to hear of it.

    What does not go on is not told: another attempt begins anew, and clients take that for a mistake.

    Source: MCP 2026-07-28, "Progress": the value must rise with every message.
    """
    token = message.progress_token
    if token is None:
        return None
    reached = float("-inf")

    async def tell(progress: float, total: float | None = None, word: str | None = None) -> None:
        nonlocal reached
        if not isfinite(progress) or progress <= reached:
            return
        reached = progress
        params: dict[str, Any] = {"progressToken": token, "progress": progress}
        if total is not None and isfinite(total):
            params["total"] = total
        if word is not None:
            params["message"] = word
        await channel.tell(notification("notifications/progress", params))

    return tell


def _handle(exchange: Exchange, caller: Caller, id: Any) -> Handle | None:
    session = exchange.header(SESSION_HEADER)
    if session is None or id is None or id is UNSET:
        return None
    return (caller.agent, caller.key_id, session, id)
