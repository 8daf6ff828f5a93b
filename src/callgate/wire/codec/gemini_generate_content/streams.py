"""Reads and writes a stream of generated content."""

from __future__ import annotations

from typing import Any

import msgspec

from callgate.call import Usage
from callgate.errors import CallgateError
from callgate.wire.codec import Client, Origin
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
    Refusal,
    Signed,
    Text,
    Thinking,
    ToolUse,
)
from callgate.wire.codec.gemini_generate_content.replies import (
    CUT,
    NOT_MINE,
    PartWriter,
    another_answer,
    arguments_for,
    finish_in,
    note_cut,
    note_signature,
    note_sources,
    read_part,
    write_candidate,
    write_usage,
)
from callgate.wire.codec.losses import Loss, Losses
from callgate.wire.codec.replies import bare, broken, finish_of
from callgate.wire.codec.streams import EventReader
from callgate.wire.codec.tool_ids import mint
from callgate.wire.failures import error_object, quote
from callgate.wire.gemini_generate_content import GeminiGenerateContent, is_blocked, usage_of
from callgate.wire.replies import member, object_as_written, objects, text
from callgate.wire.sse import data_of


class ContentReader(EventReader):
    """Reads a stream; it has no event of its own for its end, but a reason to finish."""

    __slots__ = (
        "_began",
        "_calls",
        "_finish",
        "_origin",
        "_others",
        "_sources",
        "_spoken",
        "_usage",
    )

    end_event = "a finishReason"

    def __init__(self, origin: Origin) -> None:
        super().__init__()
        self._origin = origin
        self._began = False
        self._spoken: tuple[int, type] | None = None
        """The open part of words, and its kind."""
        self._calls = 0
        self._finish: Finish | None = None
        self._usage: Usage | None = None
        self._sources = False
        self._others = False
        """Whether there is more than one answer."""

    def _read(self, event: bytes) -> None:
        data = data_of(event)
        if not data or data == b"[DONE]":
            return
        page = object_as_written(data)
        if page.get("error"):
            msg = f"the provider broke the stream off: {quote(error_object(data), data)}"
            raise broken(msg)
        if not self._began:
            self._began = True
            id = text(page, "responseId") or self._origin.seed
            self._add(Began(id=id, model=text(page, "modelVersion") or ""))
        self._usage = usage_of(member(page, "usageMetadata")) or self._usage
        if is_blocked(member(page, "promptFeedback")):
            self._finish = "content_filter"
        for candidate in objects(page.get("candidates")):
            if not candidate.get("index"):
                self._candidate(candidate)
            elif not self._others:
                self._others = True
                self._add(Dropped(loss=another_answer(1)))

    def _candidate(self, candidate: dict[str, Any]) -> None:
        losses = Losses()
        for n, part in enumerate(objects(member(candidate, "content").get("parts"))):
            self._part(part, f"$.candidates[0].content.parts[{n}]", losses)
        if not self._sources:
            note_sources(candidate, losses)
            self._sources = bool(losses)
        self._events += [Dropped(loss=loss) for loss in losses]
        reason = candidate.get("finishReason")
        if reason is not None:
            self._finish = finish_in(reason)

    def _part(self, page: dict[str, Any], where: str, losses: Losses) -> None:
        part = read_part(page, mint(self._origin.seed, self._calls), self._origin)
        if isinstance(part, Opaque):
            loss = Loss(name="opaque", where=where, what=part.kind, why=NOT_MINE)
            self._add(Dropped(loss=loss))
        elif isinstance(part, ToolUse):
            self._hush()
            self._calls += 1
            n = self._begin(msgspec.structs.replace(part, arguments=""))
            self._say(n, part.arguments)
            self._end(n)
        else:
            if isinstance(part, Text):
                note_signature(page, where, losses)
            self._speak(part)

    def _speak(self, part: Text | Thinking) -> None:
        words = part.text
        signature = part.signature if isinstance(part, Thinking) else None
        if not words and signature is None:
            return
        if self._spoken is None or self._spoken[1] is not type(part):
            self._hush()
            minter = self._origin.minter
            is_thought = isinstance(part, Thinking)
            empty = Thinking(text="", minted_by=minter) if is_thought else Text(text="")
            self._spoken = (self._begin(empty), type(part))
        self._say(self._spoken[0], words)
        if signature is not None:
            self._add(Signed(n=self._spoken[0], signature=signature))

    def _hush(self) -> None:
        if self._spoken is not None:
            self._end(self._spoken[0])
            self._spoken = None

    def _close(self) -> None:
        if self._finish is None:
            return
        self._hush()
        finish = finish_of(self._finish, calls=self._calls > 0, refused=False)
        self._add(Finished(finish=finish, usage=self._usage))
        self._is_over = True


