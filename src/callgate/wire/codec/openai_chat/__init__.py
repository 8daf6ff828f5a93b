"""OpenAI Chat Completions, to and from the canonical form."""

from __future__ import annotations

from typing import Final

from callgate.errors import CallgateError
from callgate.wire.codec import Codec
from callgate.wire.codec.openai_chat.read import read_request
from callgate.wire.codec.openai_chat.replies import read_reply, write_reply
from callgate.wire.codec.openai_chat.streams import ChatReader, ChatWriter
from callgate.wire.codec.openai_chat.write import write_request
from callgate.wire.codec.replies import bare
from callgate.wire.openai_chat import OpenAIChat


def _error_body(error: CallgateError) -> bytes:
    """Return OpenAI's error object, with ours beside it."""
    return OpenAIChat().error_body(bare(error))


CHAT: Final = Codec(
    name="openai_chat",
    read_request=read_request,
    write_request=write_request,
    read_reply=read_reply,
    write_reply=write_reply,
    reader=ChatReader,
    writer=ChatWriter,
    error_body=_error_body,
)
