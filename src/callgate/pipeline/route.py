"""Route: pick who serves the call, and fall back to the next when it cannot."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import msgspec

from callgate.call import Candidate, Reply
from callgate.errors import Exhausted, Failed, OverBudget, OverLimit, Refused, Unbounded, Unpriced
from callgate.pipeline.choosing import Choosing
from callgate.pipeline.drafting import Drafting
from callgate.pipeline.earlier import EarlierReplies
from callgate.pipeline.escalation import Escalation
from callgate.pipeline.matrix import strategy_of
from callgate.pipeline.stage import Held, ModelPassage, Next, ToolPassage, is_of_provider, staged
from callgate.pipeline.walk import Walk

Cause = Failed | Refused


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Walk the ways that lead to candidates, in order."""

    choosing: Choosing
    drafting: Drafting
    escalation: Escalation
    earlier: EarlierReplies

    @staged
    async def __call__(self, passage: ModelPassage, next: Next, /) -> AsyncGenerator[Reply]:
        """Open the first way that leads to an answer; never switch after the first content."""
        passage.earlier = self.earlier.find(passage)
        causes: list[Cause] = []
        walk = Walk(passage, self.choosing.ordered(passage), self.drafting)
        for _ in walk:
            opening = next(passage)
            try:
                reply = await opening.__aenter__()
            except (Failed, Refused) as cause:
                causes.append(cause)
                if not _leads_on(cause, passage):
                    break
                walk.pass_over(cause)
                continue
            flaw = None if walk.kept else self.escalation.flaw(passage, reply)
            if flaw is None or not walk.has_other_candidate():
                walk.end()
                kept = self.earlier.begin(passage, reply)
                try:
                    async with Held(opening):
                        yield reply
                finally:
                    if kept is not None:
                        self.earlier.end(kept)
                return
            await self.escalation.close(passage, opening)
            walk.escalate(flaw, reply)
        walk.end()
        if walk.kept is None:
            raise _outcome(causes, walk.unfit)
        # Nobody more capable can answer, and this is an answer, with its flaw.
        yield walk.kept


class RouteTool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool is served by where it comes from, and by nobody else."""

    def guard(self, passage: ToolPassage, /) -> None:
        """Name the one way there is."""
        tool = passage.tool
        assert tool is not None
        passage.candidate = Candidate(provider=tool.toolset, model=tool.remote_name)
        passage.key = tool.key


def _leads_on(cause: Cause, passage: ModelPassage) -> bool:
    """Whether another candidate may do what this one could not."""
    if isinstance(cause, Failed):
        return strategy_of(cause).falls_back
    if isinstance(cause, OverLimit):
        return is_of_provider(cause, passage)
    return isinstance(cause, OverBudget | Unpriced | Unbounded)


def _outcome(causes: Sequence[Cause], unfit: Sequence[Refused]) -> Cause:
    """Return what to tell where nobody has answered: a refusal says what would have helped."""
    if not causes:
        return unfit[0]
    last, failures = causes[-1], [cause for cause in causes if isinstance(cause, Failed)]
    if not failures:
        return causes[0]
    if isinstance(last, Refused) or not strategy_of(last).falls_back:
        return last
    all_causes = (*causes, *unfit)
    if len(all_causes) == 1:
        return last
    told = "; ".join(cause.message for cause in all_causes)
    return Exhausted(f"all {len(all_causes)} candidates failed: {told}", failures)
