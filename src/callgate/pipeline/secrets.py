"""Secrets: put the key into an attempt at the last moment, and nowhere else."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import msgspec

from callgate.call import Reply
from callgate.pipeline.stage import AnyPassage, Next, staged
from callgate.secrets import Secrets as Resolver


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """Resolve the reference of the key that is used for one attempt."""

    resolver: Resolver

    @staged
    async def __call__(self, passage: AnyPassage, next: Next, /) -> AsyncGenerator[Reply]:
        """Open the rest of the road with the key in the passage; take it out after."""
        reference = passage.key
        passage.credential = None if reference is None else self.resolver.resolve(reference)
        try:
            async with next(passage) as reply:
                yield reply
        finally:
            passage.credential = None
