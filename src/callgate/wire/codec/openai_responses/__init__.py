"""OpenAI Responses, to and from the canonical form."""

from __future__ import annotations

from typing import Final

from callgate.errors import CallgateError
from callgate.wire.codec import Codec
from callgate.wire.codec.openai_responses.read import read_request
from callgate.wire.codec.openai_responses.replies import read_reply, write_reply
from callgate.wire.codec.openai_responses.streams import ResponseReader, ResponseWriter
from callgate.wire.codec.openai_responses.write import write_request
from callgate.wire.codec.replies import bare
from callgate.wire.openai_responses import OpenAIResponses


def _error_body(error: CallgateError) -> bytes:
    """Return OpenAI's error object, with ours beside it."""
    return OpenAIResponses().error_body(bare(error))


RESPONSES: Final = Codec(
    name="openai_responses",
    read_request=read_request,
    write_request=write_request,
    read_reply=read_reply,
    write_reply=write_reply,
    reader=ResponseReader,
    writer=ResponseWriter,
    error_body=_error_body,
)
