"""Explaining: where a request would go, in which order, and why, without sending it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from callgate.call import Caller, Candidate, Claims, ModelCall, new_id
from callgate.clock import Clock
from callgate.config.policies import Preference, Settings
from callgate.errors import Refused
from callgate.pipeline.choosing import Choosing, Weighed
from callgate.pipeline.drafting import Drafting
from callgate.pipeline.identify import new_task, task_policy
from callgate.pipeline.permission import permitted
from callgate.pipeline.rights import rights
from callgate.pipeline.stage import ModelPassage
from callgate.store import Block
from callgate.wire import Format


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """Who would ask for what."""

    agent: str
    task_type: str | None
    format: str
    body: bytes
    model: str = ""
    """The model, where the format has it outside of the body (Gemini)."""


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate on the way, in the order in which they are asked."""

    weighed: Weighed
    blocks: Sequence[Block]
    """Why it, or one of its keys, is not asked for now."""
    changes: Sequence[str] = ()
    """How the request would differ from what was asked."""
    keys: int = 1
    refused: str | None = None
    """Why it would be passed over; None where it would be asked."""


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    model: str
    prefer: Preference
    stops: Sequence[Stop]


class Explaining(msgspec.Struct, frozen=True, kw_only=True):
    """Walks a route as the road does."""

    settings: Settings
    formats: Mapping[str, Format]
    choosing: Choosing
    drafting: Drafting
    clock: Clock

    def explain(self, asking: Asking, blocks: Sequence[Block]) -> Explained:
        """Return who would be asked, in order.

        Args:
            asking: The request and who sends it.
            blocks: Who is not asked for now.

        Raises:
            Refused: Nobody would be, as it cannot be read or the agent may not ask for it.
        """
        passage = self._passage(asking)
        request, policy = passage.request, passage.policy
        assert request is not None
        assert policy is not None
        ordered = self.choosing.ordered(passage)
        return Explained(
            model=request.model,
            prefer=self.choosing.preference(request.model, policy),
            stops=[self._stop(candidate, passage, blocks) for candidate in ordered],
        )

    def _stop(self, candidate: Candidate, passage: ModelPassage, blocks: Sequence[Block]) -> Stop:
        stop = Stop(
            weighed=self.choosing.weighed(candidate, passage),
            blocks=[block for block in blocks if _is_about(block, candidate)],
            keys=len(self.settings.providers[candidate.provider].keys),
        )
        try:
            drafts = self.drafting.drafts(passage, candidate)
        except Refused as refused:
            return msgspec.structs.replace(stop, refused=refused.message)
        return msgspec.structs.replace(stop, changes=drafts[0].changes)

    def _passage(self, asking: Asking) -> ModelPassage:
        caller = Caller(agent=asking.agent)
        claims = Claims(task_type=asking.task_type)
        format = self.formats[asking.format]
        request = format.parse(asking.body, model=asking.model)
        now = self.clock.now()
        task = new_task(self.settings, caller, claims, started_at=now)
        call = ModelCall(
            id=new_id("call"),
            door="cli",
            caller=caller,
            claims=claims,
            started_at=now,
            format=asking.format,
            body=asking.body,
            model=asking.model,
        )
        given = rights(self.settings, "models", agent=asking.agent, task_type=task.type)
        return ModelPassage(
            call=call,
            task=task,
            policy=task_policy(self.settings, task.type),
            request=request,
            candidates=permitted(self.settings, given, request.model, api=format.api),
        )


def _is_about(block: Block, candidate: Candidate) -> bool:
    """Whether a block is one of a candidate: of its provider or model, for all keys or for one."""
    return block.subject.partition("#")[0] in {candidate.provider, candidate.name}
