"""What a task has to put right of a model, as the store remembers it."""

from __future__ import annotations

import msgspec

from callgate.errors import Malformed
from callgate.store import Settlement, Store
from tests.contract.store.making import NOW, ask, make_settlement


def bad(attempt: str, *, at: float = NOW + 3) -> Settlement:
    made = make_settlement(attempt, cost=0, at=at)
    return msgspec.structs.replace(made, state="failed", is_bad=True, error="BadRequest: 400")


async def code(store: Store, call: str, fingerprint: bytes | None, *, at: float) -> str | None:
    try:
        await store.admit(ask(call, fingerprint=fingerprint, at=at))
    except Malformed as refused:
        return refused.reason.code
    return None


async def test_bad_requests_that_ran_together_are_one(store: Store) -> None:
    for n in range(3):
        await store.admit(ask(f"c{n}", fingerprint=b"%d" % n))
    for n in range(3):
        await store.settle(bad(f"c{n}.1"))
    assert await code(store, "c4", b"2", at=NOW + 4) == "same_request"
    assert await code(store, "c5", b"0", at=NOW + 4) is None


async def test_the_second_in_a_row_is_the_last(store: Store) -> None:
    for n in range(2):
        at = NOW + 10 * n
        assert await code(store, f"c{n}", b"%d" % n, at=at) is None
        await store.settle(bad(f"c{n}.1", at=at + 1))
    assert await code(store, "c3", b"3", at=NOW + 20) == "not_corrected"


async def test_a_good_answer_forgets_and_a_failed_one_does_not(store: Store) -> None:
    await store.admit(ask("c1", fingerprint=b"1"))
    await store.settle(bad("c1.1"))
    await store.admit(ask("c2", fingerprint=b"2", at=NOW + 4))
    failed = msgspec.structs.replace(make_settlement("c2.1"), state="failed")
    await store.settle(failed)
    assert await code(store, "c3", b"1", at=NOW + 5) == "same_request"
    await store.admit(ask("c4", fingerprint=b"4", at=NOW + 5))
    await store.settle(make_settlement("c4.1"))
    assert await code(store, "c5", b"1", at=NOW + 6) is None


async def test_a_request_without_a_digest_is_like_no_other(store: Store) -> None:
    await store.admit(ask("c1", fingerprint=None))
    await store.settle(bad("c1.1"))
    assert await code(store, "c2", None, at=NOW + 4) is None


async def test_another_attempt_of_a_call_is_no_other_request(store: Store) -> None:
    await store.admit(ask("c1", fingerprint=b"1"))
    await store.settle(bad("c1.1"))
    await store.admit(ask("c1", n=2, fingerprint=b"1", at=NOW + 4))


async def test_a_task_is_let_go_on(store: Store) -> None:
    await store.admit(ask("c1", fingerprint=b"1"))
    await store.settle(bad("c1.1"))
    assert await store.unblock_task("t-u1")
    assert await code(store, "c2", b"1", at=NOW + 4) is None
    assert not await store.unblock_task("t-u1")
