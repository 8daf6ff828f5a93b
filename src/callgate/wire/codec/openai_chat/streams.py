"""Reads and writes a chat stream."""

from __future__ import annotations

from typing import Any, Final

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
    PartBegan,
    PartEnded,
    Refusal,
    Signed,
    Text,
    Thinking,
    ToolUse,
)
from callgate.wire.codec.losses import Losses
from callgate.wire.codec.openai_chat.replies import (
    finish_in,
    finish_word,
    read_use,
    signature_of,
    write_usage,
)
from callgate.wire.codec.replies import (
    arguments_of,
    bare,
    broken,
    finish_of,
    note_thought,
)
from callgate.wire.codec.streams import EventReader
from callgate.wire.codec.tool_ids import ALPHABETS, ToolIds, mint
from callgate.wire.failures import error_object, quote
from callgate.wire.openai_chat import OpenAIChat, usage_of
from callgate.wire.replies import count, member, object_as_written, objects, text
from callgate.wire.sse import data_of

WORDS: Final = (
    ("reasoning_content", Thinking),
    ("reasoning", Thinking),
    ("content", Text),
    ("refusal", Refusal),
)
"""Where a piece of an answer holds words, and of which kind."""

DONE: Final = b"data: [DONE]\n\n"


class ChatReader(EventReader):
    """Reads a stream; its own end is ``[DONE]``, which must follow a reason to finish."""

    __slots__ = ("_began", "_calls", "_finish", "_latest", "_origin", "_spoken", "_tier", "_usage")

    end_event = "[DONE]"

    def __init__(self, origin: Origin) -> None:
        super().__init__()
        self._origin = origin
        self._began: Began | None = None
        self._spoken: tuple[int, type] | None = None
        """The open part of words, and its kind."""
        self._calls: dict[int | None, tuple[int, str]] = {}
        """The open calls by the server's index: number and id. A server that counts wrongly uses
        an index twice; the later call has it then."""
        self._latest: list[int] = []
        """The numbers of all calls, in their order."""
        self._finish: Finish | None = None
        self._usage: Usage | None = None
        self._tier: str | None = None

    def _read(self, event: bytes) -> None:
        data = data_of(event)
        if not data:
            return
        if data == b"[DONE]":
            self._stop()
            return
        page = object_as_written(data)
        if page.get("error") or (not isinstance(page.get("choices"), list)):
            error = error_object(data)
            if error:
                msg = f"the provider broke the stream off: {quote(error, data)}"
                raise broken(msg)
        self._note(page)
        for choice in objects(page.get("choices")):
            if not choice.get("index"):
                self._choice(choice)

    def _note(self, page: dict[str, Any]) -> None:
        if self._began is None:
            self._began = Began(
                id=text(page, "id") or self._origin.seed, model=text(page, "model") or ""
            )
            self._add(self._began)
        self._usage = usage_of(member(page, "usage")) or self._usage
        self._tier = text(page, "service_tier") or self._tier

    def _choice(self, choice: dict[str, Any]) -> None:
        delta = member(choice, "delta")
        said: str | None = None
        for key, kind in WORDS:
            words = text(delta, key)
            # Some servers write what was thought under both names.
            if words is not None and not (key == "reasoning" and said is not None):
                said = words
                self._speak(kind, words)
        for call in objects(delta.get("tool_calls")):
            self._call(call)
        if delta.get("function_call"):
            msg = "the provider calls a function without an id, which nobody can answer"
            raise broken(msg)
        reason = choice.get("finish_reason")
        if reason is not None:
            self._finish = finish_in(reason)

    def _speak(self, kind: type, words: str) -> None:
        if self._spoken is None or self._spoken[1] is not kind:
            self._hush()
            maker = self._origin.minter
            part = Thinking(text="", minted_by=maker) if kind is Thinking else kind(text="")
            self._spoken = (self._begin(part), kind)
        self._say(self._spoken[0], words)

    def _hush(self) -> None:
        if self._spoken is not None:
            self._end(self._spoken[0])
            self._spoken = None

    def _call(self, call: dict[str, Any]) -> None:
        """Read a piece of a call: its name comes once, its arguments in pieces, perhaps at once."""
        index, id = count(call, "index"), text(call, "id")
        known = self._calls.get(index)
        if known is None or (id is not None and known[1] and id != known[1]):
            self._hush()
            use = read_use(
                call, mint(self._began.id if self._began else "", self._next), self._origin.minter
            )
            n = self._begin(msgspec.structs.replace(use, arguments=""))
            self._calls[index] = (n, id or "")
            self._latest.append(n)
        else:
            n = known[0]
        arguments = member(call, "function").get("arguments")
        if arguments:
            self._say(n, arguments if isinstance(arguments, str) else arguments_of(arguments))

    def _stop(self) -> None:
        if self._finish is None:
            msg = "the provider ended the stream without a finish_reason"
            raise broken(msg)
        refused = self._spoken is not None and self._spoken[1] is Refusal
        self._hush()
        for n in self._latest:
            self._end(n)
        finish = finish_of(self._finish, calls=bool(self._latest), refused=refused)
        self._add(Finished(finish=finish, usage=self._usage, service_tier=self._tier))
        self._is_over = True


