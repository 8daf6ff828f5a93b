"""Anthropic Messages, to and from the canonical form."""

from __future__ import annotations

from callgate.errors import CallgateError
from callgate.wire.anthropic_messages import AnthropicMessages
from callgate.wire.codec import Client, Home, Origin, StreamReader, StreamWriter, Target, Written
from callgate.wire.codec.anthropic_messages.read import read_request
from callgate.wire.codec.anthropic_messages.replies import read_reply, write_reply
from callgate.wire.codec.anthropic_messages.streams import MessageReader, MessageWriter
from callgate.wire.codec.anthropic_messages.write import write_request
from callgate.wire.codec.canonical import Completion, Prompt
from callgate.wire.codec.replies import bare


class MessagesCodec:
    """``anthropic_messages``; see :class:`callgate.wire.codec.Codec`."""

    name = "anthropic_messages"

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
        return MessageReader(origin)

    def writer(self, client: Client, /) -> StreamWriter:
        """Return a writer of a stream."""
        return MessageWriter(client)

    def error_body(self, error: CallgateError, /) -> bytes:
        """Return Anthropic's error object, with ours beside it."""
        return AnthropicMessages().error_body(bare(error))
