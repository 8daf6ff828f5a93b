"""Parse: read what the request says about itself; refuse what cannot be read."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import msgspec

from callgate.call import Reply
from callgate.pipeline.stage import Next, Passage
from callgate.wire import Format


class Parse(msgspec.Struct, frozen=True, kw_only=True):
    """Turn the bytes of a call into a request, once."""

    formats: Mapping[str, Format]

    @asynccontextmanager
    async def __call__(self, passage: Passage, next: Next, /) -> AsyncGenerator[Reply]:
        """Read the request; a flaw that the door found is told here, so that it leaves a row."""
        call = passage.call
        if call.flaw is not None:
            raise call.flaw
        passage.request = self.formats[call.format].parse(call.body)
        async with next(passage) as reply:
            yield reply
