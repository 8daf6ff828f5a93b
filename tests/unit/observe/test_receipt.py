from __future__ import annotations

from collections.abc import AsyncGenerator
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from callgate.config import builtin
from callgate.doors.cli.receipt import render
from callgate.doors.cli.screen import WIDE
from callgate.observe.receipt import (
    ModelLine,
    Receipt,
    Refused,
    ToolLine,
    make_receipt,
    percentile,
)
from callgate.store import GateIdentity, Store
from callgate.store.sqlite import SqliteStore
from callgate.testing.clocks import FakeClock
from tests.contract.store.making import (
    NOW,
    USAGE,
    make_end,
    make_intent,
    make_refusal,
    make_settlement,
    make_task,
)

LENGTHS = st.lists(st.floats(0, 1e6), min_size=1, max_size=50)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[Store]:
    """A store on disk."""
    gate = GateIdentity.of_this_process(started_at=NOW)
    store = await SqliteStore.open(tmp_path / "x.db", clock=FakeClock(NOW), gate=gate)
    yield store
    await store.close()


def receipt_of(store: Store) -> Receipt:
    receipt = make_receipt(store, "t1")
    assert receipt is not None
    return receipt


async def test_a_receipt_sums_calls_attempts_tokens_and_money(store: Store) -> None:
    task = make_task(budget=1000)
    for call in ("c1", "c2"):
        await store.admit(make_intent(task, call))
        await store.settle(make_settlement(f"{call}.1", end=make_end(call)))
    receipt = receipt_of(store)
    assert (receipt.calls, receipt.ok, receipt.spent_nano_usd) == (2, 2, 80)
    assert (receipt.budget_nano_usd, receipt.held_nano_usd) == (1000, 0)
    (line,) = receipt.models
    assert (line.model, line.calls, line.attempts) == ("openai:gpt-5.5", 2, 2)
    assert line.input_tokens == 2 * USAGE.total_input_tokens
    assert (line.cost_nano_usd, line.price_versions) == (80, ("v1",))


async def test_a_retry_is_a_second_attempt_of_one_call(store: Store) -> None:
    task = make_task()
    await store.admit(make_intent(task, n=1))
    await store.settle(msgspec.structs.replace(make_settlement(cost=0), state="failed"))
    await store.admit(make_intent(task, n=2))
    await store.settle(make_settlement("c1.2", end=make_end()))
    (line,) = receipt_of(store).models
    assert (line.calls, line.attempts) == (1, 2)


async def test_refusals_are_counted_by_their_code_with_their_newest_sentence(store: Store) -> None:
    task = make_task()
    for n in range(3):
        refusal = make_refusal(f"c{n}", task=task)
        told = msgspec.structs.replace(refusal.end, message=f"no money {n}")
        await store.refuse(msgspec.structs.replace(refusal, end=told))
    (group,) = receipt_of(store).refused
    assert (group.code, group.count, group.message) == ("over_budget", 3, "no money 2")


async def test_money_that_is_held_estimated_or_unknown_is_told_apart(store: Store) -> None:
    task = make_task()
    await store.admit(make_intent(task, "open", nano=100))
    await store.admit(make_intent(task, "guessed", nano=100))
    await store.settle(make_settlement("guessed.1", cost=None, estimated=True))
    await store.admit(make_intent(task, "unpriced", nano=None))
    await store.settle(make_settlement("unpriced.1", cost=None))
    receipt = receipt_of(store)
    assert (receipt.held_nano_usd, receipt.spent_nano_usd) == (100, 100)
    assert (receipt.estimated, receipt.unknown_costs) == (True, 1)
    assert [line.unknown_costs for line in receipt.models] == [1]


async def test_a_cost_that_nobody_knows_is_not_shown_as_nothing(store: Store) -> None:
    await store.admit(make_intent(make_task(), "unpriced", nano=None))
    await store.settle(make_settlement("unpriced.1", cost=None))
    page = StringIO()
    Console(file=page, width=WIDE).print(render(receipt_of(store)))
    assert "what 1 attempt cost, which is in no sum" in page.getvalue()
    assert [line.split()[-1] for line in page.getvalue().splitlines() if "gpt" in line] == [
        "unknown"
    ]
    assert "$0" not in page.getvalue().partition("budget")[0]


@pytest.mark.parametrize("changes", [("bound=counted", "model=c"), ("model=c",)])
async def test_attempts_that_held_a_count_are_told(store: Store, changes: tuple[str, ...]) -> None:
    await store.admit(make_intent(make_task(), "c1"))
    settlement = make_settlement("c1.1", end=make_end("c1"))
    await store.settle(msgspec.structs.replace(settlement, changes=changes))
    receipt, page = receipt_of(store), StringIO()
    Console(file=page, width=WIDE).print(render(receipt))
    told = "1 attempts held a count of tokens" in page.getvalue()
    assert (receipt.counted, told) == (len(changes) - 1, len(changes) == 2)


@pytest.mark.parametrize(
    ("finish_reason", "changes", "limited"),
    [("length", ("max_tokens=7",), 1), ("stop", ("max_tokens=7",), 0), ("length", (), 0)],
    ids=["cut-by-us", "whole", "cut-by-the-agent"],
)
async def test_only_replies_cut_at_a_limit_of_the_gate_count_as_limited(
    store: Store, finish_reason: str, changes: tuple[str, ...], limited: int
) -> None:
    await store.admit(make_intent(make_task()))
    settlement = make_settlement(end=make_end())
    ended = {"finish_reason": finish_reason, "changes": changes}
    await store.settle(msgspec.structs.replace(settlement, **ended))
    assert receipt_of(store).limited == limited


async def test_a_receipt_says_whether_the_settings_were_built_in(store: Store) -> None:
    await store.create_task(make_task())
    built_in = make_receipt(store, "t1", settings=builtin({"HOME": "/"}))
    assert built_in is not None
    assert (built_in.settings, receipt_of(store).settings) == ("built in", None)


async def test_a_task_that_is_not_there_has_no_receipt(store: Store) -> None:
    assert make_receipt(store, "t1") is None


@given(LENGTHS, st.floats(0, 1))
def test_a_percentile_is_a_value_that_its_share_does_not_exceed(
    values: list[float], share: float
) -> None:
    found = percentile(values, share)
    assert found in values
    assert found is not None
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) <= share * len(values)


def test_every_field_of_a_receipt_is_documented(repository: Path) -> None:
    page = (repository / "docs" / "run.md").read_text(encoding="utf-8")
    pages = (Receipt, Refused, ModelLine, ToolLine)
    fields = [field for page in pages for field in page.__struct_fields__]
    assert [field for field in fields if f"`{field}`" not in page] == []


def test_nothing_has_no_percentile() -> None:
    assert percentile([], 0.5) is None


async def test_tools_stand_beside_models_with_what_they_cost(store: Store) -> None:
    task = make_task()
    for call, state in (("c1", "ok"), ("c2", "unknown")):
        intent = msgspec.structs.replace(make_intent(task, call), kind="tool", target="git.log")
        await store.admit(intent)
        await store.settle(msgspec.structs.replace(make_settlement(f"{call}.1"), state=state))
    receipt = receipt_of(store)
    (line,) = receipt.tools
    assert (line.tool, line.calls, line.attempts, line.unknown_outcomes) == ("git.log", 2, 2, 1)
    assert (line.cost_nano_usd, receipt.models) == (80, ())
    page = StringIO()
    Console(file=page, width=WIDE).print(render(receipt))
    assert any(line.split()[0] == "git.log" for line in page.getvalue().splitlines()[1:])
