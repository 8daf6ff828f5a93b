"""How candidates have done lately, on both databases."""

from __future__ import annotations

import msgspec

from callgate.call import Candidate
from callgate.store import AttemptState, Performance, Store
from tests.contract.store.making import NOW, make_intent, make_settlement, make_task

GPT = Candidate(provider="openai", model="gpt-5.5")


async def serve(
    store: Store,
    call: str,
    *,
    state: AttemptState = "ok",
    status: int | None = 200,
    wait: float | None = 1.0,
    at: float = NOW,
) -> None:
    intent = make_intent(make_task(), call, sent_at=at)
    await store.admit(msgspec.structs.replace(intent, candidate=GPT))
    settlement = make_settlement(f"{call}.1")
    first = None if wait is None else at + wait
    await store.settle(
        msgspec.structs.replace(
            settlement, state=state, http_status=status, first_byte_at=first, ended_at=at + 9
        )
    )


async def test_half_of_the_first_contents_came_within_what_is_told(store: Store) -> None:
    for n, wait in enumerate((3.0, 1.0, 2.0, None)):
        await serve(store, f"c{n}", wait=wait)
    told = (await store.performance(NOW))[GPT]
    assert told == Performance(attempts=4, failures=0, first_content_seconds=2.0)


async def test_failures_of_who_served_count_and_bad_requests_do_not(store: Store) -> None:
    for n, status in enumerate((500, 429, None, 200, 400, 401)):
        await serve(store, f"c{n}", state="failed", status=status, wait=None)
    told = (await store.performance(NOW))[GPT]
    assert (told.attempts, told.failures, told.first_content_seconds) == (6, 4, None)


async def test_what_is_older_and_what_nobody_waited_for_is_not_looked_at(store: Store) -> None:
    await serve(store, "c1", at=NOW - 1)
    await serve(store, "c2", state="left")
    assert await store.performance(NOW) == {}


def test_one_good_attempt_of_one_is_no_certainty() -> None:
    few = Performance(attempts=1, failures=0, first_content_seconds=None)
    many = Performance(attempts=98, failures=0, first_content_seconds=None)
    assert (few.success_rate, many.success_rate) == (2 / 3, 0.99)
