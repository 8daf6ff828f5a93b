"""Reads a stream of Converse."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final

from callgate.call import Usage
from callgate.wire.bedrock_converse import raise_told, told_tier, usage_of
from callgate.wire.codec import Origin
from callgate.wire.codec.bedrock_converse.replies import (
    finish_in,
    note_citations,
    read_use,
    stopped_by,
)
from callgate.wire.codec.canonical import (
    Began,
    Dropped,
    Finish,
    Finished,
    Signed,
    Text,
    Thinking,
)
from callgate.wire.codec.losses import Loss, Losses
from callgate.wire.codec.replies import broken, finish_of
from callgate.wire.codec.streams import EventReader
from callgate.wire.codec.tool_ids import mint
from callgate.wire.event_stream import Frames, read_message
from callgate.wire.replies import count, member, object_as_written, text

NOT_MINE: Final = "only the provider that made it can read it"


class ConverseReader(EventReader):
    """Reads a stream; its content ends with ``messageStop``, and ``metadata`` tells the usage after it."""

    __slots__ = (
        "_blocks", "_calls", "_finish", "_handlers", "_hidden", "_origin", "_stop_sequence", "_strange",
        "_tier", "_usage",
    )  # fmt: skip

    end_event = "messageStop"

    def __init__(self, origin: Origin) -> None:
        super().__init__(Frames())
        self._origin = origin
        self._blocks: dict[int, int] = {}
        """The open blocks: index to the number of the part."""
        self._hidden: dict[int, list[str]] = {}
        """Encrypted thoughts so far, in base64, by the index of their block."""
        self._strange: set[int] = set()
        self._calls = 0
        self._finish: Finish | None = None
        self._stop_sequence: str | None = None
        self._usage: Usage | None = None
        self._tier: str | None = None
        self._handlers: Mapping[str, Callable[[dict[str, Any]], None]] = {
            "messageStart": self._begin_message,
            "contentBlockStart": self._start,
            "contentBlockDelta": self._delta,
            "contentBlockStop": self._stop_block,
            "messageStop": self._stop,
            "metadata": self._count,
        }

    def _read(self, event: bytes) -> None:
        message = read_message(event)
        raise_told(message)
        handle = self._handlers.get(message.text(":event-type"))
        if handle is not None:
            handle(object_as_written(message.payload))

    def _close(self) -> None:
        """Finish without the usage, where the stream was closed before it came."""
        if self._finish is not None and not self._is_over:
            self._end_message()

    def _begin_message(self, _: dict[str, Any]) -> None:
        self._add(Began(id=self._origin.seed, model=self._origin.model))

    def _start(self, page: dict[str, Any]) -> None:
        index, start = self._index(page), member(page, "start")
        if index in self._blocks or index in self._strange:
            msg = f"the provider began the block {index} twice; their words would be mixed up"
            raise broken(msg)
        use = member(start, "toolUse")
        if not use or use.get("type") is not None:
            self._drop(index, next(iter(start), "nothing"))
            return
        part = read_use(use, mint(self._origin.seed, self._calls), self._origin)
        self._calls += 1
        self._blocks[index] = self._begin(part)

    def _drop(self, index: int, kind: str) -> None:
        self._strange.add(index)
        loss = Loss(name="opaque", where=f"$.content[{index}]", what=kind, why=NOT_MINE)
        self._add(Dropped(loss=loss))

    def _delta(self, page: dict[str, Any]) -> None:
        index, delta = self._index(page), member(page, "delta")
        if index in self._strange:
            return
        if "text" in delta:
            self._say(self._words(index), text(delta, "text") or "")
        elif "toolUse" in delta:
            self._go_on(index, text(member(delta, "toolUse"), "input") or "")
        elif "reasoningContent" in delta:
            self._think(index, member(delta, "reasoningContent"))
        elif "citation" in delta:
            losses = Losses()
            note_citations(f"$.content[{index}]", losses)
            self._events += [Dropped(loss=loss) for loss in losses]
        else:
            self._drop(index, next(iter(delta), "nothing"))

    def _words(self, index: int) -> int:
        """Return the part of a block of words, which begins with its first delta."""
        if index not in self._blocks:
            self._blocks[index] = self._begin(Text(text=""))
        return self._blocks[index]

    def _go_on(self, index: int, fragment: str) -> None:
        n = self._blocks.get(index)
        if n is None:
            msg = f"the provider goes on with the call {index}, which it has not begun"
            raise broken(msg)
        self._say(n, fragment)

    def _think(self, index: int, content: dict[str, Any]) -> None:
        hidden = text(content, "redactedContent")
        if hidden is not None:
            self._hidden.setdefault(index, []).append(hidden)
            return
        if index not in self._blocks:
            thought = Thinking(text="", minted_by=self._origin.minter)
            self._blocks[index] = self._begin(thought)
        n = self._blocks[index]
        self._say(n, text(content, "text") or "")
        signature = text(content, "signature")
        if signature is not None:
            self._add(Signed(n=n, signature=signature))

    def _stop_block(self, page: dict[str, Any]) -> None:
        index = self._index(page)
        self._strange.discard(index)
        self._tell_hidden(index)
        n = self._blocks.pop(index, None)
        if n is not None:
            self._end(n)

    def _tell_hidden(self, index: int) -> None:
        """Tell an encrypted thought, whose pieces are one only together."""
        pieces = self._hidden.pop(index, None)
        if pieces is None:
            return
        try:
            whole = b64encode(
                b"".join([b64decode(piece, validate=True) for piece in pieces])
            ).decode()
        except ValueError as error:
            msg = f"the provider's encrypted thought is no base64 ({error})"
            raise broken(msg) from error
        thought = Thinking(
            text="", signature=whole, is_redacted=True, minted_by=self._origin.minter
        )
        self._end(self._begin(thought))

    def _index(self, page: dict[str, Any]) -> int:
        index = count(page, "contentBlockIndex")
        if index is None:
            msg = "the provider sends a part of a block without its index"
            raise broken(msg)
        return index

    def _stop(self, page: dict[str, Any]) -> None:
        self._finish = finish_in(page.get("stopReason"))
        self._stop_sequence = stopped_by(page)

    def _count(self, page: dict[str, Any]) -> None:
        self._usage, self._tier = usage_of(member(page, "usage")), told_tier(page)
        if self._finish is not None:
            self._end_message()

    def _end_message(self) -> None:
        for index in list(self._hidden):
            self._tell_hidden(index)
        for n in self._blocks.values():
            self._end(n)
        finish = finish_of(self._finish or "stop", calls=self._calls > 0, refused=False)
        told = Finished(
            finish=finish,
            stop_sequence=self._stop_sequence,
            usage=self._usage,
            service_tier=self._tier,
        )
        self._add(told)
        self._is_over = True
