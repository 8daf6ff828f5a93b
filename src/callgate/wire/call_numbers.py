"""The numbers of tool calls in a chat stream, which some servers give wrongly."""

from __future__ import annotations

import json
from typing import Any

from callgate.wire.replies import count, member, object_as_written, objects, text
from callgate.wire.sse import data_of


class CallNumbers:
    """Numbers the calls of each answer from 0, in the order in which they begin.

    A client puts the pieces of a call together by their number alone, and adds up whatever they
    say: two calls of one number become one with the arguments of both, and an id that is repeated
    becomes a longer one. Numbers that begin later than 0 make the official SDK raise.

    Source: openai-python 3.57 (``accumulate_delta``); the servers that give every call the same
    number are named in NousResearch/hermes-agent#62940.
    """

    __slots__ = ("_begun", "_open")

    def __init__(self) -> None:
        self._begun: dict[int, int] = {}
        """How many calls each answer has, by its index."""
        self._open: dict[tuple[int, int | None], tuple[int, str]] = {}
        """The latest call of each of the server's numbers: its own number, and its id."""

    def corrected(self, event: bytes) -> bytes:
        """Return an event as it is, or with the numbers that its calls should have.

        Args:
            event: A whole event that may hold pieces of calls.

        Raises:
            BrokenReply: It cannot be read.
        """
        page = object_as_written(data_of(event))
        changed = [
            self._correct(count(choice, "index") or 0, call)
            for choice in objects(page.get("choices"))
            for call in objects(member(choice, "delta").get("tool_calls"))
        ]
        if not any(changed):
            return event
        # In ASCII, as half a character may stand in it.
        return b"data: %b\n\n" % json.dumps(page, separators=(",", ":")).encode()

    def _correct(self, answer: int, call: dict[str, Any]) -> bool:
        """Correct one piece in its place; return whether that changed it."""
        told, id = count(call, "index"), text(call, "id")
        known = self._open.get((answer, told))
        if known is None or (id is not None and known[1] and id != known[1]):
            number = self._begun.get(answer, 0)
            self._begun[answer] = number + 1
            self._open[answer, told] = (number, id or "")
            is_repeated = False
        else:
            number = known[0]
            is_repeated = id is not None and id == known[1]
        is_misnumbered = call.get("index") != number
        if is_misnumbered:
            call["index"] = number
        if is_repeated:
            del call["id"]
            member(call, "function").pop("name", None)
        return is_misnumbered or is_repeated
