"""What the scanners of all formats share: whole events in, the bytes to relay out."""

from __future__ import annotations

from abc import ABC, abstractmethod

from callgate.call import Meter
from callgate.errors import BrokenReply, Failed
from callgate.wire.failures import broken
from callgate.wire.sse import Cutter, Splitter


class EventScanner(ABC):
    """Reads a stream while it passes; see :class:`callgate.wire.Scanner`."""

    __slots__ = ("_failure", "_meter", "_splitter", "has_content")

    end_event: str
    """How a whole reply ends."""

    def __init__(self, meter: Meter, cutter: Cutter | None = None) -> None:
        self._meter = meter
        self._splitter: Cutter = Splitter() if cutter is None else cutter
        self._failure: Failed | None = None
        self.has_content = False

    def feed(self, chunk: bytes, /) -> bytes:
        """Take bytes from the provider; return the bytes to relay now.

        What came before a failure in the same chunk is still the reader's, so that the relay
        does not depend on how the network cut the stream: the failure is then told next time.

        Raises:
            Failed: The provider broke the stream off, or it cannot be read.
        """
        if self._failure is not None:
            raise self._failure
        relayed = bytearray()
        try:
            for event in self._splitter.feed(chunk):
                relayed += self._read(event)
        except Failed as failure:
            self._failure = self._judged(failure)
            if not (self.has_content and relayed):
                raise self._failure from failure
        return bytes(relayed)

    def end(self) -> bytes:
        """Say that the provider closed the stream; return what is left to relay.

        Some servers leave out the last blank line, so what is left is read as an event.

        Raises:
            Failed: The stream ended before its own end event.
        """
        if self._failure is not None:
            raise self._failure
        rest = self._splitter.rest
        if self._meter.finished:
            return rest
        try:
            relayed = self._read(rest) if rest.strip() else rest
        except BrokenReply:
            relayed = b""
        except Failed as failure:
            raise self._judged(failure) from failure
        if not self._meter.finished:
            msg = f"the provider ended the stream before {self.end_event}; the reply is not whole"
            raise broken(msg, self)
        return relayed

    def _judged(self, failure: Failed) -> Failed:
        """Return a failure as it counts now: after content there is no second try."""
        if self.has_content or isinstance(failure, BrokenReply):
            kept = broken(failure.message, self)
            kept.answer = failure.answer
            return kept
        return failure

    @abstractmethod
    def _read(self, event: bytes) -> bytes:
        """Note what an event says; return what to relay of it.

        Raises:
            Failed: It is an error event.
            BrokenReply: It cannot be read.
        """
