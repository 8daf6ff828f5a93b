"""A request of one format into another, and its reply back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from callgate.errors import CallgateError, Failed
from callgate.wire.codec import (
    Client,
    Codec,
    Home,
    Origin,
    StreamReader,
    StreamWriter,
    Target,
    Upstream,
    Written,
)
from callgate.wire.codec.anthropic_messages import MESSAGES
from callgate.wire.codec.bedrock_converse import CONVERSE
from callgate.wire.codec.canonical import Began, Event
from callgate.wire.codec.gemini_generate_content import GENERATE_CONTENT
from callgate.wire.codec.losses import Loss
from callgate.wire.codec.openai_chat import CHAT
from callgate.wire.codec.openai_responses import RESPONSES
from callgate.wire.codec.replies import broken
from callgate.wire.codec.streams import HALF_A_NAME

CODECS: Final[Mapping[str, Codec]] = {
    codec.name: codec for codec in (CHAT, MESSAGES, RESPONSES, GENERATE_CONTENT)
}
"""The formats that clients speak, by name."""

UPSTREAMS: Final[Mapping[str, Upstream]] = {**CODECS, CONVERSE.name: CONVERSE}
"""The formats that providers speak, by name."""


def translate_request(body: bytes, source: str, *, target: str, home: Home, to: Target) -> Written:
    """Return a request of one format in another.

    Args:
        body: The request.
        source: The format that it is in.
        target: The format to write it in.
        home: Where it would have gone.
        to: Where it goes.

    Raises:
        Malformed: It cannot be read.
    """
    return UPSTREAMS[target].write_request(CODECS[source].read_request(body, home), to)


def translate_reply(
    body: bytes, source: str, *, target: str, origin: Origin, client: Client
) -> Written:
    """Return a plain reply of one format in another; the arguments are as for a request.

    Raises:
        BrokenReply: It cannot be read, or not be said.
    """
    return CODECS[target].write_reply(UPSTREAMS[source].read_reply(body, origin), client)


class Translator:
    """Translates a stream while it passes; used as :class:`callgate.wire.Scanner` is."""

    __slots__ = ("_failure", "_reader", "_writer", "has_content")

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._failure: Failed | None = None
        self.has_content = False
        """Whether anything that a reader would miss has been returned."""

    def feed(self, chunk: bytes, /) -> bytes:
        """Take bytes from the provider; return the bytes to relay now.

        What came before a failure in the same chunk is still the reader's: the failure is then
        told next time, so that what is relayed does not depend on how the network cut the stream.

        Raises:
            Failed: The stream broke, or says what the client's format cannot say.
        """
        return self._relay(self._reader.feed(chunk))

    def end(self) -> bytes:
        """Say that the provider closed the stream; return what is left to relay.

        Raises:
            Failed: As for :meth:`feed`; the stream has not come to its own end.
        """
        relayed = self._relay(self._reader.end())
        if self._failure is not None:
            raise self._failure
        return relayed

    def fail(self, error: CallgateError, /) -> bytes:
        """Return the bytes that end a stream that has begun with an error."""
        return self._writer.fail(error)

    @property
    def losses(self) -> Sequence[Loss]:
        """What has not gone over so far."""
        return self._writer.losses

    def _relay(self, events: Sequence[Event]) -> bytes:
        if self._failure is not None:
            raise self._failure
        relayed = bytearray()
        try:
            for event in events:
                told = self._writer.write(event)
                relayed += told
                self.has_content = self.has_content or (bool(told) and not isinstance(event, Began))
        except Failed as failure:
            self._failure = failure
        except UnicodeEncodeError:
            self._failure = broken(HALF_A_NAME)
        if self._failure is not None and not (self.has_content and relayed):
            raise self._failure
        return bytes(relayed)


def translator(source: str, *, target: str, origin: Origin, client: Client) -> Translator:
    """Return a translator of streams.

    Args:
        source: The format of the stream.
        target: The format that the client reads.
        origin: Where the stream comes from.
        client: Who gets it.
    """
    return Translator(UPSTREAMS[source].reader(origin), CODECS[target].writer(client))
