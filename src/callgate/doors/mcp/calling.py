"""Calls to tools over MCP: ``tools/call``, its progress, and how it is cancelled."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import UNSET

from callgate.call import Caller, Claims, ToolCall, new_id
from callgate.doors.exchange import Exchange, own_headers
from callgate.doors.mcp.channel import JSON
from callgate.doors.mcp.claims import claims_of, repeat_claimed
from callgate.doors.mcp.generations import Generation
from callgate.doors.mcp.messages import (
    CANCELLED,
    INVALID_PARAMS,
    NO_ARGUMENTS,
    Answer,
    Message,
    Params,
    ProtocolFlaw,
    failure,
    result,
)
from callgate.doors.mcp.mirrored import MirroredArguments
from callgate.doors.mcp.results import told_error, told_result
from callgate.doors.mcp.sessions import HEADER
from callgate.doors.mcp.underway import NOBODY, QUESTION, Question, Underway, is_answer
from callgate.errors import CallgateError, ClientLeft, Malformed, Refused
from callgate.gate import Gate
from callgate.pipeline import ToolPassage

DOOR: Final = "mcp"

log = logging.getLogger("callgate")

Handle = tuple[str, str | None, str, int | str]
"""One call of a client that may cancel it: agent, key, session and request."""


class Calls:
    """The calls to tools of one gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._mirrored = MirroredArguments()
        self._running: dict[Handle, Underway] = {}
        self._questions: dict[str, Question] = {}

    async def call(
        self, exchange: Exchange, caller: Caller, message: Message, generation: Generation
    ) -> None:
        """Answer ``tools/call``.

        Raises:
            ProtocolFlaw: It is none, as the protocol has it.
        """
        if message.params.state is not None:
            await self._go_on(exchange, caller, message, generation)
            return
        underway = Underway(exchange, message, caller, generation, self._questions)
        handle = _handle(exchange, caller, message.id)
        try:
            call = self._translated(exchange, message, generation, underway)
            passage = ToolPassage(call=call)
            underway.begin(passage, self._drain_seconds)
            if handle is not None:
                self._running[handle] = underway
            await self._carry(passage, underway, generation)
        finally:
            underway.close()
            if handle is not None:
                self._running.pop(handle, None)

    async def cancel(self, exchange: Exchange, caller: Caller, message: Message) -> None:
        """End a call as its client asks; one that runs at another gate, or has ended, goes its way."""
        handle = _handle(exchange, caller, message.params.request)
        underway = None if handle is None else self._running.get(handle)
        if handle is not None and underway is not None:
            underway.leave()
            await underway.channel.end(failure(handle[3], CANCELLED, "Request cancelled"))

    def answer(self, caller: Caller, answer: Answer) -> bool:
        """Take the answer to a question that an earlier client was asked; return whether it was."""
        question = self._questions.get(answer.id)
        if question is None or question.underway.caller != caller or question.answer.done():
            return False
        question.answer.set_result(answer.result if is_answer(answer.result) else NOBODY)
        return True

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

    async def _go_on(
        self, exchange: Exchange, caller: Caller, message: Message, generation: Generation
    ) -> None:
        """Take the answer to a question with the call that it is for, and wait for that one."""
        question = self._question(caller, message)
        answers = message.params.answers or {}
        if QUESTION not in answers:
            value = generation.complete(question.result)
            await exchange.answer(200, JSON, result(message.id, value))
            return
        if not is_answer(answers[QUESTION]):
            msg = f"params.inputResponses.{QUESTION} is no answer: it has no action"
            raise ProtocolFlaw(msg, number=INVALID_PARAMS, id=message.id)
        channel = question.underway.go_on(exchange, message)
        question.answer.set_result(answers[QUESTION])
        await channel.ended()

    def _question(self, caller: Caller, message: Message) -> Question:
        """Return the question that a call says it answers.

        Source: MCP 2026-07-28, "Multi Round-Trip Requests": what says so comes from the client, so it must
        be what nobody can guess, and hold once, for the same caller, and for the same call only.
        """
        question = self._questions.get(message.params.state or "")
        if (
            question is None
            or question.answer.done()
            or question.underway.caller != caller
            or not _is_same(question.underway.call, message.params)
        ):
            fix = "call it anew, without requestState"
            msg = (
                "no call waits for this answer here: it has its answer, has ended, was another one, or runs"
                f" at another gate; {fix}"
            )
            raise ProtocolFlaw(msg, number=INVALID_PARAMS, id=message.id, fix=fix)
        return question

    def _translated(
        self, exchange: Exchange, message: Message, generation: Generation, underway: Underway
    ) -> ToolCall:
        params, caller = message.params, underway.caller
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
            on_progress=underway.on_progress,
            on_question=underway.on_question,
        )

    async def _carry(
        self, passage: ToolPassage, underway: Underway, generation: Generation
    ) -> None:
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
        await underway.end(value)


def _is_same(call: ToolCall, params: Params) -> bool:
    """Return whether parameters ask for the same as a call."""
    try:
        asked = msgspec.json.decode(params.arguments)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return call.name == params.name and msgspec.json.decode(call.body) == (asked or {})


def _handle(exchange: Exchange, caller: Caller, id: Any) -> Handle | None:
    session = exchange.header(HEADER)
    if session is None or id is None or id is UNSET:
        return None
    return (caller.agent, caller.key_id, session, id)
