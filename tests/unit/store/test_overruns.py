"""A bound that was too low is raised by as much as it lacked, and no more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from callgate.call import Candidate
from callgate.money import from_femto
from callgate.store import Bill, Raised
from callgate.store.overruns import ONE, forgetting, raised, told_of

nanos = st.integers(1, 10**15)


@given(nanos, nanos)
def test_the_raised_bound_would_have_covered_the_bill(reserved: int, above: int) -> None:
    thousandths = -(-(reserved + above) * ONE // reserved)
    bill = Bill(
        input_femto=reserved * 10**6, output_femto=0, output_tokens=1, least_output_tokens=1
    )
    assert from_femto(raised(bill, thousandths).femto(1)).nano >= reserved + above


def test_input_and_output_are_raised_alike_and_rounded_up() -> None:
    bill = Bill(input_femto=3, output_femto=5, choices=2, output_tokens=9, least_output_tokens=4)
    again = raised(bill, 1_001)
    assert (again.input_femto, again.output_femto) == (4, 6)
    assert (again.choices, again.output_tokens, again.least_output_tokens) == (2, 9, 4)


def test_a_name_that_an_agent_made_up_is_nothing_that_a_shell_runs() -> None:
    made_up = Candidate(provider="openai", model="x; rm -rf /")
    assert forgetting(made_up) == "callgate ledger forget-overrun 'openai:x; rm -rf /'"


def test_a_raised_bound_and_a_raised_count_are_told_apart_in_words() -> None:
    candidate = Candidate(provider="openai", model="x")
    bound = Raised(candidate=candidate, thousandths=1_500, counted=False)
    count = Raised(candidate=candidate, thousandths=1_250, counted=True)
    assert told_of(bound) == "1.500 times its bound"
    assert told_of(count) == "1.250 times its count where its tokens are counted"
