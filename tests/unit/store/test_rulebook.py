"""What an attempt is held to is worked out once, and again when it may be otherwise."""

from __future__ import annotations

from typing import Any

import msgspec

from callgate.store.calendar import Window
from callgate.store.limits import Limit
from callgate.store.rulebook import MOST_KEPT, Begun, Rulebook, Terms
from tests.contract.store.making import NOW, ask, make_limit, make_override, windows_of

DAY = 86_400.0


def begun(kind: str, window: Window) -> Begun:
    return Begun(kind, window.key, round(window.starts_at * 1e6), round(window.ends_at * 1e6))


def rulebook(*limits: Limit, zone: str = "UTC") -> Rulebook:
    """Return a rulebook in which the windows of three days are begun for the gate and for users."""
    days = [windows_of(NOW + n * DAY, zone)[1] for n in (-1, 0, 1)]
    return Rulebook(limits, [begun(kind, day) for day in days for kind in ("gate", "user")])


def caps(terms: Terms) -> dict[str, int]:
    return {budget.scope: budget.cap for each in terms.metered for budget in each.budgets}


LIMITS = (make_limit("gate", "budget_per_day", 5), make_limit("user:*", "budget_per_day", 4))


def test_terms_are_the_same_for_the_same_attempts_and_others_for_others() -> None:
    book = rulebook(*LIMITS)
    terms = book.terms(ask("c1"))
    assert book.terms(ask("c2", task="t2", at=NOW + 100)) is terms
    other = book.terms(ask("c3", user="u2"))
    assert (caps(terms), caps(other)) == ({"gate": 5, "user:u1": 4}, {"gate": 5, "user:u2": 4})


def test_terms_end_with_an_override_and_begin_again_before_it() -> None:
    override = make_override("gate", "budget_per_day", 9, until=NOW + 50)
    book = rulebook(*LIMITS, override)
    told = [caps(book.terms(ask("c1", at=NOW + at)))["gate"] for at in (49.999999, 50, 49)]
    assert told == [9, 5, 9]


def test_terms_end_with_a_window() -> None:
    book = rulebook(*LIMITS)
    places = [
        {(each.scope, each.window.key) for each in book.terms(ask("c1", at=at)).places}
        for at in (NOW + DAY - 1e-6, NOW + DAY, NOW + DAY - 1)
    ]
    first, second, third = places
    assert (
        first
        == third
        == {
            ("gate", "day 2026-01-01 UTC"),
            ("user:u1", "day 2026-01-01 UTC"),
        }
    )
    assert second == {("gate", "day 2026-01-02 UTC"), ("user:u1", "day 2026-01-02 UTC")}


def test_terms_end_where_a_calendar_changes() -> None:
    book = rulebook(*LIMITS)
    assert not book.terms(ask("c1")).missing
    elsewhere = book.terms(ask("c2", zone="Asia/Kolkata"))
    missing = {("gate", "day 2026-01-01 Asia/Kolkata"), ("user", "day 2026-01-01 Asia/Kolkata")}
    assert set(elsewhere.missing) == missing
    assert elsewhere.metered == ()


def test_a_window_that_nobody_needs_any_more_is_a_place_all_the_same() -> None:
    terms = rulebook().terms(ask("c1", user=None))
    assert [each.scope for each in terms.places] == ["gate"]
    assert terms.metered == ()


def test_a_retry_and_a_first_attempt_have_the_same_terms() -> None:
    book = rulebook(make_limit("provider:openai", "per_minute", 3))
    terms = book.terms(ask("c1"))
    assert book.terms(ask("c1", n=2)) is terms
    assert [(each.scope, each.keep, each.backs) for each in terms.rated] == [
        ("provider:openai", 3, (2,))
    ]


def test_so_many_terms_are_kept_and_the_others_worked_out_again() -> None:
    book = rulebook(*LIMITS)
    made: Any = ask("c1")
    first = book.terms(made)
    for n in range(MOST_KEPT):
        user = msgspec.structs.replace(made.task, user=f"user-{n}")
        book.terms(msgspec.structs.replace(made, task=user))
    again = book.terms(made)
    assert again is not first
    assert again == first
