"""Health: who is asked, who is not for a while, and who tries whether it is well again.

What one gate finds is a row of the store, so every gate goes by it. Rows are read once a second, and
only calls to somebody who is blocked cost more than a look into a dictionary.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future
from collections.abc import Container, Mapping
from typing import Any, Final

import msgspec

from callgate.call import Candidate
from callgate.clock import Clock, rfc3339
from callgate.errors import (
    BadCredential,
    BreakerOpen,
    Failed,
    Forbidden,
    NoSuchModel,
    OutOfCredit,
    Quarantined,
    Reason,
)
from callgate.pipeline.matrix import strategy_of
from callgate.store import Block, Probe, Store
from callgate.store.blocks import BlockKind

READ_SECONDS: Final = 1.0
"""How old what is known of other gates' findings may be."""

FAILURES: Final = 10
"""Failures in a row, without one good reply, after which nobody is asked any more.

Fewer come by chance where calls run together and some of them fail: of a provider that fails three
times in ten, five in a row are one in 400 calls, and ten in a row one in 170,000.
"""

CALLS: Final = 4
"""How many calls they must come from: one strange request fails as often as it is tried."""

PROBE_SECONDS: Final = 60.0
"""How long the one who tries may take; then another may."""

FIRST_SECONDS: Final[Mapping[BlockKind, float]] = {"breaker": 5.0, "credit": 60.0, "missing": 60.0}
LONGEST_SECONDS: Final[Mapping[BlockKind, float]] = {
    "breaker": 60.0, "credit": 900.0, "missing": 900.0
}  # fmt: skip
"""Each time in a row a block lasts twice as long; those of other kinds last until they are lifted."""

MOST_SUBJECTS: Final = 4096
"""Names are given by agents; of more than so many nothing is remembered."""

log = logging.getLogger("callgate")


class Asked(msgspec.Struct, frozen=True):
    """Who is asked, and with which credential."""

    candidate: Candidate
    mark: str
    """Tells one credential from another, and nothing else about it."""
    is_settled: bool = False
    """Whether the settings name this very model: then it is the operator's to put right."""

    @property
    def key(self) -> str:
        """The provider, as this credential sees it."""
        return f"{self.candidate.provider}#{self.mark}"

    @property
    def model(self) -> str:
        """The model, as this credential sees it."""
        return f"{self.candidate.name}#{self.mark}"


