"""The arithmetic of admission, over every bill and balance."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.call import Candidate
from callgate.errors import Malformed, OverBudget
from callgate.money import FEMTO_PER_NANO, from_femto
from callgate.store import Bill, Grant
from callgate.store.reservation import LARGEST_COST, Budget, Level, reserve

AMOUNTS = st.integers(0, 10**15)
CANDIDATE = Candidate(provider="openai", model="gpt-5.5")


@st.composite
def bills(draw: st.DrawFn) -> Bill:
    wanted = draw(st.integers(0, 200_000))
    return Bill(
        input_femto=draw(st.integers(0, 10**18)),
        output_femto=draw(st.integers(0, 10**11)),
        choices=draw(st.integers(1, 8)),
        output_tokens=wanted,
        least_output_tokens=draw(st.integers(0, wanted)),
    )


def level(cap: int, spent: int = 0, held: int = 0, **more: Any) -> Level:
    named: dict[str, Any] = {
        "rule": "task budget",
        "what": "task t1",
        "scope": "task:t1",
        "fix": "raise it",
        **more,
    }
    return Level(cap, spent, held, Budget(cap=cap, **named).itself)


def granted(bill: Bill, *levels: Level) -> Grant:
    return reserve(bill, levels, candidate=CANDIDATE)


@given(bills(), AMOUNTS, AMOUNTS, AMOUNTS)
def test_what_is_granted_fits_and_one_more_token_would_not(
    bill: Bill, cap: int, spent: int, held: int
) -> None:
    left = cap - spent - held
    try:
        grant = granted(bill, level(cap, spent, held))
    except OverBudget:
        assert from_femto(bill.femto(bill.least_output_tokens)).nano > left
        return
    assert grant.reserved is not None
    assert grant.output_tokens is not None
    assert grant.reserved.nano <= max(0, left)
    assert grant.reserved == from_femto(bill.femto(grant.output_tokens))
    assert bill.least_output_tokens <= grant.output_tokens <= bill.output_tokens
    if grant.output_tokens < bill.output_tokens:
        assert from_femto(bill.femto(grant.output_tokens + 1)).nano > left


@given(bills())
def test_without_a_cap_the_whole_bill_is_held(bill: Bill) -> None:
    grant = granted(bill)
    assert grant == Grant(
        reserved=from_femto(bill.femto(bill.output_tokens)), output_tokens=bill.output_tokens
    )


@pytest.mark.parametrize("over", [0, 1])
def test_the_largest_cost_is_the_last_that_is_believed(over: int) -> None:
    femto = LARGEST_COST.nano * FEMTO_PER_NANO + over
    bill = Bill(input_femto=femto, output_femto=0, output_tokens=0, least_output_tokens=0)
    if not over:
        assert granted(bill).reserved == LARGEST_COST
        return
    with pytest.raises(Malformed, match="no call may hold more than"):
        granted(bill)


@pytest.mark.parametrize(("held", "waits"), [(60, True), (0, False)])
def test_a_refusal_says_whether_waiting_may_help(held: int, *, waits: bool) -> None:
    bill = Bill(
        input_femto=50 * FEMTO_PER_NANO, output_femto=0, output_tokens=0, least_output_tokens=0
    )
    with pytest.raises(OverBudget) as refused:
        granted(bill, level(100, spent=100 - held - 40 if held else 60, held=held))
    assert ("may come free" in refused.value.message) == waits


@given(bills(), st.lists(AMOUNTS, min_size=1, max_size=4))
def test_the_least_of_several_budgets_decides(bill: Bill, caps: list[int]) -> None:
    def outcome(*levels: Level) -> Grant | str:
        try:
            return granted(bill, *levels)
        except OverBudget as refused:
            return str(refused.reason.needed)

    assert outcome(*map(level, caps)) == outcome(level(min(caps)))


def refusal_of(nano: int, *levels: Level) -> OverBudget:
    bill = Bill(
        input_femto=nano * FEMTO_PER_NANO, output_femto=0, output_tokens=0, least_output_tokens=0
    )
    with pytest.raises(OverBudget) as refused:
        granted(bill, *levels)
    return refused.value


def test_a_refusal_names_every_budget_that_is_too_low() -> None:
    day = level(40, what="agent a today", fix="raise the day")
    refused = refusal_of(50, level(49), day, level(50, what="the whole gate"))
    assert "of the $0.00000004 of agent a today" in refused.message
    assert "of the $0.000000049 of task t1" in refused.message
    assert "the whole gate" not in refused.message
    assert refused.reason.fix == "raise the day and raise it"


@pytest.mark.parametrize(
    ("levels", "speaks", "resets_at"),
    [
        ([level(60, 40, rule="day", resets_at=1.0)], "day", "1970-01-01T00:00:01.000000Z"),
        (
            [level(60, 40, rule="day", resets_at=1.0), level(60, 30, rule="month", resets_at=2.0)],
            "month",
            "1970-01-01T00:00:02.000000Z",
        ),
        ([level(60, 40, rule="day", resets_at=1.0), level(60, 30, rule="task")], "task", None),
        ([level(49, rule="day", resets_at=1.0)], "day", None),
    ],
)
def test_the_budget_that_stays_too_low_longest_speaks_for_all(
    levels: list[Level], speaks: str, resets_at: str | None
) -> None:
    reason = refusal_of(50, *levels).reason
    assert (reason.rule, reason.resets_at) == (speaks, resets_at)
