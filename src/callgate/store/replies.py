"""Replies of the past that a request can go on from, as their providers have kept them."""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from callgate.call import Candidate

KEPT: Final = "resp_"
"""How the ids of such replies begin.

Source: OpenAI's API reference of Responses; Azure, vLLM and Ollama make them alike.
"""

IS_KEPT: Final = f"substr(reply_id, 1, 5) = '{KEPT}'"
"""The same as a term of a statement; the index over such replies has it too."""


class MadeReply(msgspec.Struct, frozen=True, kw_only=True):
    """A reply of the past."""

    candidate: Candidate
    """Who made it."""
    agent: str
    """For whom; as is ``user``."""
    user: str | None
    tokens: int | None
    """All that its input and its output had; None where nobody told."""


class Replies(Protocol):
    """What a store knows of them."""

    def find_reply(self, reply_id: str, /) -> MadeReply | None:
        """Return the newest reply of an id that begins as those do that providers keep."""
        ...
