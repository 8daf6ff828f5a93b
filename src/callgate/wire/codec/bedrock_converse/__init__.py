"""Amazon Bedrock's Converse from the canonical form, and its replies into it; no client speaks it."""

from __future__ import annotations

from typing import Final

from callgate.wire.codec import Upstream
from callgate.wire.codec.bedrock_converse.replies import read_reply
from callgate.wire.codec.bedrock_converse.streams import ConverseReader
from callgate.wire.codec.bedrock_converse.write import write_request

CONVERSE: Final = Upstream(
    name="bedrock_converse",
    write_request=write_request,
    read_reply=read_reply,
    reader=ConverseReader,
)
