"""Breaker: do not ask who is known to be unwell, and note who is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable

import msgspec

from callgate.call import Candidate, Reply
from callgate.errors import BadCredential, Failed, Forbidden
from callgate.pipeline.health import Asked, Health
from callgate.pipeline.stage import AnyPassage, Next, staged
from callgate.secrets import Secrets

KeysOf = Callable[[str], Iterable[str | None]]
"""Takes who serves, and returns the references of all keys that it is asked with."""


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """Keep attempts from providers that fail, and from keys that are rejected."""

    resolver: Secrets
    health: Health
    is_settled: Callable[[Candidate], bool]
    """Tells whether the settings say who serves, whoever asks."""
    keys: KeysOf

    @staged
    async def __call__(self, passage: AnyPassage, next: Next, /) -> AsyncGenerator[Reply]:
        """Let an attempt pass unless its provider, model or key is blocked; judge it by its end."""
        candidate = passage.candidate
        assert candidate is not None
        reference = passage.key
        mark = self._mark(reference)
        asked = Asked(candidate, mark, is_settled=self.is_settled(candidate))
        probed = await self.health.check(asked)
        try:
            async with next(passage) as reply:
                yield reply
        except Failed as failure:
            if self._is_renewed(failure, reference, asked):
                self.health.let_go(probed)
            else:
                self.health.failed(asked, failure, call_id=passage.call.id, probed=probed)
            raise
        except BaseException:
            # Refused, or cancelled: nobody has been asked to the end.
            self.health.let_go(probed)
            raise
        self.health.went_well(asked, probed)
        if not self.health.blocks_nobody:
            marks = {mark, *map(self._mark, self.keys(candidate.provider))}
            self.health.note_keys(candidate.provider, marks)

    def _is_renewed(self, failure: Failed, reference: str | None, asked: Asked) -> bool:
        """Note whether another key stands by now in the place of one that was rejected."""
        if isinstance(failure, BadCredential) and not isinstance(failure, Forbidden):
            failure.renewed = self._mark(reference) != asked.mark
            return failure.renewed
        return False

    def _mark(self, reference: str | None) -> str:
        return "" if reference is None else self.resolver.mark(reference)
