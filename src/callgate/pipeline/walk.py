"""The ways that lead to an answer: each candidate, with each key and service tier, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from callgate.call import Candidate, Reply
from callgate.errors import (
    BadCredential,
    BreakerOpen,
    Failed,
    Quarantined,
    RateLimited,
    Refused,
)
from callgate.pipeline.drafting import Drafting
from callgate.pipeline.stage import Draft, ModelPassage

OF_A_KEY: Final = (RateLimited, BreakerOpen, BadCredential, Quarantined)
"""Failures of which another key may know nothing."""


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way to an answer."""

    candidate: Candidate
    draft: Draft
    key: str | None
    """The reference of the key that is used."""
    has_other_key: bool = False
    """Whether the next way is the same one with another key."""


class Walk:
    """The ways of one call, each drafted when it is its turn.

    A translation costs more than a look at a provider's name, and most calls need none.
    """

    def __init__(
        self, passage: ModelPassage, candidates: Sequence[Candidate], drafting: Drafting
    ) -> None:
        self._passage = passage
        self._drafting = drafting
        self._left = list(reversed(candidates))
        self._drawn: list[Way] = []
        self._flaw: str | None = None
        self.unfit: list[Refused] = []
        """Why candidates were passed over."""
        self.kept: Reply | None = None
        """A whole reply with a flaw, for when nobody has a better one."""

    def __iter__(self) -> Iterator[Way]:
        """Give the ways; the passage is told of each before it is taken."""
        passage = self._passage
        passage.has_others = self.has_others
        while self.has_more():
            way = self._drawn.pop()
            passage.candidate, passage.draft = way.candidate, way.draft
            passage.key, passage.has_other_key = way.key, way.has_other_key
            yield way

    def end(self) -> None:
        """Let go of the passage, which knows this walk: a request of many bytes waits for no collector."""
        self._passage.has_others = bool

    def has_more(self) -> bool:
        """Whether another way is left."""
        while not self._drawn and self._left:
            try:
                self._draw(self._left.pop())
            except Refused as unfit:
                self.unfit.append(unfit)
        return bool(self._drawn)

    def has_others(self) -> bool:
        """Whether a way is left besides those that only use another key."""
        draft = self._passage.draft
        if any(way.draft is not draft for way in self._drawn):
            return True
        others_keys, self._drawn = self._drawn, []
        found = self.has_more()
        self._drawn += others_keys
        return found

    def has_other_candidate(self) -> bool:
        """Whether another candidate is left, by any way; its ways are all that are, from then on."""
        self._drawn = [way for way in self._drawn if way.candidate != self._passage.candidate]
        return self.has_more()

    def pass_over(self, cause: Failed | Refused) -> None:
        """Leave out the ways that would come to the same as the one that was taken last.

        Args:
            cause: What it came to. A refusal is one of the candidate, and most failures are too; some are
                of the key alone.
        """
        if not isinstance(cause, OF_A_KEY):
            draft = self._passage.draft
            self._drawn = [way for way in self._drawn if way.draft is not draft]

    def escalate(self, flaw: str, kept: Reply) -> None:
        """Go on with the other candidates, as a reply has a flaw; that reply is kept.

        Args:
            flaw: What is wrong with it.
            kept: The reply.
        """
        self._flaw, self.kept = flaw, kept
        self._drawn = [_escalated(way, flaw) for way in self._drawn]

    def _draw(self, candidate: Candidate) -> None:
        *cheaper, usual = self._drafting.drafts(self._passage, candidate)
        first, *others = self._drafting.keys(self._passage, candidate)
        # The last is drawn first.
        ways = [
            Way(candidate=candidate, draft=usual, key=key, has_other_key=n > 0)
            for n, key in enumerate(reversed(others))
        ]
        ways.append(Way(candidate=candidate, draft=usual, key=first, has_other_key=bool(others)))
        # A service tier that costs less is tried with one key: what it lacks is room for anybody.
        ways += [Way(candidate=candidate, draft=each, key=first) for each in reversed(cheaper)]
        self._drawn = ways if self._flaw is None else [_escalated(way, self._flaw) for way in ways]


def _escalated(way: Way, flaw: str) -> Way:
    draft = msgspec.structs.replace(way.draft, changes=(f"escalated={flaw}", *way.draft.changes))
    return msgspec.structs.replace(way, draft=draft)
