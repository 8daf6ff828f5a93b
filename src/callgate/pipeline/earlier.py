"""Earlier replies that requests go on from: who made them, for whom, and how long they are."""

from __future__ import annotations

import msgspec

from callgate.call import Candidate, Meter, Reply
from callgate.errors import Denied, Reason, Unknown
from callgate.pipeline.stage import ModelPassage
from callgate.store import MadeReply, Store
from callgate.store.replies import KEPT

WHOLE = "send the whole conversation as input, without previous_response_id"


class Telling(msgspec.Struct, frozen=True, kw_only=True):
    """A reply that is being read: its row in the store does not tell of it yet."""

    candidate: Candidate
    agent: str
    user: str | None
    meter: Meter


class EarlierReplies:
    """Finds the replies that requests go on from, also those whose last event is on its way."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open: dict[str, Telling] = {}

    def find(self, passage: ModelPassage) -> MadeReply | None:
        """Return the reply that a request goes on from; None where it begins anew.

        Raises:
            Unknown: This gate made none of that id for this agent and user.
        """
        assert passage.request is not None
        assert passage.task is not None
        id = passage.request.earlier
        if id is None:
            return None
        made = self._told(id) or self._store.find_reply(id)
        whose = (passage.call.caller.agent, passage.task.user)
        # Whether another agent has one is nobody's business.
        if made is None or (made.agent, made.user) != whose:
            raise _unknown(id)
        return made

    def begin(self, passage: ModelPassage, reply: Reply) -> str | None:
        """Let requests go on from a reply while it is read; return its id if they can, to end that."""
        id = reply.meter.reply_id or ""
        draft, candidate, task = passage.draft, passage.candidate, passage.task
        assert draft is not None
        assert candidate is not None
        assert task is not None
        if draft.way_back is not None or not id.startswith(KEPT):
            return None
        agent = passage.call.caller.agent
        self._open[id] = Telling(
            candidate=candidate, agent=agent, user=task.user, meter=reply.meter
        )
        return id

    def end(self, id: str) -> None:
        """Say that a reply is settled: from now on its row tells of it."""
        # Some servers give several replies one id.
        self._open.pop(id, None)

    def _told(self, id: str) -> MadeReply | None:
        told = self._open.get(id)
        if told is None:
            return None
        usage = told.meter.usage
        tokens = None if usage is None else usage.total_input_tokens + usage.total_output_tokens
        return MadeReply(candidate=told.candidate, agent=told.agent, user=told.user, tokens=tokens)


def refuse_elsewhere(passage: ModelPassage, candidate: Candidate) -> None:
    """Refuse a candidate that has not kept the reply that a request goes on from.

    Raises:
        Denied: Another provider made it.
    """
    made = passage.earlier
    if made is None or made.candidate.provider == candidate.provider:
        return
    fix = f"ask for a model of {made.candidate.provider}, or {WHOLE}"
    msg = (
        f"{candidate.name} cannot go on from a response that {made.candidate.provider} has made and "
        f"kept; {fix}"
    )
    reason = Reason(code="kept_elsewhere", rule="models", scope=candidate.name, fix=fix)
    raise Denied(msg, reason=reason)


def beside_tokens(passage: ModelPassage, candidate: Candidate) -> int | None:
    """Return the tokens that an earlier reply adds to a request; None where nobody knows.

    Another model may count the same words otherwise.
    """
    made = passage.earlier
    if made is None:
        return 0
    return made.tokens if made.candidate.model == candidate.model else None


def _unknown(id: str) -> Unknown:
    msg = (
        f"this gate has made no response {id[:80]!r} for this agent and user, so it cannot tell who "
        f"has kept it, nor what it adds to the cost; {WHOLE}"
    )
    return Unknown(msg, reason=Reason(code="unknown_response", fix=WHOLE))
