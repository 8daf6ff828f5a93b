"""A call to a tool on its way: who waits for it, how far it is, and what it wants to know first."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from math import isfinite
from typing import Any, Final, TypeGuard, cast

import msgspec

from callgate.call import Ask, Caller, Progress, ToolCall
from callgate.doors.exchange import Exchange, Watch
from callgate.doors.mcp.channel import Channel
from callgate.doors.mcp.generations import Generation
from callgate.doors.mcp.messages import Message, notification, request, result
from callgate.doors.mcp.sessions import asked_modes
from callgate.pipeline import ToolPassage

ANSWER_SECONDS: Final = 600.0
"""How long a user may think; then the tool is told that nobody has answered."""

NOBODY: Final[Mapping[str, Any]] = {"action": "cancel"}
"""What a tool is told where nobody answers.

Source: MCP 2026-07-28, "Elicitation".
"""

QUESTION: Final = "question"
"""What the one question of a result is called."""


ACTIONS: Final = ("accept", "decline", "cancel")


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a tool wants to know, while its call waits."""

    name: str
    """Unguessable: who knows it has been asked."""
    params: Mapping[str, Any]
    underway: Underway
    answer: asyncio.Future[Mapping[str, Any]]

    @property
    def result(self) -> Mapping[str, Any]:
        """The question as the result of a call, which the client answers by calling again."""
        asked = {QUESTION: {"method": "elicitation/create", "params": self.params}}
        return {"resultType": "input_required", "inputRequests": asked, "requestState": self.name}


def is_answer(given: object) -> TypeGuard[Mapping[str, Any]]:
    """Return whether something answers a question."""
    return isinstance(given, dict) and cast("dict[str, Any]", given).get("action") in ACTIONS


class Underway:
    """One call, and the request that waits for its answer now.

    Args:
        exchange: The request that began it.
        message: What that says.
        caller: Who asks.
        generation: The rules that it goes by.
        questions: Those of the gate that are open, by name.

    Attributes:
        passage: The call on its road, once it has begun.
    """

    passage: ToolPassage
    _drain_seconds: float

    def __init__(
        self,
        exchange: Exchange,
        message: Message,
        caller: Caller,
        generation: Generation,
        questions: dict[str, Question],
    ) -> None:
        self.caller = caller
        self._generation = generation
        self._questions = questions
        self._stopping = exchange.stopping
        self._modes = asked_modes(exchange, message, generation)
        self._reached = float("-inf")
        self._watch: Watch | None = None
        self._message = message
        self._exchange = exchange
        self.channel = Channel(exchange)

    @property
    def on_progress(self) -> Progress | None:
        """Where progress is told; None where the client does not want to hear of it."""
        return None if self._message.progress_token is None else self._tell

    @property
    def on_question(self) -> Ask | None:
        """Where the client's user is asked; None where that cannot be."""
        return self._ask if self._modes else None

    @property
    def call(self) -> ToolCall:
        """What was asked."""
        return self.passage.call

    def begin(self, passage: ToolPassage, drain_seconds: float) -> None:
        """Let it be cancelled from now on: its client hangs up, and it goes on for so long."""
        self.passage, self._drain_seconds = passage, drain_seconds
        self._attend(self._exchange)

    def go_on(self, exchange: Exchange, message: Message) -> Channel:
        """Let another request wait for it: the one that brings the answer to a question."""
        self._message = message
        self.channel = Channel(exchange)
        self._attend(exchange)
        return self.channel

    def leave(self) -> None:
        """Take note that nobody waits for it any more."""
        self.passage.leave(self._drain_seconds)

    async def end(self, value: Mapping[str, Any]) -> None:
        """Tell what has come of it, if somebody still waits."""
        if not self.passage.left:
            await self.channel.end(result(self._message.id, value))

    def close(self) -> None:
        """Wait for nothing more."""
        if self._watch is not None:
            self._watch.end()
        self.channel.close()

    def _attend(self, exchange: Exchange) -> None:
        self.channel.passage = self.passage
        self._watch = Watch(exchange, self.passage, self._drain_seconds)

    async def _tell(
        self, progress: float, total: float | None = None, word: str | None = None
    ) -> None:
        """Tell how far it is, where it goes on: another attempt begins anew, and clients take that for a mistake.

        Source: MCP 2026-07-28, "Progress": the value must rise with every message.
        """
        if not isfinite(progress) or progress <= self._reached:
            return
        self._reached = progress
        token = self._message.progress_token
        params: dict[str, Any] = {"progressToken": token, "progress": progress}
        if total is not None and isfinite(total):
            params["total"] = total
        if word is not None:
            params["message"] = word
        await self.channel.tell(notification("notifications/progress", params))

    async def _ask(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask the client's user, in the way of its generation."""
        if params.get("mode", "form") not in self._modes:
            return NOBODY
        answer: asyncio.Future[Mapping[str, Any]] = asyncio.get_running_loop().create_future()
        question = Question(name=secrets.token_hex(16), params=params, underway=self, answer=answer)
        self._questions[question.name] = question
        stopping = asyncio.ensure_future(self._stopping())
        try:
            await self._put(question)
            await asyncio.wait(
                (answer, stopping),
                timeout=ANSWER_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
            return answer.result() if answer.done() else NOBODY
        finally:
            stopping.cancel()
            del self._questions[question.name]

    async def _put(self, question: Question) -> None:
        """Send a question: as a request of ours, or as a result, with which the request is over."""
        if not self._generation.is_stateless:
            told = request(question.name, "elicitation/create", question.params)
            await self.channel.tell(told)
            return
        if self._watch is not None:
            self._watch.end()
        value = self._generation.complete(question.result)
        await self.channel.end(result(self._message.id, value))
