"""Execute: hand the attempt to its provider; the only stage that reaches outside."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

import msgspec

from callgate.call import Reply
from callgate.clock import Clock
from callgate.config.policies import Settings
from callgate.errors import Failed
from callgate.pipeline.stage import Passage, staged
from callgate.providers import Outgoing, Provider
from callgate.wire.codec.losses import lost


class Execute(msgspec.Struct, frozen=True, kw_only=True):
    """The end of the road."""

    settings: Settings
    providers: Mapping[str, Provider]
    clock: Clock

    @staged
    async def __call__(self, passage: Passage, /) -> AsyncGenerator[Reply]:
        """Write the request as it leaves, and open the provider's reply."""
        candidate, attempt, draft = passage.candidate, passage.attempt, passage.draft
        assert candidate is not None
        assert attempt is not None
        assert draft is not None
        policy = self.settings.providers[candidate.provider]
        rewrite = draft.format.rewrite(
            draft.request,
            model=candidate.model,
            output_tokens=attempt.output_tokens,
            limit_field=policy.limit_field,
        )
        passage.changes = (*draft.changes, *rewrite.changes)
        passage.limited_to = attempt.output_tokens
        attempt.meter.believed = policy.reported_cost
        outgoing = Outgoing(
            format=draft.format,
            request=draft.request,
            model=candidate.model,
            body=rewrite.body,
            headers=draft.headers,
            credential=passage.credential,
            meter=attempt.meter,
            way_back=draft.way_back,
        )
        try:
            async with self.providers[candidate.provider].open(outgoing) as reply:
                passage.opened_at = self.clock.now()
                yield reply
        except Failed as failure:
            if draft.way_back is not None:
                failure.answer = draft.way_back.answer(failure)
            raise
        finally:
            if draft.way_back is not None:
                lost_back = lost(draft.way_back.losses)
                passage.changes = tuple(dict.fromkeys((*passage.changes, *lost_back)))