class ChatWriter:
    """Writes a stream."""

    __slots__ = ("_calls", "_client", "_head", "_ids", "_kinds", "_refused", "_tail", "losses")

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ids = ToolIds(ALPHABETS[client.tool_ids or "openai"])
        self._kinds: dict[int, type] = {}
        self._calls: dict[int, int] = {}
        self._refused = False
        self._head = b""
        self._tail = b',"usage":null}\n\n' if client.wants_usage else b"}\n\n"
        self.losses = Losses()

    def write(self, event: Event, /) -> bytes:
        """Return the bytes that tell an event."""
        match event:
            case Delta():
                return self._words(event)
            case PartBegan():
                return self._begin(event)
            case Began():
                self._head = self._opening(event)
                return self._chunk({"role": "assistant", "content": "", "refusal": None})
            case Finished():
                return self._finish(event)
            case Dropped():
                self.losses.append(event.loss)
            case Broke():
                raise event.failure
            case Signed() | PartEnded():
                pass
        return b""

    def fail(self, error: CallgateError, /) -> bytes:
        """Return the event that ends the stream."""
        return OpenAIChat().error_event(bare(error))

    def _opening(self, began: Began) -> bytes:
        """Return how every event begins."""
        head = {
            "id": began.id or self._client.seed,
            "object": "chat.completion.chunk",
            "created": self._client.created,
            "model": began.model,
        }
        return b"data: " + msgspec.json.encode(head)[:-1]

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return b'%b,"choices":[%b]%b' % (self._head, msgspec.json.encode(choice), self._tail)

    def _begin(self, event: PartBegan) -> bytes:
        part = event.part
        self._kinds[event.n] = type(part)
        if isinstance(part, ToolUse):
            index = self._calls[event.n] = len(self._calls)
            call = {
                "index": index,
                "id": self._ids.write(part.id),
                "type": "function",
                "function": {"name": part.name, "arguments": ""},
                **signature_of(part, self._client),
            }
            return self._chunk({"tool_calls": [call]})
        if isinstance(part, Thinking) and (part.is_redacted or not self._client.thinking_field):
            note_thought(part, f"$.parts[{event.n}]", self.losses)
        return b""

    def _words(self, event: Delta) -> bytes:
        kind = self._kinds.get(event.n)
        if kind is ToolUse:
            function = {"arguments": event.text}
            call = {"index": self._calls[event.n], "function": function}
            return self._chunk({"tool_calls": [call]})
        if kind is Thinking:
            field = self._client.thinking_field
            return b"" if field is None else self._chunk({field: event.text})
        if kind is Refusal:
            self._refused = True
            return self._chunk({"refusal": event.text})
        return self._chunk({"content": event.text})

    def _finish(self, event: Finished) -> bytes:
        last = self._chunk({}, finish_word(event.finish, refused=self._refused))
        if not self._client.wants_usage or event.usage is None:
            return last + DONE
        usage = msgspec.json.encode(write_usage(event.usage))
        return b'%b%b,"choices":[],"usage":%b}\n\n%b' % (last, self._head, usage, DONE)
