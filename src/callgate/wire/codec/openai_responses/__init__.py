"""OpenAI Responses, to and from the canonical form."""

from __future__ import annotations

from callgate.errors import CallgateError
from callgate.wire.codec import Client, Home, Origin, StreamReader, StreamWriter, Target, Written
from callgate.wire.codec.canonical import Completion, Prompt
from callgate.wire.codec.openai_responses.read import read_request
from callgate.wire.codec.openai_responses.replies import read_reply, write_reply
from callgate.wire.codec.openai_responses.streams import ResponseReader, ResponseWriter
from callgate.wire.codec.openai_responses.write import write_request
from callgate.wire.codec.replies import bare
from callgate.wire.openai_chat import OpenAIChat


class ResponsesCodec:
    """``openai_responses``; see :class:`callgate.wire.codec.Codec`."""

    name = "openai_responses"

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
        return ResponseReader(origin)

    def writer(self, client: Client, /) -> StreamWriter:
        """Return a writer of a stream."""
        return ResponseWriter(client)

    def error_body(self, error: CallgateError, /) -> bytes:
        """Return OpenAI's error object, with ours beside it: both of its formats have the same."""
        return OpenAIChat().error_body(bare(error))
