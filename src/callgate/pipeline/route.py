"""Route: pick who serves the call, and fall back to the next when it cannot."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

import msgspec

from callgate.call import Candidate, Reply
from callgate.config.policies import Settings
from callgate.errors import (
    BadCredential,
    Denied,
    Exhausted,
    Failed,
    NoSuchModel,
    OutOfCredit,
    Reason,
    Transient,
)
from callgate.pipeline.stage import Held, Next, Passage, staged
from callgate.wire import Format

FALLS_BACK = (Transient, NoSuchModel, BadCredential, OutOfCredit)
"""Failures that say something about the provider, not about the request."""

FORMAT_OF_API = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
"""Where an agent asks for the models of an api."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Walk the candidates in order."""

    settings: Settings
    formats: Mapping[str, Format]

    @staged
    async def __call__(self, passage: Passage, next: Next, /) -> AsyncGenerator[Reply]:
        """Open the first candidate that answers; never switch after the first content."""
        failures: list[Failed] = []
        for candidate in self._fitting(passage):
            passage.candidate = candidate
            opening = next(passage)
            try:
                reply = await opening.__aenter__()
            except FALLS_BACK as failure:
                failures.append(failure)
                continue
            async with Held(opening):
                yield reply
            return
        raise failures[0] if len(failures) == 1 else _exhausted(failures)

    def _fitting(self, passage: Passage) -> list[Candidate]:
        """Return the candidates that speak the call's format."""
        api = self.formats[passage.call.format].api
        providers = self.settings.providers
        fitting = [c for c in passage.candidates if providers[c.provider].api == api]
        if fitting:
            return fitting
        others = {providers[c.provider].api for c in passage.candidates}
        names = ", ".join(c.name for c in passage.candidates)
        places = " or ".join(FORMAT_OF_API[other] for other in sorted(others))
        msg = (
            f"{names} cannot answer a request in the format {passage.call.format}; ask at {places}"
        )
        raise Denied(msg, reason=Reason(code="other_format", rule="models", fix=f"ask at {places}"))


def _exhausted(failures: list[Failed]) -> Exhausted:
    told = "; ".join(failure.message for failure in failures)
    return Exhausted(f"all {len(failures)} candidates failed: {told}", failures)
