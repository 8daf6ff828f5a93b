"""The stream of the Responses API."""

from __future__ import annotations

from typing import Final

import msgspec

from callgate.testing.simulator.formats.format import Carries, Event, pieces
from callgate.testing.simulator.formats.responses_reply import (
    Item,
    begun,
    call_item,
    content_part,
    encode,
    item_id,
    message_item,
    reasoning_item,
    reasons,
    response_of,
    speaks,
    usage_of,
    wants_summary,
)
from callgate.testing.simulator.formats.tool_parts import ToolPart, tool_parts
from callgate.testing.simulator.generation import Generation
from callgate.testing.simulator.request import Asked, is_object

NO_LOGPROBS: Final[list[object]] = []


def response_events(asked: Asked, said: Generation) -> list[Event]:
    """Return the events of a stream; the last one says how the response ended."""
    stream = _Stream(asked, said)
    stream.begin()
    if reasons(said):
        stream.reason()
    if speaks(said):
        stream.speak()
    stream.call()
    stream.end()
    return stream.events


class _Stream:
    """The events so far; each gets the next ``sequence_number``."""

    def __init__(self, asked: Asked, said: Generation) -> None:
        self.events: list[Event] = []
        self._asked = asked
        self._said = said
        self._ended = response_of(asked, said)
        self._index = 0

    def begin(self) -> None:
        response = begun(self._asked)
        if self._said.shape.usage == "every":
            response["usage"] = usage_of(self._said.usage)
        self._add("response.created", {"response": response})
        self._add("response.in_progress", {"response": response})

    def reason(self) -> None:
        asked, said = self._asked, self._said
        silent = msgspec.structs.replace(said, thinking="")
        self._open(reasoning_item(asked, silent, encrypted=False))
        if said.thinking and wants_summary(asked):
            place = {**self._place("rs"), "summary_index": 0}
            empty, whole = ({"type": "summary_text", "text": text} for text in ("", said.thinking))
            self._add("response.reasoning_summary_part.added", {**place, "part": empty})
            kind = "response.reasoning_summary_text"
            for piece in pieces(said.thinking):
                self._add(f"{kind}.delta", {**place, "delta": piece}, Carries.THINKING)
            self._add(f"{kind}.done", {**place, "text": said.thinking})
            self._add("response.reasoning_summary_part.done", {**place, "part": whole})
        self._close(reasoning_item(asked, said, encrypted=True))

    def speak(self) -> None:
        asked, said = self._asked, self._said
        self._open(message_item(asked, status="in_progress", content=[]))
        place = {**self._place("msg"), "content_index": 0}
        self._add("response.content_part.added", {**place, "part": content_part(said, "")})
        if said.refusal is not None:
            self._words("response.refusal", said.refusal, {**place}, whole="refusal")
        else:
            told = {**place, "logprobs": NO_LOGPROBS}
            self._words("response.output_text", said.text, told, whole="text")
        part = content_part(said)
        self._add("response.content_part.done", {**place, "part": part})
        item = message_item(asked, status=self._status(is_last=not said.tool_uses), content=[part])
        self._close(item)

    def _words(self, kind: str, text: str, place: Item, *, whole: str) -> None:
        for piece in pieces(text):
            self._add(f"{kind}.delta", {**place, "delta": piece}, Carries.OUTPUT)
        self._add(f"{kind}.done", {**place, whole: text})

    def call(self) -> None:
        uses = self._said.tool_uses
        for part in tool_parts(uses, self._said.shape, first=self._index):
            self._call_part(part, next(n for n, use in enumerate(uses) if use is part.use))

    def _call_part(self, part: ToolPart, n: int) -> None:
        asked, use = self._asked, part.use
        place: Item = {"item_id": item_id(asked, "fc", n), "output_index": part.index}
        if part.opens:
            item = call_item(asked, use, n=n, arguments="", status="in_progress")
            self._add("response.output_item.added", {"output_index": part.index, "item": item})
        kind = "response.function_call_arguments"
        if part.fragment:
            self._add(f"{kind}.delta", {**place, "delta": part.fragment}, Carries.OUTPUT)
        if part.closes:
            self._add(f"{kind}.done", {**place, "name": use.name, "arguments": use.arguments})
            status = self._status(is_last=n == len(self._said.tool_uses) - 1)
            item = call_item(asked, use, n=n, arguments=use.arguments, status=status)
            self._add("response.output_item.done", {"output_index": part.index, "item": item})

    def end(self) -> None:
        response = dict(self._ended)
        if self._said.shape.usage == "before_finish":
            usage = usage_of(self._said.usage)
            told = {**begun(self._asked), "usage": usage}
            self._add("response.in_progress", {"response": told})
            response["usage"] = None
        self._add(f"response.{response['status']}", {"response": response})

    def _status(self, *, is_last: bool) -> str:
        return str(self._ended["status"]) if is_last else "completed"

    def _place(self, prefix: str) -> Item:
        return {"item_id": item_id(self._asked, prefix), "output_index": self._index}

    def _open(self, item: Item) -> None:
        self._add("response.output_item.added", {"output_index": self._index, "item": item})

    def _close(self, item: Item) -> None:
        self._add("response.output_item.done", {"output_index": self._index, "item": item})
        self._index += 1

    def _add(self, kind: str, fields: Item, carries: Carries = Carries.NOTHING) -> None:
        self.events.append(Event(_wire(kind, len(self.events), fields), carries))


def error_event(body: bytes, n: int) -> bytes:
    """Return the bare ``error`` event, with the error of a body as Chat Completions has it."""
    error = _error_in(body)
    told = {name: error.get(name) for name in ("code", "message", "param")}
    return _wire("error", n, told)


def failed_event(asked: Asked, body: bytes, n: int) -> bytes:
    """Return ``response.failed``, with the error of a body as Chat Completions has it."""
    error = _error_in(body)
    told = {"code": error.get("code") or "server_error", "message": error.get("message")}
    return _wire(
        "response.failed", n, {"response": {**begun(asked), "status": "failed", "error": told}}
    )


def _wire(kind: str, n: int, fields: Item) -> bytes:
    data = encode({"type": kind, "sequence_number": n, **fields})
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


def _error_in(body: bytes) -> Item:
    value: object = msgspec.json.decode(body)
    error = value.get("error", value) if is_object(value) else None
    return error if is_object(error) else {}
