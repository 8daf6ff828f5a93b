"""Anthropic Messages, to and from the canonical form."""

from __future__ import annotations

from typing import Final

from callgate.errors import CallgateError
from callgate.wire.anthropic_messages import AnthropicMessages
from callgate.wire.codec import Codec
from callgate.wire.codec.anthropic_messages.read import read_request
from callgate.wire.codec.anthropic_messages.replies import read_reply, write_reply
from callgate.wire.codec.anthropic_messages.resume import refuses
from callgate.wire.codec.anthropic_messages.streams import MessageReader, MessageWriter
from callgate.wire.codec.anthropic_messages.write import write_request
from callgate.wire.codec.replies import bare


def _error_body(error: CallgateError) -> bytes:
    """Return Anthropic's error object, with ours beside it."""
    return AnthropicMessages().error_body(bare(error))


MESSAGES: Final = Codec(
    name="anthropic_messages",
    read_request=read_request,
    write_request=write_request,
    read_reply=read_reply,
    write_reply=write_reply,
    reader=MessageReader,
    writer=MessageWriter,
    error_body=_error_body,
    refuses=refuses,
)
