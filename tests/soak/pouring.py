"""Whether money that is left can be spent: calls that fit, one after the other, until none does."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

import aiohttp
import msgspec

from tests.soak.books import Books
from tests.soak.load import Refused

INPUT_NANO, OUTPUT_NANO = 5_000, 30_000
"""What a token of the model costs."""

FRAME_TOKENS: Final = 160
"""More than the gate adds to a short request for what stands around a message."""

LEVELS: Final = """
    SELECT scope, cap_nano, spent_nano, held_nano FROM ledger
    WHERE scope IN (?, ?, 'gate') AND ("window" = 'all' OR "window" LIKE 'day%')
    AND coalesce(starts_at, 0) <= ? AND coalesce(ends_at, ?) >= ?
"""


class Pot(msgspec.Struct, frozen=True, kw_only=True):
    """Whose money is to be spent."""

    task: str
    type: str
    user: str
    tokens: int
    """Output tokens of one call."""


class Level(msgspec.Struct, frozen=True):
    """A budget, as its rows tell from outside."""

    scope: str
    cap: int
    spent: int
    held: int


class Pouring:
    """Spends through gates, one call after the other.

    Args:
        books: Where it is seen what is left.
        sessions: At each gate.
        key: What opens them.
        caps: As the settings say them, by the beginning of scope and window.

    Attributes:
        gate_nano: What the whole gate may spend in a day.
    """

    def __init__(
        self,
        books: Books,
        sessions: Sequence[aiohttp.ClientSession],
        *,
        key: str,
        caps: Mapping[str, int],
    ) -> None:
        self._books = books
        self._sessions = sessions
        self._key = key
        self._user_nano = caps["user:|day"]
        self.gate_nano = caps["gate|day"]

    async def pour(self, pot: Pot) -> str:
        """Spend until a call is refused; return whose budget is full.

        No call is refused that fits into every budget, and a refusal tells what the rows say.
        """
        body = _body(pot)
        bound = (len(body) + FRAME_TOKENS) * INPUT_NANO + pot.tokens * OUTPUT_NANO
        for poured in range(1_000):
            levels = self._levels(pot)
            fits = all(bound <= level.cap - level.spent - level.held for level in levels)
            session = self._sessions[poured % len(self._sessions)]
            status, told = await self._ask(session, pot, body)
            if status == 402:
                assert not fits, (told, levels)
                return _judge(told, levels, bound=bound)
            assert status == 200, (status, told)
        raise AssertionError(pot)

    def _levels(self, pot: Pot) -> list[Level]:
        now = int(time.time() * 1e6)
        rows = self._books.ask(LEVELS, (f"task:{pot.task}", f"user:{pot.user}", now, now, now))
        of_the_day = {"gate": self.gate_nano, f"user:{pot.user}": self._user_nano}
        return [
            Level(scope, of_the_day[scope] if cap is None else cap, spent, held)
            for scope, cap, spent, held in rows
        ]

    async def _ask(
        self, session: aiohttp.ClientSession, pot: Pot, body: bytes
    ) -> tuple[int, bytes]:
        headers = {
            "authorization": f"Bearer {self._key}",
            "callgate-task": pot.task,
            "callgate-task-type": pot.type,
            "callgate-user": pot.user,
        }
        async with session.post("/v1/chat/completions", data=body, headers=headers) as reply:
            return reply.status, await reply.read()


def _judge(told: bytes, levels: Sequence[Level], *, bound: int) -> str:
    """Return whose budget a refusal names, which is full but for less than one call."""
    refusal = msgspec.json.decode(told, type=Refused).callgate
    (level,) = [level for level in levels if level.scope == refusal.scope]
    assert (refusal.limit, refusal.used, refusal.held) == (level.cap, level.spent, 0)
    assert refusal.is_true
    assert refusal.needed <= bound
    return refusal.scope.partition(":")[0]


def _body(pot: Pot) -> bytes:
    return msgspec.json.encode({
        "model": "smart", "max_tokens": pot.tokens,
        "messages": [{"role": "user", "content": f"{pot.task} whole{pot.tokens}"}],
    })  # fmt: skip
