"""Execute: hand the attempt to its provider; the only stage that reaches outside."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

import msgspec

from callgate.call import Reply
from callgate.clock import Clock
from callgate.config.policies import Settings
from callgate.pipeline.stage import Passage, staged
from callgate.providers import Outgoing, Provider
from callgate.wire import Format


class Execute(msgspec.Struct, frozen=True, kw_only=True):
    """The end of the road."""

    settings: Settings
    formats: Mapping[str, Format]
    providers: Mapping[str, Provider]
    clock: Clock

    @staged
    async def __call__(self, passage: Passage, /) -> AsyncGenerator[Reply]:
        """Write the request as it leaves, and open the provider's reply."""
        candidate, attempt, request = passage.candidate, passage.attempt, passage.request
        assert candidate is not None
        assert attempt is not None
        assert request is not None
        format = self.formats[passage.call.format]
        policy = self.settings.providers[candidate.provider]
        rewrite = format.rewrite(
            request,
            model=candidate.model,
            output_tokens=attempt.output_tokens,
            limit_field=policy.limit_field,
        )
        passage.changes = rewrite.changes
        passage.limited_to = attempt.output_tokens
        outgoing = Outgoing(
            format=format,
            request=request,
            body=rewrite.body,
            headers=passage.call.headers,
            credential=passage.credential,
            believed=policy.reported_cost,
        )
        async with self.providers[candidate.provider].open(outgoing) as reply:
            passage.opened_at = self.clock.now()
            yield reply