class ContentWriter:
    """Writes a stream; a call is told whole, as its arguments are an object."""

    __slots__ = ("_client", "_cut", "_parts", "_tail", "_words", "_writer", "losses")

    def __init__(self, client: Client) -> None:
        self._client = client
        self.losses = Losses()
        self._writer = PartWriter(client, self.losses)
        self._parts: dict[int, Text | Refusal | Thinking | ToolUse] = {}
        """The open parts."""
        self._words: dict[int, list[str]] = {}
        """The words so far of open parts that are told whole."""
        self._cut: list[tuple[int, str]] = []
        """Calls whose arguments are no object."""
        self._tail: dict[str, Any] = {}

    def write(self, event: Event, /) -> bytes:
        """Return the bytes that tell an event."""
        match event:
            case Delta():
                return self._delta(event)
            case PartEnded():
                return self._end(event.n)
            case Finished():
                return self._finish(event)
            case Broke():
                raise event.failure
            case _:
                self._note(event)
                return b""

    def _note(self, event: Began | PartBegan | Signed | Dropped) -> None:
        """Keep what is told later."""
        match event:
            case Began():
                id = event.id or self._client.seed
                self._tail = {"modelVersion": event.model, "responseId": id}
            case PartBegan():
                self._parts[event.n] = event.part
                self._words[event.n] = []
            case Signed():
                part = self._parts.get(event.n)
                if isinstance(part, Thinking):
                    signed = msgspec.structs.replace(part, signature=event.signature)
                    self._parts[event.n] = signed
            case Dropped():
                self.losses.append(event.loss)

    def fail(self, error: CallgateError, /) -> bytes:
        """Return the event that ends the stream."""
        return GeminiGenerateContent().error_event(bare(error))

    def _event(self, candidate: dict[str, Any], usage: Usage | None = None) -> bytes:
        page: dict[str, Any] = {"candidates": [candidate]}
        if usage is not None:
            page["usageMetadata"] = write_usage(usage)
        return b"data: %b\r\n\r\n" % msgspec.json.encode({**page, **self._tail})

    def _delta(self, event: Delta) -> bytes:
        if isinstance(self._parts.get(event.n), Text | Refusal):
            return self._event(write_candidate([{"text": event.text}]))
        self._words[event.n].append(event.text)
        return b""

    def _end(self, n: int) -> bytes:
        part, words = self._parts.pop(n), "".join(self._words.pop(n))
        if isinstance(part, Thinking):
            whole = msgspec.structs.replace(part, text=words)
            parts = list(self._writer.thought(whole, f"$.parts[{n}]"))
            return self._event(write_candidate(parts)) if parts else b""
        if not isinstance(part, ToolUse):
            return b""
        args = arguments_for(part, words, is_cut=True)
        if args is None:
            self._cut.append((n, part.name))
            return b""
        return self._event(write_candidate([self._writer.use(part, args)]))

    def _finish(self, event: Finished) -> bytes:
        for n, name in self._cut:
            if event.finish not in CUT:
                msg = f"the model called {name} with arguments that are no JSON object"
                raise broken(msg)
            note_cut(name, f"$.parts[{n}]", self.losses)
        return self._event(write_candidate([], finish=event.finish), event.usage)
