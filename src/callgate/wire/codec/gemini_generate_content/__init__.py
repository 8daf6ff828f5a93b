"""Gemini generateContent, to and from the canonical form."""

from __future__ import annotations

from typing import Final

from callgate.errors import CallgateError
from callgate.wire.codec import Codec
from callgate.wire.codec.gemini_generate_content.read import read_request
from callgate.wire.codec.gemini_generate_content.replies import read_reply, write_reply
from callgate.wire.codec.gemini_generate_content.streams import ContentReader, ContentWriter
from callgate.wire.codec.gemini_generate_content.write import write_request
from callgate.wire.codec.replies import bare
from callgate.wire.gemini_generate_content import GeminiGenerateContent


def _error_body(error: CallgateError) -> bytes:
    """Return Google's error object, with ours beside it."""
    return GeminiGenerateContent().error_body(bare(error))


GENERATE_CONTENT: Final = Codec(
    name="gemini_generate_content",
    read_request=read_request,
    write_request=write_request,
    read_reply=read_reply,
    write_reply=write_reply,
    reader=ContentReader,
    writer=ContentWriter,
    error_body=_error_body,
)
