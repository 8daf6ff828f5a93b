"""Gemini generateContent, to and from the canonical form."""

from __future__ import annotations

from callgate.errors import CallgateError
from callgate.wire.codec import Client, Home, Origin, StreamReader, StreamWriter, Target, Written
from callgate.wire.codec.canonical import Completion, Prompt
from callgate.wire.codec.gemini_generate_content.read import read_request
from callgate.wire.codec.gemini_generate_content.replies import read_reply, write_reply
from callgate.wire.codec.gemini_generate_content.streams import (
    ContentReader,
    ContentWriter,
    write_error,
)
from callgate.wire.codec.gemini_generate_content.write import write_request


class GeminiCodec:
    """``gemini_generate_content``; see :class:`callgate.wire.codec.Codec`."""

    name = "gemini_generate_content"

    def read_request(self, body: bytes, home: Home, /) -> Prompt:
        """Read a request."""
        return read_request(body, home)

    def write_request(self, prompt: Prompt, target: Target, /) -> Written:
        """Write a request."""
        return write_request(prompt, target)

    def read_reply(self, body: bytes, origin: Origin, /) -> Completion:
        """Read a plain reply."""
        return read_reply(body, origin)

    def write_reply(self, completion: Completion, client: Client, /) -> Written:
        """Write a plain reply."""
        return write_reply(completion, client)

    def reader(self, origin: Origin, /) -> StreamReader:
        """Return a reader of a stream."""
        return ContentReader(origin)

    def writer(self, client: Client, /) -> StreamWriter:
        """Return a writer of a stream."""
        return ContentWriter(client)

    def error_body(self, error: CallgateError, /) -> bytes:
        """Return Google's error object, with ours beside it."""
        return write_error(error)
