"""How well bounds fit: what was held against what was spent, by task type and model."""

from __future__ import annotations

from typing import Any

import msgspec

from callgate.call import Candidate, Usage
from callgate.money import Money
from callgate.store import Bounded, Settlement, Store
from tests.contract.store.making import NOW, make_intent, make_settlement, make_task


async def serve(
    store: Store,
    call: str,
    *,
    held: int = 1_000,
    cost: int | None = 100,
    output: int = 5,
    model: str = "gpt-5.5",
    type: str = "research",
    at: float = NOW,
    **settled: Any,
) -> None:
    """Have an attempt hold and cost so many nano-dollars, for 10 tokens of input."""
    task = make_task(f"t-{type}", type=type)
    intent = make_intent(task, call, nano=held, sent_at=at)
    candidate = Candidate(provider="openai", model=model)
    await store.admit(msgspec.structs.replace(intent, candidate=candidate))
    usage = Usage(input_tokens=1, cache_read_tokens=2, cache_write_tokens=3,
                  cache_write_long_tokens=4, output_tokens=output - 1, reasoning_tokens=1)  # fmt: skip
    made: Settlement = make_settlement(f"{call}.1", cost=cost)
    await store.settle(msgspec.structs.replace(made, **{"usage": usage, **settled}))


def told(store: Store) -> list[Bounded]:
    return list(store.bounded(since=NOW, until=NOW + 60))


async def test_what_was_held_is_told_against_what_was_spent(store: Store) -> None:
    await serve(store, "c1", held=1_000, cost=100, output=5)
    await serve(store, "c2", held=500, cost=50, output=9)
    assert told(store) == [
        Bounded(
            task_type="research", model="openai:gpt-5.5", attempts=2, counted=0, passed=0,
            reserved=Money(1_500), cost=Money(150), request_bytes=2 * 321, input_tokens=20,
            most_input_tokens=10, p50_output_tokens=5, p95_output_tokens=9, most_output_tokens=9,
            output_tokens_limit=0,
        )
    ]  # fmt: skip


async def test_task_types_and_models_stand_apart_first_where_most_was_held_for_nothing(
    store: Store,
) -> None:
    await serve(store, "c1", held=300)
    await serve(store, "c2", held=900, type="mail")
    await serve(store, "c3", held=600, type="mail", model="gpt-5")
    assert [(each.task_type, each.model, each.reserved.nano) for each in told(store)] == [
        ("mail", "openai:gpt-5.5", 900),
        ("mail", "openai:gpt-5", 600),
        ("research", "openai:gpt-5.5", 300),
    ]


async def test_half_and_ninety_five_of_a_hundred_replies_have_no_more_than_is_told(
    store: Store,
) -> None:
    for n in range(1, 101):
        await serve(store, f"c{n}", output=n)
    (all_of_them,) = told(store)
    assert (all_of_them.p50_output_tokens, all_of_them.p95_output_tokens) == (50, 95)
    assert all_of_them.most_output_tokens == 100


async def test_of_three_replies_the_middle_one_is_the_half(store: Store) -> None:
    for n, output in enumerate((9, 2, 4)):
        await serve(store, f"c{n}", output=output)
    (all_of_them,) = told(store)
    assert (all_of_them.p50_output_tokens, all_of_them.p95_output_tokens) == (4, 9)


async def test_what_tells_nothing_of_a_bound_is_left_out(store: Store) -> None:
    await serve(store, "c1", cost=None)
    await serve(store, "c2", cost=0)
    await serve(store, "c3", cost=10, usage=None)
    await serve(store, "c4", held=0)
    await serve(store, "c5", at=NOW - 1)
    await serve(store, "c6", at=NOW + 60)
    await store.admit(make_intent(make_task(), "c7", sent_at=NOW))
    assert told(store) == []


async def test_counts_and_bills_above_what_was_held_are_told_apart(store: Store) -> None:
    await serve(store, "c1", held=70, cost=80)
    await serve(store, "c2", changes=("bound=counted", "counted_tokens=9"))
    await serve(store, "c3", changes=("model=gpt-5.5",))
    (all_of_them,) = told(store)
    assert (all_of_them.attempts, all_of_them.passed, all_of_them.counted) == (3, 1, 1)
