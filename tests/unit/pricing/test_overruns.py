"""A bound that was too low is raised by as much as it lacked, and no more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from callgate.call import Candidate
from callgate.money import Money, from_femto
from callgate.pricing.overruns import ONE, Overruns, raised
from callgate.store import Bill

WHO = Candidate(provider="p", model="m")
OTHER = Candidate(provider="p", model="n")
nanos = st.integers(1, 10**15)


def bill_of(femto: int) -> Bill:
    return Bill(input_femto=femto, output_femto=0, output_tokens=1, least_output_tokens=1)


@given(nanos, nanos)
def test_the_raised_bound_would_have_covered_the_bill(reserved: int, above: int) -> None:
    overruns, billed = Overruns(), Money(reserved + above)
    overruns.note(WHO, billed=billed, reserved=Money(reserved), factor=ONE)
    again = raised(bill_of(reserved * 10**6), overruns.factor(WHO))
    assert from_femto(again.femto(1)) >= billed


@given(st.integers(1, 10**9), st.integers(1, 100))
def test_many_bills_of_the_same_moment_raise_it_once(reserved: int, times: int) -> None:
    overruns = Overruns()
    for _ in range(times):
        overruns.note(WHO, billed=Money(reserved * 2), reserved=Money(reserved), factor=ONE)
    assert overruns.factor(WHO) == 2 * ONE


def test_a_bound_that_was_raised_too_little_is_raised_from_where_it_was() -> None:
    overruns = Overruns()
    overruns.note(WHO, billed=Money(20), reserved=Money(10), factor=ONE)
    overruns.note(WHO, billed=Money(30), reserved=Money(20), factor=2 * ONE)
    assert overruns.factor(WHO) == 3 * ONE
    overruns.note(WHO, billed=Money(21), reserved=Money(20), factor=ONE)
    assert overruns.factor(WHO) == 3 * ONE


def test_other_models_keep_their_bounds() -> None:
    overruns = Overruns()
    overruns.note(WHO, billed=Money(20), reserved=Money(10), factor=ONE)
    assert overruns.factor(OTHER) == ONE
    assert raised(bill_of(7), ONE) == bill_of(7)


def test_what_held_nothing_cannot_be_multiplied() -> None:
    overruns = Overruns()
    overruns.note(WHO, billed=Money(20), reserved=Money(), factor=ONE)
    assert overruns.factor(WHO) == ONE


def test_input_and_output_are_raised_alike_and_rounded_up() -> None:
    bill = Bill(input_femto=3, output_femto=5, choices=2, output_tokens=9, least_output_tokens=4)
    again = raised(bill, 1_001)
    assert (again.input_femto, again.output_femto) == (4, 6)
    assert (again.choices, again.output_tokens, again.least_output_tokens) == (2, 9, 4)
