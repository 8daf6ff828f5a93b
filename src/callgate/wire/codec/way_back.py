"""The way back: a reply of another format, in the format of the client who asked."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from callgate.call import Headers
from callgate.errors import Answer, BrokenReply, CallgateError, Failed, Transient
from callgate.wire import Scanner
from callgate.wire.codec import Client, Codec, Origin, Upstream
from callgate.wire.codec.losses import Loss
from callgate.wire.codec.translate import Translator
from callgate.wire.failures import JSON_HEADERS

STREAM_HEADERS: Headers = (("content-type", "text/event-stream; charset=utf-8"),)


class WayBack(msgspec.Struct, kw_only=True):
    """How replies of one attempt come back, and what does not come with them."""

    source: Upstream
    """The provider's format."""
    target: Codec
    """The client's."""
    origin: Origin
    client: Client
    losses: Sequence[Loss] = ()
    """What has not come over so far."""

    def reply(self, body: bytes, /) -> bytes:
        """Return a plain reply as the client reads it.

        Raises:
            BrokenReply: It cannot be read, or not be said in the client's format.
        """
        written = self.target.write_reply(self.source.read_reply(body, self.origin), self.client)
        self.losses = written.losses
        return written.body

    def scanner(self, metering: Scanner, /) -> TranslatingScanner:
        """Return a reader for a stream, which also goes through the one that meters it."""
        translator = Translator(self.source.reader(self.origin), self.target.writer(self.client))
        # The list itself, which the translator goes on to fill.
        self.losses = translator.losses
        return TranslatingScanner(metering, translator)

    def answer(self, failure: Failed, /) -> Answer | None:
        """Return what a provider answered in the words of the client's format."""
        if failure.answer is None:
            return None
        body = self.target.error_body(failure)
        return Answer(status=failure.answer.status, headers=JSON_HEADERS, body=body)


class TranslatingScanner:
    """Meters a stream, and returns it in the client's format; see :class:`callgate.wire.Scanner`."""

    __slots__ = ("_metering", "_translator")

    def __init__(self, metering: Scanner, translator: Translator) -> None:
        self._metering = metering
        self._translator = translator

    @property
    def has_content(self) -> bool:
        """Whether the client has been told anything that it would miss."""
        return self._translator.has_content

    def feed(self, chunk: bytes, /) -> bytes:
        """Take bytes from the provider; return the bytes to relay now."""
        return self._translator.feed(self._metered(chunk))

    def end(self) -> bytes:
        """Say that the provider closed the stream; return what is left to relay."""
        try:
            rest = self._metering.end()
        except BrokenReply as broken:
            raise self._judged(broken) from broken
        return self._translator.feed(rest) + self._translator.end()

    def fail(self, error: CallgateError, /) -> bytes:
        """Return the bytes that end the stream with an error."""
        return self._translator.fail(error)

    def _metered(self, chunk: bytes) -> bytes:
        try:
            return self._metering.feed(chunk)
        except BrokenReply as broken:
            raise self._judged(broken) from broken

    def _judged(self, broken: BrokenReply) -> Failed:
        """Return a break as it counts for the client: what it has not read may be tried again."""
        if self.has_content:
            return broken
        again = Transient(broken.message, billed=True)
        again.answer = broken.answer
        return again
