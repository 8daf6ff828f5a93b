"""Route: pick who serves the call, and fall back to the next when it cannot."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator

import msgspec

from callgate.call import Candidate, Reply
from callgate.errors import Exhausted, Failed, Refused
from callgate.pipeline.drafting import Drafting
from callgate.pipeline.matrix import strategy_of
from callgate.pipeline.stage import Draft, Held, Next, Passage, staged


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Walk the candidates in order."""

    drafting: Drafting

    @staged
    async def __call__(self, passage: Passage, next: Next, /) -> AsyncGenerator[Reply]:
        """Open the first candidate that answers; never switch after the first content."""
        failures: list[Failed] = []
        walk = Walk(self.drafting, passage)
        passage.has_others = walk.has_more
        for candidate, draft in walk:
            passage.candidate, passage.draft = candidate, draft
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
        raise _outcome(failures, walk.unfit)


class Walk:
    """The candidates that can take a call, each drafted when it is its turn.

    A translation costs more than a look at a provider's name, and most calls need none.
    """

    def __init__(self, drafting: Drafting, passage: Passage) -> None:
        self._drafting = drafting
        self._passage = passage
        self._left = list(reversed(passage.candidates))
        self._drawn: tuple[Candidate, Draft] | None = None
        self.unfit: list[Refused] = []
        """Why others were passed over."""

    def __iter__(self) -> Iterator[tuple[Candidate, Draft]]:
        """Give each candidate with the request as it would get it."""
        while self.has_more():
            drawn, self._drawn = self._drawn, None
            assert drawn is not None
            yield drawn

    def has_more(self) -> bool:
        """Whether another one is left that can take the call."""
        while self._drawn is None and self._left:
            candidate = self._left.pop()
            try:
                self._drawn = candidate, self._drafting.draft(self._passage, candidate)
            except Refused as unfit:
                self.unfit.append(unfit)
        return self._drawn is not None


def _outcome(failures: list[Failed], unfit: list[Refused]) -> Failed | Refused:
    """Return what to tell where nobody has answered."""
    if not failures:
        return unfit[0]
    last = failures[-1]
    if not strategy_of(last).falls_back or len(failures) + len(unfit) == 1:
        return last
    told = "; ".join(each.message for each in (*failures, *unfit))
    return Exhausted(f"all {len(failures) + len(unfit)} candidates failed: {told}", failures)
