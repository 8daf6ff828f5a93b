"""Escalation: a reply with a flaw goes once to the next candidate, the more capable one."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Final

import msgspec

from callgate.call import Reply
from callgate.config.policies import Flaw, Settings
from callgate.errors import BrokenReply, Malformed
from callgate.pipeline.schemas import Schema
from callgate.pipeline.stage import ModelPassage
from callgate.wire.codec import Home, Origin
from callgate.wire.codec.canonical import Completion, Minter, ToolUse
from callgate.wire.codec.replies import words_of
from callgate.wire.codec.translate import CODECS
from callgate.wire.replies import CUT

NOBODY: Final = Minter(provider="", account="")
"""Signatures play no part in what is looked at."""


class Escalation(msgspec.Struct, frozen=True, kw_only=True):
    """Looks at plain replies where a route says so; a stream has been read when its flaw shows."""

    settings: Settings

    def flaw(self, passage: ModelPassage, reply: Reply) -> Flaw | None:
        """Return what of a reply calls for a more capable candidate; None where nothing does."""
        request = passage.request
        assert request is not None
        route = self.settings.models.get(request.model)
        if route is None or not route.escalate or reply.body is None:
            return None
        if "length" in route.escalate and reply.meter.finish_reason in CUT:
            return "length"
        if "schema" in route.escalate and not _is_as_asked(passage, reply.body):
            return "schema"
        return None

    async def close(
        self, passage: ModelPassage, opening: AbstractAsyncContextManager[Reply]
    ) -> None:
        """End the attempt, which is paid, and not the call."""
        passage.goes_on = True
        await opening.__aexit__(None, None, None)
        passage.goes_on = False


def _is_as_asked(passage: ModelPassage, body: bytes) -> bool:
    """Whether a reply's words are JSON as the request's schema says, where it has one."""
    call = passage.call
    codec = CODECS.get(call.format)
    if codec is None:
        return True
    home = Home(minter=None, model=call.model, stream=call.stream)
    try:
        shape = codec.read_request(call.body, home).params.shape
        if shape is None or shape.schema is None:
            return True
        completion = codec.read_reply(body, Origin(minter=NOBODY, seed=call.id))
        schema = Schema(msgspec.json.decode(shape.schema))
    except (Malformed, BrokenReply, ValueError):
        # Who cannot be read cannot be judged, and a schema that is none says nothing of the reply.
        return True
    return _fits(completion, schema)


def _fits(completion: Completion, schema: Schema) -> bool:
    if completion.finish != "stop" or any(isinstance(part, ToolUse) for part in completion.parts):
        return True
    try:
        value = msgspec.json.decode(words_of(completion))
    except (msgspec.DecodeError, RecursionError):
        return False
    return schema.allows(value)
