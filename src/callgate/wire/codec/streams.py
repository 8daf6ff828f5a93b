"""What the readers and writers of all streams share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import msgspec

from callgate.errors import BrokenReply, Failed
from callgate.wire.codec.canonical import (
    Broke,
    Delta,
    Event,
    PartBegan,
    PartEnded,
    PartEvent,
    Refusal,
    Text,
    Thinking,
    ToolUse,
)
from callgate.wire.codec.replies import broken, object_in
from callgate.wire.replies import whole
from callgate.wire.sse import Cutter, Splitter

FIRST_HALF: Final = ("\ud800", "\udbff")
"""The first halves of characters beyond U+FFFF."""


HALF_A_NAME: Final = "the provider's stream holds half a character where no words stand"


class EventReader(ABC):
    """Reads a stream; see :class:`callgate.wire.codec.StreamReader`.

    A failure is an event too, the last one, so that what a stream says does not depend on how the
    network cut it.
    """

    __slots__ = ("_events", "_halves", "_is_over", "_next", "_silent_calls", "_splitter")

    end_event: str
    """How a whole stream ends."""

    def __init__(self, cutter: Cutter | None = None) -> None:
        self._splitter: Cutter = Splitter() if cutter is None else cutter
        self._events: list[Event] = []
        self._is_over = False
        self._next = 0
        self._silent_calls: set[int] = set()
        self._halves: dict[int, str] = {}

    def feed(self, chunk: bytes, /) -> list[Event]:
        """Return the events that are complete now."""
        if self._is_over:
            return []
        try:
            for event in self._splitter.feed(chunk):
                self._read(event)
                if self._is_over:
                    break
        except Failed as failure:
            self._break(failure)
        except UnicodeEncodeError:
            self._break(broken(HALF_A_NAME))
        return self._taken()

    def end(self) -> list[Event]:
        """Say that the stream is closed."""
        if self._is_over:
            return []
        try:
            self._read_rest()
            self._close()
        except Failed as failure:
            self._break(failure)
        except UnicodeEncodeError:
            self._break(broken(HALF_A_NAME))
        if not self._is_over:
            msg = f"the provider ended the stream before {self.end_event}; the reply is not whole"
            self._break(broken(msg))
        return self._taken()

    def _read_rest(self) -> None:
        """Read what came after the last blank line: some servers leave out the very last one."""
        rest = self._splitter.rest
        if rest.strip():
            # What cannot be read is an event that the end of the stream has cut.
            with suppress(BrokenReply):
                self._read(rest)

    @abstractmethod
    def _read(self, event: bytes) -> None:
        """Add what an event says to the events.

        Raises:
            Failed: It says that the stream failed, or cannot be read.
        """

    def _close(self) -> None:
        """Do what is left when the stream is closed, where the format has no event for its end."""
        return

    def _add(self, event: Event) -> None:
        """Add an event; a name with half a character in it is refused before anybody tells it."""
        if not isinstance(event, Delta):
            msgspec.json.encode(event)
        self._events.append(event)

    def _begin(self, part: Text | Refusal | Thinking | ToolUse) -> int:
        """Begin a part; return its number."""
        n = self._next
        self._next += 1
        if isinstance(part, ToolUse):
            self._silent_calls.add(n)
        self._add(PartBegan(n=n, part=part))
        return n

    def _say(self, n: int, text: str) -> None:
        """Add words to a part; half a character waits for its other half."""
        if not text.isascii() or n in self._halves:
            text = self._halves.pop(n, "") + text
            if FIRST_HALF[0] <= text[-1:] <= FIRST_HALF[1]:
                self._halves[n] = text[-1]
                text = text[:-1]
            text = whole(text)
        if text:
            self._silent_calls.discard(n)
            self._add(Delta(n=n, text=text))

    def _end(self, n: int) -> None:
        """End a part; a call without arguments has none, which is an empty object."""
        if n in self._halves:
            self._add(Delta(n=n, text=whole(self._halves.pop(n))))
        if n in self._silent_calls:
            self._silent_calls.discard(n)
            self._add(Delta(n=n, text="{}"))
        self._add(PartEnded(n=n))

    def _break(self, failure: Failed) -> None:
        self._is_over = True
        self._events.append(Broke(failure=failure))

    def _taken(self) -> list[Event]:
        events, self._events = self._events, []
        return events


class Sequencer:
    """Lets one part be open at a time, in the order in which they began, and loses nothing.

    What belongs to a part that has not had its turn waits. A part of words has had it when
    another part begins; a call when its arguments are a whole object, as only then nothing more of
    it can come.
    """

    __slots__ = ("_arguments", "_open", "_waiting")

    def __init__(self) -> None:
        self._open: int | None = None
        self._arguments: list[str] | None = None
        """The arguments of the open part so far; None if it is no call."""
        self._waiting: dict[int, list[PartEvent]] = {}

    def order(self, event: PartEvent) -> Iterator[PartEvent]:
        """Yield what can be told now.

        Raises:
            BrokenReply: Arguments go on after their end.
        """
        if event.n == self._open:
            yield from self._tell(event)
        elif event.n in self._waiting:
            self._waiting[event.n].append(event)
        elif isinstance(event, PartBegan):
            self._waiting[event.n] = [event]
        elif isinstance(event, Delta) and event.text.strip():
            msg = "the arguments of a tool call go on after their end"
            raise broken(msg)
        yield from self._advance()

    def flush(self) -> Iterator[PartEvent]:
        """Yield all that waits, and end the open part: the stream has ended."""
        while self._open is not None or self._waiting:
            if self._open is not None:
                yield from self._tell(PartEnded(n=self._open))
            yield from self._next()

    def _tell(self, event: PartEvent) -> Iterator[PartEvent]:
        if isinstance(event, Delta) and self._arguments is not None:
            self._arguments.append(event.text)
        elif isinstance(event, PartEnded):
            self._open, self._arguments = None, None
        yield event

    def _advance(self) -> Iterator[PartEvent]:
        """Go on to the parts that wait, as far as the open one has had its turn."""
        while self._waiting and (self._open is None or self._is_whole()):
            if self._open is not None:
                yield from self._tell(PartEnded(n=self._open))
            yield from self._next()

    def _next(self) -> Iterator[PartEvent]:
        """Open the part that has waited longest, and tell what waits of it."""
        n = next(iter(self._waiting), None)
        if n is None:
            return
        events = self._waiting.pop(n)
        self._open = n
        for event in events:
            if isinstance(event, PartBegan):
                self._arguments = [] if isinstance(event.part, ToolUse) else None
            yield from self._tell(event)

    def _is_whole(self) -> bool:
        """Whether nothing more can come of the open part."""
        if self._arguments is None:
            return True
        if not self._arguments or not self._arguments[-1].rstrip().endswith("}"):
            return False
        return object_in("".join(self._arguments)) is not None
