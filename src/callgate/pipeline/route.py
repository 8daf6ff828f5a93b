"""Route: pick who serves the call, and fall back to the next when it cannot."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

import msgspec

from callgate.call import Candidate, Reply
from callgate.config.policies import Settings
from callgate.errors import Denied, Exhausted, Failed, Reason
from callgate.pipeline.matrix import strategy_of
from callgate.pipeline.stage import Held, Next, Passage, staged
from callgate.wire import Format

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
        fitting = self._fitting(passage)
        for n, candidate in enumerate(fitting, 1):
            passage.candidate, passage.others = candidate, len(fitting) - n
            opening = next(passage)
            try:
                reply = await opening.__aenter__()
            except Failed as failure:
                failures.append(failure)
                if not strategy_of(failure).falls_back:
                    break
                continue
            async with Held(opening):
                yield reply
            return
        last = failures[-1]
        raise _exhausted(failures) if len(failures) > 1 and strategy_of(last).falls_back else last

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
