"""Parse: read what the request says about itself; refuse what cannot be read."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from callgate.pipeline.stage import Passage
from callgate.wire import Format


class Parse(msgspec.Struct, frozen=True, kw_only=True):
    """Turn the bytes of a call into a request, once."""

    formats: Mapping[str, Format]

    def guard(self, passage: Passage, /) -> None:
        """Read the request; a flaw that the door found is told here, so that it leaves a row."""
        call = passage.call
        if call.flaw is not None:
            raise call.flaw
        format = self.formats[call.format]
        passage.request = format.parse(call.body, model=call.model, stream=call.stream)