class Health:
    """Knows who is blocked, and judges by what calls come to.

    Args:
        store: Where every gate finds it.
        clock: Wall time for rows.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._blocks: dict[str, Block] = {}
        self._read_at: float | None = None
        self._failures: dict[str, list[str]] = {}
        self._replaced: set[str] = set()

    @property
    def blocks_nobody(self) -> bool:
        """Whether everybody is asked, as far as this gate knows."""
        return not self._blocks

    async def check(self, asked: Asked) -> Block | None:
        """Let a call pass; return the block that it is to try, if it is the one who tries.

        Raises:
            BreakerOpen: It failed too often, and it is not time yet to try again.
            NoSuchModel: It did not have the model a little while ago.
            Quarantined: Its credential is rejected, its account is empty, or a person said so.
        """
        self._read()
        if not self._blocks:
            return None
        candidate = asked.candidate
        for subject in (candidate.provider, candidate.name, asked.key, asked.model):
            block = self._blocks.get(subject)
            if block is not None:
                return await self._try(asked, block)
        return None

    def went_well(self, asked: Asked, probed: Block | None) -> None:
        """Note a good reply."""
        if self._failures:
            self._failures.pop(asked.model, None)
        if probed is not None:
            self._blocks.pop(probed.subject, None)
            self._submit(self._store.unblock(probed.subject))
            log.warning("%s answers again", probed.subject)

    def note_keys(self, provider: str, marks: Container[str]) -> None:
        """Note which credentials a provider is asked with, as one of them is good.

        What is blocked with any other is still not asked, by gates that have it, but nobody needs
        to do anything about it: its alert is over.
        """
        for block in self._blocks.values():
            name, has_mark, mark = block.subject.partition("#")
            is_its = has_mark and name.partition(":")[0] == provider
            if is_its and mark not in marks and block.subject not in self._replaced:
                self._replaced.add(block.subject)
                self._submit(self._store.resolve_alerts([block.fingerprint], self._clock.now()))

    def let_go(self, probed: Block | None) -> None:
        """Note that a call came to nothing that tells of who was asked: another may try."""
        if probed is not None:
            self._submit(self._store.release_probe(probed.subject))

    def failed(self, asked: Asked, failure: Failed, *, call_id: str, probed: Block | None) -> None:
        """Note a failure, and block who must not be asked again at once."""
        found = self._finding(asked, failure, call_id)
        if found is not None:
            subject, kind = found
            again = probed if probed is not None and probed.subject == subject else None
            self._block(subject, kind, failure, before=again)
        elif probed is not None and not strategy_of(failure).counts:
            # It has answered, whatever it said.
            self.went_well(asked, probed)
        elif probed is not None:
            self._block(probed.subject, probed.kind, failure, before=probed)

    def _finding(self, asked: Asked, failure: Failed, call_id: str) -> tuple[str, BlockKind] | None:
        """Return what a failure means for whom; None where it means nothing yet."""
        if isinstance(failure, BadCredential | OutOfCredit | NoSuchModel):
            return _rejection(asked, failure)
        if not strategy_of(failure).counts:
            return None
        if len(self._failures) >= MOST_SUBJECTS:
            self._failures.clear()
        calls = self._failures.setdefault(asked.model, [])
        calls.append(call_id)
        if len(calls) < FAILURES or len(set(calls)) < CALLS:
            return None
        del self._failures[asked.model]
        return asked.model, "breaker"

    def _block(
        self, subject: str, kind: BlockKind, failure: Failed, *, before: Block | None
    ) -> None:
        now, times = self._clock.now(), 1 if before is None else before.times + 1
        first, longest = FIRST_SECONDS.get(kind), LONGEST_SECONDS.get(kind)
        lasts = None if first is None or longest is None else min(longest, first * 2 ** (times - 1))
        block = Block(
            subject=subject,
            kind=kind,
            reason=failure.message,
            times=times,
            since=now if before is None else before.since,
            until=None if lasts is None else now + lasts,
        )
        self._blocks[subject] = block
        self._submit(self._store.block(block))
        until = "somebody lifts it" if block.until is None else rfc3339(block.until)
        log.warning("%s is not asked until %s (%s): %s", subject, until, kind, failure.message)

    async def _try(self, asked: Asked, block: Block) -> Block:
        """Be the one who tries whether a block is still needed.

        Raises:
            BreakerOpen: Somebody else is, or it is not time yet.
            Quarantined: It is not lifted by trying.
        """
        now = self._clock.now()
        if block.until is None:
            raise _quarantined(asked, block)
        if now >= block.until:
            probe = Probe(subject=block.subject, now=now, until=now + PROBE_SECONDS)
            if await self._claims(probe, block):
                return block
        raise _open(asked, block, now=now)

    async def _claims(self, probe: Probe, block: Block) -> bool:
        """Return whether this call is the one who tries; one that is cancelled lets go."""
        claimed = self._store.claim_probe(probe)
        try:
            return await asyncio.shield(claimed)
        except asyncio.CancelledError:
            claimed.add_done_callback(lambda _: self.let_go(block))
            raise

    def _read(self) -> None:
        """Learn what other gates have found, once in a while."""
        now = self._clock.monotonic()
        if self._read_at is None or now - self._read_at >= READ_SECONDS:
            self._read_at = now
            self._blocks = {block.subject: block for block in self._store.blocks()}

    def _submit(self, written: Future[Any]) -> None:
        written.add_done_callback(_note)


def _rejection(
    asked: Asked, failure: BadCredential | OutOfCredit | NoSuchModel
) -> tuple[str, BlockKind] | None:
    """Return who need not be asked again, as the answer would be the same."""
    if isinstance(failure, Forbidden):
        return asked.model, "model"
    if isinstance(failure, BadCredential):
        return asked.key, "credential"
    if isinstance(failure, OutOfCredit):
        return (asked.model if failure.some_left else asked.key), "credit"
    return (asked.model, "missing") if asked.is_settled else None


def _note(written: Future[Any]) -> None:
    if not written.cancelled() and (error := written.exception()) is not None:
        log.warning("other gates were not told who is blocked: %s", error)


def _open(asked: Asked, block: Block, *, now: float) -> BreakerOpen | NoSuchModel | Quarantined:
    if block.kind == "credit":
        return _quarantined(asked, block)
    if block.kind == "missing":
        return NoSuchModel(_told(asked, block), billed=False, reason=_reason(asked, block))
    assert block.until is not None
    wait = max(1.0, block.until - now)
    fix = f"wait until {rfc3339(now + wait)}, or {block.closing}"
    msg = (
        f"{asked.candidate.name} is not asked for now, as it failed again and again "
        f"({block.reason}); {fix}"
    )
    reason = Reason(
        code="breaker_open",
        rule=f"providers.{asked.candidate.provider}",
        scope=block.subject,
        resets_at=rfc3339(now + wait),
        fix=fix,
    )
    return BreakerOpen(msg, billed=False, retry_after_seconds=wait, reason=reason)


def _quarantined(asked: Asked, block: Block) -> Quarantined:
    return Quarantined(_told(asked, block), billed=False, reason=_reason(asked, block))


def _told(asked: Asked, block: Block) -> str:
    return f"{asked.candidate.name} is not asked ({block.reason}); {block.fix}"


def _reason(asked: Asked, block: Block) -> Reason:
    return Reason(
        code="no_such_model" if block.kind == "missing" else "quarantined",
        rule=f"providers.{asked.candidate.provider}",
        scope=block.subject,
        fix=block.fix,
    )
