"""Reads and writes a stream of a response."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from callgate.errors import CallgateError
from callgate.wire.codec import Client, Origin
from callgate.wire.codec.canonical import (
    Began,
    Broke,
    Delta,
    Dropped,
    Event,
    Finished,
    PartBegan,
    PartEnded,
    PartEvent,
    Refusal,
    Signed,
    Text,
    Thinking,
    ToolUse,
)
from callgate.wire.codec.losses import Loss, Losses
from callgate.wire.codec.openai_responses.read import FORMAT
from callgate.wire.codec.openai_responses.replies import (
    NOT_MINE,
    finish_in,
    item_id,
    note_annotations,
    read_thought,
    read_use,
    write_end,
    write_part,
    write_response,
    write_thought,
    write_use,
    write_words,
)
from callgate.wire.codec.replies import (
    arguments_of,
    broken,
    finish_of,
    note_thought,
)
from callgate.wire.codec.streams import EventReader, Sequencer
from callgate.wire.codec.tool_ids import ALPHABETS, ToolIds, mint
from callgate.wire.failures import error_object, quote, sentence_of
from callgate.wire.openai_responses import usage_of
from callgate.wire.replies import count, member, object_as_written, objects, text
from callgate.wire.sse import data_of

ENDS: Final = frozenset({
    "response.completed", "response.incomplete", "response.failed", "response.cancelled",
})  # fmt: skip

WORDS: Final = {
    "response.output_text": Text,
    "response.refusal": Refusal,
    "response.reasoning_text": Thinking,
    "response.reasoning_summary_text": Thinking,
    "response.function_call_arguments": ToolUse,
}
"""Events that hold words, without ``.delta`` and ``.done``, and the kind of their part."""

WHOLE: Final = ("text", "refusal", "arguments")
"""Where an event of words that are done holds all of them."""

KNOWN_ITEMS: Final = frozenset({"message", "function_call", "reasoning"})
KNOWN_CONTENT: Final = frozenset({"output_text", "refusal"})
ARGUMENTS: Final = "response.function_call_arguments"

BETWEEN_THOUGHTS: Final = "\n\n"
"""What stands between the pieces of a thought, as in a plain response."""

Place = tuple[int, int | str]
"""The item of a part, and the content of it."""


class ResponseReader(EventReader):
    """Reads a stream; its own end is an event that holds the whole response.

    What an item holds is told as its pieces come; what has come in no piece is told when the item
    is done, or with the whole response, as some servers send no pieces.
    """

    __slots__ = ("_began", "_calls", "_items", "_items_begun", "_open", "_origin", "_refused",
                 "_said")  # fmt: skip

    end_event = "response.completed"

    def __init__(self, origin: Origin) -> None:
        super().__init__()
        self._origin = origin
        self._began = False
        self._items: dict[int, bool] = {}
        """Whether an item is open, by its index."""
        self._items_begun = 0
        """How many there were, also where a server gives two the same index."""
        self._open: dict[Place, int] = {}
        """The open parts by their places."""
        self._said: set[tuple[int, int]] = set()
        """The parts of which words have come, and which piece of them."""
        self._calls = 0
        self._refused = False

    def _read(self, event: bytes) -> None:
        data = data_of(event)
        if not data or data == b"[DONE]":
            return
        page = object_as_written(data)
        kind = str(page.get("type"))
        if kind == "error" or ("error" in page and kind == "None"):
            error = error_object(data) or page
            msg = f"the provider broke the stream off: {quote(error, data)}"
            raise broken(msg)
        name, _, ending = kind.rpartition(".")
        if name in WORDS:
            self._words(page, name, is_done=ending == "done")
        elif name == "response.output_item":
            self._item(self._index(page), member(page, "item"), is_done=ending == "done")
        else:
            self._whole(kind, page)

    def _whole(self, kind: str, page: dict[str, Any]) -> None:
        """Read an event about the whole response, or one that is no words."""
        if kind in {"response.created", "response.in_progress"}:
            self._begin_once(member(page, "response"))
        elif kind in ENDS:
            self._stop(member(page, "response"))
        elif kind == "response.output_text.annotation.added":
            self._drop_annotations(f"$.output[{self._index(page)}]")

    def _begin_once(self, response: dict[str, Any]) -> None:
        if not self._began:
            self._began = True
            id, model = text(response, "id") or self._origin.seed, text(response, "model") or ""
            self._add(Began(id=id, model=model))

    def _index(self, page: dict[str, Any]) -> int:
        index = count(page, "output_index")
        if index is None:
            msg = "the provider sends a part of an item without its output_index"
            raise broken(msg)
        return index

    def _enter(self, index: int) -> bool:
        """Whether an item begins with what is told of it now."""
        if self._items.get(index):
            return False
        self._items[index] = True
        self._items_begun += 1
        return True

    def _item(self, index: int, item: dict[str, Any], *, is_done: bool) -> None:
        """Read an item that begins or is done; a call begins with it, and its parts end with it."""
        kind = text(item, "type")
        if self._enter(index):
            if kind == "function_call":
                self._call(index, item)
            elif kind not in KNOWN_ITEMS:
                self._drop("opaque", f"$.output[{index}]", str(kind))
        elif not is_done:
            msg = f"the provider begins item {index} before it has ended it"
            raise broken(msg)
        if is_done:
            self._end_item(index, item)

    def _call(self, index: int, item: dict[str, Any]) -> None:
        use = read_use(item, mint(self._origin.seed, self._calls), self._origin)
        self._calls += 1
        self._open[index, "call"] = self._begin(msgspec.structs.replace(use, arguments=""))

    def _end_item(self, index: int, item: dict[str, Any]) -> None:
        place = {"output_index": index}
        match item.get("type"):
            case "function_call":
                told = arguments_of(item.get("arguments"))
                self._words({**place, "arguments": told}, ARGUMENTS, is_done=True)
            case "message":
                for at, part in enumerate(objects(item.get("content"))):
                    self._content(index, at, part)
            case "reasoning":
                self._thought(index, item)
            case _:
                pass
        for key in [key for key in self._open if key[0] == index]:
            self._end(self._open.pop(key))
        self._items[index] = False

    def _content(self, index: int, at: int, part: dict[str, Any]) -> None:
        """Read a part of a message that is done, if no words of it have come."""
        if (index, at) in self._open:
            return
        kind = "response.refusal" if "refusal" in part else "response.output_text"
        if text(part, "refusal") or text(part, "text"):
            self._words({**part, "output_index": index, "content_index": at}, kind, is_done=True)
        elif text(part, "type") not in KNOWN_CONTENT:
            self._drop("opaque", f"$.output[{index}].content[{at}]", str(part.get("type")))
        if part.get("annotations"):
            self._drop_annotations(f"$.output[{index}]")

    def _thought(self, index: int, item: dict[str, Any]) -> None:
        """Read a thought that is done: its words, if none have come, and its seal."""
        n = self._open.get((index, "thought"))
        whole = read_thought(item, self._origin)
        if n is None and (whole.text or whole.signature is not None):
            unsigned = msgspec.structs.replace(whole, text="", signature=None)
            n = self._begin(whole if whole.is_redacted else unsigned)
            self._open[index, "thought"] = n
            self._say(n, whole.text)
        if n is not None and whole.signature is not None and not whole.is_redacted:
            self._add(Signed(n=n, signature=whole.signature))

    def _words(self, page: dict[str, Any], name: str, *, is_done: bool) -> None:
        """Read words in pieces, or all at once where a server sends no pieces."""
        index, kind = self._index(page), WORDS[name]
        if is_done and self._items.get(index) is False:
            return
        n = self._part(index, page, kind)
        piece = (n, count(page, "summary_index") or count(page, "content_index") or 0)
        if piece in self._said:
            self._say(n, "" if is_done else text(page, "delta") or "")
            return
        self._said.add(piece)
        if piece[1] and kind is Thinking:
            self._say(n, BETWEEN_THOUGHTS)
        told = [text(page, key) for key in (WHOLE if is_done else ("delta",))]
        self._say(n, next((words for words in told if words is not None), ""))

    def _part(self, index: int, page: dict[str, Any], kind: type) -> int:
        """Return the part that words belong to; one that has not begun begins."""
        if kind is ToolUse:
            n = self._open.get((index, "call"))
            if n is None:
                msg = f"the provider sends arguments for item {index}, which is no call"
                raise broken(msg)
            return n
        self._enter(index)
        place: Place = (index, count(page, "content_index") or 0)
        if kind is Thinking:
            place = (index, "thought")
        if place not in self._open:
            self._open[place] = self._begin(self._empty(kind))
        return self._open[place]

    def _empty(self, kind: type) -> Text | Refusal | Thinking:
        if kind is Refusal:
            self._refused = True
            return Refusal(text="")
        if kind is Thinking:
            return Thinking(text="", minted_by=self._origin.minter)
        return Text(text="")

    def _drop(self, name: str, where: str, what: str) -> None:
        self._add(Dropped(loss=Loss(name=name, where=where, what=what, why=NOT_MINE)))

    def _drop_annotations(self, where: str) -> None:
        losses = Losses()
        note_annotations(where, losses)
        self._events += [Dropped(loss=loss) for loss in losses]

    def _stop(self, response: dict[str, Any]) -> None:
        finish = finish_in(response)
        self._begin_once(response)
        self._read_output(objects(response.get("output")))
        for n in self._open.values():
            self._end(n)
        told = Finished(
            finish=finish_of(finish, calls=self._calls > 0, refused=self._refused),
            usage=usage_of(member(response, "usage")),
            service_tier=text(response, "service_tier"),
        )
        self._add(told)
        self._is_over = True

    def _read_output(self, items: list[dict[str, Any]]) -> None:
        """Read what the whole response holds and no event has told."""
        some_are_new = self._items_begun < len(items)
        for index, item in enumerate(items):
            if self._items.get(index, some_are_new):
                self._item(index, item, is_done=True)


class ResponseWriter:
    """Writes a stream: every item begins, is told and is done before the next one."""

    __slots__ = (
        "_client", "_id", "_ids", "_number", "_output", "_part", "_response", "_sequencer",
        "_skipped", "_words", "losses",
    )  # fmt: skip

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ids = ToolIds(ALPHABETS[client.tool_ids or FORMAT])
        self._sequencer = Sequencer()
        self._skipped: set[int] = set()
        self._response: dict[str, Any] | None = None
        self._output: list[dict[str, Any]] = []
        """The items that are done."""
        self._part: Text | Refusal | Thinking | ToolUse = Text(text="")
        """The open part."""
        self._id = ""
        """The id of the open item."""
        self._words: list[str] = []
        """What has been told of the open part."""
        self._number = 0
        self.losses = Losses()

    def write(self, event: Event, /) -> bytes:
        """Return the bytes that tell an event."""
        match event:
            case PartBegan() | Delta() | Signed() | PartEnded():
                return b"" if self._skips(event) else self._tell(self._sequencer.order(event))
            case Began():
                self._response = write_response(self._client, event.model, [])
                told = {"response": self._response}
                created = self._event("response.created", told)
                return created + self._event("response.in_progress", told)
            case Finished():
                return self._finish(event)
            case Dropped():
                self.losses.append(event.loss)
                return b""
            case Broke():
                raise event.failure

    def fail(self, error: CallgateError, /) -> bytes:
        """Return the event that ends the stream; one that has begun ends as a failed response."""
        code = "rate_limit_exceeded" if error.status == TOO_MANY else "server_error"
        told = {"code": code, "message": sentence_of(error)}
        if self._response is None:
            return self._event("error", {**told, "param": None, "callgate": error.reason})
        failed = {**self._response, "status": "failed", "error": told, "output": self._output}
        return self._event("response.failed", {"response": {**failed, "callgate": error.reason}})

    def _skips(self, event: PartEvent) -> bool:
        """Whether an event belongs to a thought: its seal comes last, so it is told whole or not.

        A thought that the client could not send back is left out.
        """
        if isinstance(event, PartBegan) and isinstance(event.part, Thinking):
            part = event.part
            if part.minted_by is None or part.minted_by != self._client.minter:
                self._skipped.add(event.n)
                note_thought(part, f"$.parts[{event.n}]", self.losses)
        return event.n in self._skipped

    def _event(self, kind: str, page: dict[str, Any]) -> bytes:
        told = {"type": kind, "sequence_number": self._number, **page}
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode(told))

    def _tell(self, events: Iterator[PartEvent]) -> bytes:
        return b"".join([self._one(event) for event in events])

    def _one(self, event: PartEvent) -> bytes:
        match event:
            case Delta():
                self._words.append(event.text)
                return self._delta(event.text)
            case PartBegan():
                return self._begin(event.part)
            case Signed():
                if isinstance(self._part, Thinking):
                    replaced = msgspec.structs.replace(self._part, signature=event.signature)
                    self._part = replaced
                return b""
            case PartEnded():
                return self._end()

    def _begin(self, part: Text | Refusal | Thinking | ToolUse) -> bytes:
        self._part, self._words = part, []
        self._id = item_id(PREFIXES[type(part)], self._client, len(self._output))
        added = self._event("response.output_item.added", self._placed(item=self._item("")))
        if isinstance(part, Text | Refusal):
            empty = {"content_index": 0, "part": write_part(part, "")}
            added += self._event("response.content_part.added", self._within(empty))
        return added

    def _item(self, words: str, *, status: str = "in_progress") -> dict[str, Any]:
        """Return the open item."""
        part = self._part
        if isinstance(part, ToolUse):
            return write_use(part, self._id, self._ids.write(part.id), words, status=status)
        if isinstance(part, Thinking):
            return write_thought(msgspec.structs.replace(part, text=words), self._id)
        return write_words(msgspec.structs.replace(part, text=words), self._id, status=status)

    def _placed(self, **page: Any) -> dict[str, Any]:
        return {"output_index": len(self._output), **page}

    def _within(self, page: dict[str, Any]) -> dict[str, Any]:
        return {"item_id": self._id, "output_index": len(self._output), **page}

    def _delta(self, words: str) -> bytes:
        match self._part:
            case ToolUse():
                kind, page = "response.function_call_arguments.delta", {"delta": words}
                return self._event(kind, self._within(page))
            case Refusal():
                told = {"content_index": 0, "delta": words}
                return self._event("response.refusal.delta", self._within(told))
            case Text():
                plain: dict[str, Any] = {"content_index": 0, "delta": words, "logprobs": []}
                return self._event("response.output_text.delta", self._within(plain))
            case Thinking():
                return b""

    def _end(self) -> bytes:
        """Say that the open item is done, with all that has been told of it."""
        words = "".join(self._words)
        done = b""
        match self._part:
            case ToolUse(name=name):
                told = self._within({"name": name, "arguments": words})
                done = self._event("response.function_call_arguments.done", told)
            case Refusal():
                told = self._within({"content_index": 0, "refusal": words})
                done = self._event("response.refusal.done", told) + self._part_done(words)
            case Text():
                told = self._within({"content_index": 0, "text": words, "logprobs": []})
                done = self._event("response.output_text.done", told) + self._part_done(words)
            case Thinking():
                pass
        item = self._item(words, status="completed")
        done += self._event("response.output_item.done", self._placed(item=item))
        self._output.append(item)
        return done

    def _part_done(self, words: str) -> bytes:
        part = self._part
        shown = write_part(part, words) if isinstance(part, Text | Refusal) else None
        told = self._within({"content_index": 0, "part": shown})
        return self._event("response.content_part.done", told)

    def _finish(self, event: Finished) -> bytes:
        rest = self._tell(self._sequencer.flush())
        refused = any(
            part["type"] == "refusal" for item in self._output for part in item.get("content", ())
        )
        end = write_end(event.finish, event.usage, refused=refused)
        response = self._response or write_response(self._client, "", [])
        whole = {**response, **end, "output": self._output}
        return rest + self._event(f"response.{end['status']}", {"response": whole})


PREFIXES: Final[dict[type, str]] = {Text: "msg", Refusal: "msg", ToolUse: "fc", Thinking: "rs"}
"""How the ids of items begin."""

TOO_MANY: Final = 429
