"""Reads and writes a stream of a message."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from callgate.errors import CallgateError
from callgate.wire.anthropic_messages import FAST, AnthropicMessages, usage_of
from callgate.wire.codec import Client, Origin
from callgate.wire.codec.anthropic_messages.replies import (
    CUT,
    NOT_MINE,
    finish_in,
    finish_word,
    note_citations,
    read_block,
    write_usage,
)
from callgate.wire.codec.canonical import (
    Began,
    Broke,
    Delta,
    Dropped,
    Event,
    Finish,
    Finished,
    Opaque,
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
from callgate.wire.codec.replies import bare, broken, finish_of, note_thought, object_in
from callgate.wire.codec.streams import EventReader, Sequencer
from callgate.wire.codec.tool_ids import ALPHABETS, ToolIds, mint
from callgate.wire.failures import error_object, quote
from callgate.wire.replies import count, member, object_as_written, text
from callgate.wire.sse import data_of, name_of

DELTAS: Final = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "input_json_delta": "partial_json",
}
"""Where a delta holds its words."""

STOP: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class MessageReader(EventReader):
    """Reads a stream; its own end is ``message_stop``."""

    __slots__ = (
        "_blocks", "_calls", "_counters", "_finish", "_handlers", "_origin", "_stop_sequence", "_strange",
    )  # fmt: skip

    end_event = "message_stop"

    def __init__(self, origin: Origin) -> None:
        super().__init__()
        self._origin = origin
        self._blocks: dict[int, int] = {}
        """The open blocks: index to the number of the part."""
        self._strange: set[int] = set()
        """The open blocks that only their maker can read."""
        self._calls = 0
        self._counters: dict[str, Any] = {}
        self._finish: Finish | None = None
        self._stop_sequence: str | None = None
        self._handlers: Mapping[str, Callable[[dict[str, Any]], None]] = {
            "message_start": self._message,
            "content_block_start": self._start,
            "content_block_delta": self._delta,
            "content_block_stop": self._stop_block,
            "message_delta": self._reason,
            "message_stop": self._stop,
        }
        """What each event does; any other one, such as ``ping``, does nothing."""

    def _read(self, event: bytes) -> None:
        data = data_of(event)
        if not data:
            return
        page = object_as_written(data)
        kind = page.get("type")
        if kind == "error" or name_of(event) == b"error":
            msg = f"the provider broke the stream off: {quote(error_object(data), data)}"
            raise broken(msg)
        handle = self._handlers.get(kind) if isinstance(kind, str) else None
        if handle is not None:
            handle(page)

    def _message(self, page: dict[str, Any]) -> None:
        message = member(page, "message")
        self._count(message)
        id, model = text(message, "id") or self._origin.seed, text(message, "model") or ""
        self._add(Began(id=id, model=model, usage=usage_of(self._counters)))

    def _reason(self, page: dict[str, Any]) -> None:
        self._count(page)
        delta = member(page, "delta")
        if delta.get("stop_reason") is not None:
            self._finish = finish_in(delta["stop_reason"])
        self._stop_sequence = text(delta, "stop_sequence") or self._stop_sequence

    def _count(self, page: dict[str, Any]) -> None:
        """Keep the latest counters: they are cumulative, and one that is left out stands."""
        usage = member(page, "usage")
        self._counters.update({key: value for key, value in usage.items() if value is not None})

    def _start(self, page: dict[str, Any]) -> None:
        index, block = self._index(page), member(page, "content_block")
        if index in self._blocks or index in self._strange:
            msg = f"the provider began the block {index} twice; their words would be mixed up"
            raise broken(msg)
        part = read_block(block, mint(self._origin.seed, self._calls), self._origin.minter)
        if isinstance(part, Opaque):
            self._strange.add(index)
            where = f"$.content[{index}]"
            loss = Loss(name="opaque", where=where, what=part.kind, why=NOT_MINE)
            self._add(Dropped(loss=loss))
        elif isinstance(part, Text):
            self._blocks[index] = n = self._begin(Text(text=""))
            self._say(n, part.text)
        elif isinstance(part, ToolUse):
            self._calls += 1
            self._blocks[index] = n = self._begin(part)
            if block.get("input"):
                self._say(n, msgspec.json.encode(block["input"]).decode())
        elif isinstance(part, Thinking):
            self._blocks[index] = n = self._begin(msgspec.structs.replace(part, text=""))
            self._say(n, part.text)

    def _delta(self, page: dict[str, Any]) -> None:
        index, delta = self._index(page), member(page, "delta")
        if index in self._strange:
            return
        n = self._blocks.get(index)
        if n is None:
            msg = f"the provider goes on with the block {index}, which is not open"
            raise broken(msg)
        kind = str(delta.get("type"))
        if kind == "signature_delta":
            self._add(Signed(n=n, signature=text(delta, "signature") or ""))
        elif kind == "citations_delta":
            losses = Losses()
            note_citations(f"$.content[{index}].citations", losses)
            self._events += [Dropped(loss=loss) for loss in losses]
        elif kind in DELTAS:
            self._say(n, text(delta, DELTAS[kind]) or "")
        else:
            msg = f"the provider sends {kind!r}, which this version does not know"
            raise broken(msg)

    def _stop_block(self, page: dict[str, Any]) -> None:
        index = self._index(page)
        n = self._blocks.pop(index, None)
        self._strange.discard(index)
        if n is not None:
            self._end(n)

    def _index(self, page: dict[str, Any]) -> int:
        index = count(page, "index")
        if index is None:
            msg = "the provider sends a part of a block without its index"
            raise broken(msg)
        return index

    def _stop(self, _: dict[str, Any]) -> None:
        if self._finish is None:
            msg = "the provider ended the stream without a stop_reason"
            raise broken(msg)
        for n in self._blocks.values():
            self._end(n)
        usage = self._counters
        tier = FAST if usage.get("speed") == FAST else text(usage, "service_tier")
        finish = finish_of(self._finish, calls=self._calls > 0, refused=False)
        told = Finished(
            finish=finish,
            stop_sequence=self._stop_sequence,
            usage=usage_of(usage),
            service_tier=tier,
        )
        self._add(told)
        self._is_over = True


class MessageWriter:
    """Writes a stream: blocks numbered from 0 without a gap, one open at a time."""

    __slots__ = (
        "_arguments", "_client", "_flaw", "_ids", "_index", "_kind", "_sequencer", "_skipped",
        "losses",
    )  # fmt: skip

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ids = ToolIds(ALPHABETS[client.tool_ids or "anthropic"])
        self._sequencer = Sequencer()
        self._skipped: set[int] = set()
        self._index = -1
        self._kind = b""
        """How a delta of the open block begins."""
        self._arguments: list[str] | None = None
        """The arguments of the open block so far; None if it is no call."""
        self._flaw: str | None = None
        """A call whose arguments are no object."""
        self.losses = Losses()

    def write(self, event: Event, /) -> bytes:
        """Return the bytes that tell an event."""
        match event:
            case PartBegan() | Delta() | Signed() | PartEnded():
                return b"" if self._skips(event) else self._tell(self._sequencer.order(event))
            case Began():
                return self._begin(event)
            case Finished():
                return self._finish(event)
            case Dropped():
                self.losses.append(event.loss)
                return b""
            case Broke():
                raise event.failure

    def fail(self, error: CallgateError, /) -> bytes:
        """Return the event that ends the stream."""
        return AnthropicMessages().error_event(bare(error))

    def _skips(self, event: PartEvent) -> bool:
        """Whether an event belongs to a thought that the client could not send back."""
        if isinstance(event, PartBegan) and isinstance(event.part, Thinking):
            part = event.part
            if part.minted_by is None or part.minted_by != self._client.minter:
                self._skipped.add(event.n)
                note_thought(part, f"$.parts[{event.n}]", self.losses)
        return event.n in self._skipped

    def _begin(self, began: Began) -> bytes:
        message: dict[str, Any] = {
            "id": began.id or self._client.seed,
            "type": "message",
            "role": "assistant",
            "model": began.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": write_usage(began.usage),
        }
        return _event({"type": "message_start", "message": message})

    def _tell(self, events: Iterator[PartEvent]) -> bytes:
        return b"".join([self._one(event) for event in events])

    def _one(self, event: PartEvent) -> bytes:
        match event:
            case Delta():
                if self._arguments is not None:
                    self._arguments.append(event.text)
                return self._delta(self._kind, event.text)
            case PartBegan():
                return self._open(event.part)
            case Signed():
                return self._delta(b'"signature_delta","signature"', event.signature)
            case PartEnded():
                return self._close()

    def _delta(self, kind: bytes, words: str) -> bytes:
        return (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
            b'"delta":{"type":%b:%b}}\n\n' % (self._index, kind, msgspec.json.encode(words))
        )

    def _open(self, part: Text | Refusal | Thinking | ToolUse) -> bytes:
        self._index += 1
        self._arguments = None
        block: dict[str, Any]
        match part:
            case ToolUse():
                self._arguments = []
                self._kind = b'"input_json_delta","partial_json"'
                id = self._ids.write(part.id)
                block = {"type": "tool_use", "id": id, "name": part.name, "input": {}}
            case Thinking(is_redacted=True):
                block = {"type": "redacted_thinking", "data": part.signature}
            case Thinking():
                self._kind = b'"thinking_delta","thinking"'
                block = {"type": "thinking", "thinking": "", "signature": part.signature or ""}
            case _:
                self._kind = b'"text_delta","text"'
                block = {"type": "text", "text": ""}
        start = {"type": "content_block_start", "index": self._index, "content_block": block}
        return _event(start)

    def _close(self) -> bytes:
        if self._arguments is not None:
            told = "".join(self._arguments)
            if object_in(told) is None:
                self._flaw = told[:80]
        return _event({"type": "content_block_stop", "index": self._index})

    def _finish(self, event: Finished) -> bytes:
        rest = self._tell(self._sequencer.flush())
        if self._flaw is not None and event.finish not in CUT:
            msg = f"the model called a tool with arguments that are no JSON object: {self._flaw!r}"
            raise broken(msg)
        reason = finish_word(event.finish, event.stop_sequence)
        delta = {"stop_reason": reason, "stop_sequence": event.stop_sequence}
        usage = write_usage(event.usage)
        usage.pop("cache_creation", None)
        return rest + _event({"type": "message_delta", "delta": delta, "usage": usage}) + STOP


def _event(page: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (page["type"].encode(), msgspec.json.encode(page))
