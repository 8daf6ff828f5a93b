"""Tokens a minute: what is expected of an attempt counts, until its end tells what it took."""

from __future__ import annotations

import random
from math import inf

import msgspec
import pytest

from callgate.call import Candidate
from callgate.clock import rfc3339
from callgate.errors import OverLimit
from callgate.store import Intent, Store
from callgate.testing.clocks import FakeClock
from tests.contract.store.making import NOW, ask, make_limit, make_settlement, windows_of

SCOPE = "provider:openai"
USED = 21
"""What the usage of a made settlement adds up to."""


@pytest.fixture
async def limited(store: Store) -> Store:
    """A store where a provider takes 100 tokens a minute."""
    await store.load_limits([make_limit(SCOPE, "tokens_per_minute", 100, waits=True)], 1)
    return store


async def fits(store: Store, intent: Intent) -> bool:
    try:
        await store.admit(intent)
    except OverLimit:
        return False
    return True


async def refused(store: Store, intent: Intent) -> OverLimit:
    with pytest.raises(OverLimit) as error:
        await store.admit(intent)
    return error.value


def used(store: Store) -> int | None:
    return store.limits(windows_of(store.clock.now()))[0].used


async def beat(store: Store, clock: FakeClock) -> None:
    """Let the heartbeat come that is due."""
    await store.end_task("nobody", clock.now())
    await store.end_task("nobody", clock.now())


async def test_no_more_is_let_through_than_a_minute_has_tokens(limited: Store) -> None:
    assert await fits(limited, ask("c1", tokens=40))
    assert await fits(limited, ask("c2", tokens=60, at=NOW + 2))
    error = await refused(limited, ask("c3", tokens=10, at=NOW + 10))
    assert error.reason.rule == "providers.openai.tokens_per_minute"
    assert (error.reason.limit, error.reason.used, error.reason.needed) == (100, 100, 10)
    assert "provider openai has 100, and this call may take 10" in error.message


async def test_a_call_that_does_not_fit_is_told_when_enough_has_left_the_minute(
    limited: Store,
) -> None:
    for second, tokens in enumerate((20, 30, 50)):
        assert await fits(limited, ask(f"c{second}", tokens=tokens, at=NOW + second))
    error = await refused(limited, ask("c4", tokens=45, at=NOW + 10))
    assert error.waits
    assert error.reason.resets_at == rfc3339(NOW + 1 + 61)
    assert error.retry_after_seconds == 52
    assert not await fits(limited, ask("c4", tokens=45, at=NOW + 61.999))
    assert await fits(limited, ask("c4", tokens=45, at=NOW + 62))


async def test_what_a_call_took_counts_instead_of_what_was_expected(limited: Store) -> None:
    assert await fits(limited, ask("c1", tokens=100))
    await limited.settle(make_settlement("c1.1"))
    assert not await fits(limited, ask("c2", tokens=100 - USED + 1))
    assert await fits(limited, ask("c2", tokens=100 - USED))


async def test_a_second_settlement_takes_nothing_off(limited: Store) -> None:
    assert await fits(limited, ask("c1", tokens=100))
    for _ in range(2):
        await limited.settle(make_settlement("c1.1"))
    assert used(limited) == USED


async def test_what_nobody_knows_counts_as_expected(limited: Store) -> None:
    assert await fits(limited, ask("c1", tokens=100))
    await limited.settle(msgspec.structs.replace(make_settlement("c1.1"), usage=None))
    assert not await fits(limited, ask("c2", tokens=1))


async def test_an_outcome_that_comes_late_counts_what_it_took(limited: Store) -> None:
    assert await fits(limited, ask("c1", tokens=100))
    lost = msgspec.structs.replace(make_settlement("c1.1", cost=None), state="unknown", usage=None)
    for settlement in (lost, make_settlement("c1.1")):
        await limited.settle(settlement)
    assert used(limited) == USED


async def test_more_than_a_minute_has_never_fits(limited: Store) -> None:
    error = await refused(limited, ask("c1", tokens=101))
    assert (error.retry_after_seconds, error.waits, error.reason.resets_at) == (inf, False, None)
    assert error.reason.fix == "raise providers.openai.tokens_per_minute in callgate.toml"


async def test_every_attempt_counts_and_every_provider_for_itself(limited: Store) -> None:
    other = Candidate(provider="anthropic", model="claude")
    assert await fits(limited, ask("c1", tokens=90, candidate=other))
    assert await fits(limited, ask("c1", tokens=60, n=2))
    assert not await fits(limited, ask("c1", tokens=60, n=3))


async def test_an_attempt_from_before_the_limit_is_not_corrected(store: Store) -> None:
    await store.admit(ask("c1", tokens=50))
    await store.load_limits([make_limit(SCOPE, "tokens_per_minute", 100)], 1)
    await store.settle(make_settlement("c1.1"))
    assert used(store) == 0
    assert await fits(store, ask("c2", tokens=100))


async def test_no_sixty_seconds_hold_more(limited: Store) -> None:
    rng = random.Random(7)
    at, taken = NOW, list[tuple[float, int]]()
    for number in range(300):
        at += rng.expovariate(0.3)
        tokens = rng.randrange(1, 70)
        if await fits(limited, ask(f"c{number}", tokens=tokens, at=at)):
            taken.append((at, tokens))
        last = sum(each for then, each in taken if at - then <= 60)
        assert last <= 100
    assert len(taken) > 50


async def test_a_clock_that_is_set_back_opens_no_gap(limited: Store, clock: FakeClock) -> None:
    clock.advance(3600)
    await limited.admit(ask("c1", tokens=70, at=clock.now()))
    clock.step(-1800)
    clock.advance(10)
    await beat(limited, clock)
    assert used(limited) == 70
    assert not await fits(limited, ask("c2", tokens=40, at=clock.now() + 30))


async def test_a_minute_that_is_over_is_forgotten(limited: Store, clock: FakeClock) -> None:
    await limited.admit(ask("c1", tokens=70, at=clock.now()))
    clock.advance(3 * 3600)
    await beat(limited, clock)
    assert used(limited) == 0
