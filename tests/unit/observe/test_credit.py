"""What is left at whoever is paid in advance, how long it lasts, and who is told of it."""

from __future__ import annotations

import logging

import msgspec
import pytest

from callgate.config.policies import Settings
from callgate.money import Money
from callgate.observe.credit import (
    Account,
    Credit,
    CreditWatch,
    accounts_of,
    credits_of,
    paid_in,
)
from callgate.store import Alert, Balance, Store
from callgate.testing.clocks import FakeClock
from tests.contract.store.making import make_intent, make_settlement, make_task
from tests.unit.config.files import read

DOLLAR = Money.dollars("1")
HOUR = 3600.0
OPENAI = Account(
    name="provider:openai", low=Money.dollars("5"), rule="providers.openai.low_balance"
)
SETTINGS = """
[providers.openai]
api = "openai"
key = "env:K"
credit = "$20"
low_balance = "$5"
[providers.anthropic]
api = "anthropic"
key = "env:K"
[platforms.patch]
profile = "agentpatch"
key = "env:K"
tools = ["search"]
"""


async def spend(store: Store, clock: FakeClock, call: str, dollars: int) -> None:
    """Have an attempt at OpenAI cost so many dollars now."""
    cost = dollars * DOLLAR.nano
    await store.admit(make_intent(make_task(), call, nano=cost, sent_at=clock.now()))
    await store.settle(make_settlement(f"{call}.1", cost=cost, at=clock.now()))


async def tell(store: Store, clock: FakeClock, dollars: int) -> None:
    balance = Balance(
        account=OPENAI.name, left=Money(dollars * DOLLAR.nano), source="reply", seen_at=clock.now()
    )
    await store.note_balance(balance)


async def only(store: Store) -> Credit:
    (credit,) = await credits_of([OPENAI], store)
    return credit


async def looked(store: Store, clock: FakeClock) -> list[Alert]:
    """Return what is open after a look."""
    await CreditWatch(store, clock, lambda: [OPENAI]).look()
    return list(store.alerts(only_open=True))


def settings() -> Settings:
    return read(SETTINGS)


def test_platforms_and_providers_with_credit_are_paid_in_advance() -> None:
    assert [account.name for account in accounts_of(settings())] == [
        "platform:patch",
        "provider:openai",
    ]
    (paid,) = paid_in(settings(), now=7.0)
    assert (paid.account, paid.left, paid.source) == (OPENAI.name, Money.dollars("20"), "settings")


async def test_what_was_told_is_counted_down_by_what_calls_cost_since(
    store: Store, clock: FakeClock
) -> None:
    await spend(store, clock, "before", 7)
    clock.advance(1.0)
    await tell(store, clock, 20)
    await spend(store, clock, "after", 3)
    credit = await only(store)
    assert (credit.left, credit.spent) == (Money.dollars("17"), Money.dollars("3"))
    assert credit.last_day == Money.dollars("10")


async def test_it_lasts_as_long_as_the_last_day_says(store: Store, clock: FakeClock) -> None:
    await tell(store, clock, 22)
    await spend(store, clock, "c1", 2)
    credit = await only(store)
    assert credit.lasts_seconds == 10 * 24 * HOUR
    assert credit.runs_out_at == clock.now() + 10 * 24 * HOUR
    assert not credit.is_low


async def test_an_account_of_which_nobody_has_told_is_unknown_and_no_alarm(
    store: Store, clock: FakeClock
) -> None:
    credit = await only(store)
    assert (credit.left, credit.lasts_seconds, credit.runs_out_at) == (None, None, None)
    assert await looked(store, clock) == []


async def test_somebody_is_told_once_of_what_is_below_its_line(
    store: Store, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    await tell(store, clock, 4)
    with caplog.at_level(logging.WARNING):
        (alert,) = await looked(store, clock)
        await looked(store, clock)
    assert (alert.kind, alert.severity, alert.scope) == ("low_balance", "warning", OPENAI.name)
    assert alert.message == "provider:openai has $4.00 left; top up its account"
    assert (alert.rule, alert.facts["left_nano_usd"]) == (OPENAI.rule, 4 * DOLLAR.nano)
    assert caplog.text.count("has $4.00 left") == 1


async def test_it_is_over_when_somebody_has_topped_up(store: Store, clock: FakeClock) -> None:
    await tell(store, clock, 4)
    await looked(store, clock)
    clock.advance(1.0)
    await tell(store, clock, 40)
    assert await looked(store, clock) == []
    assert store.alerts()[0].resolved_at == clock.now()


@pytest.mark.parametrize(
    ("left", "spent", "words"),
    [(100, 100, "$0.00 left; top up"), (2500, 2401, "lasts 59 minutes"), (400, 396, "lasts 15 minutes")],
)  # fmt: skip
async def test_what_is_gone_or_soon_will_be_is_urgent(
    store: Store, clock: FakeClock, left: int, spent: int, words: str
) -> None:
    await tell(store, clock, left)
    await spend(store, clock, "c1", spent)
    (alert,) = await looked(store, clock)
    assert alert.severity == "critical"
    assert words in alert.message


async def test_a_bill_above_what_was_told_leaves_nothing_and_no_debt(
    store: Store, clock: FakeClock
) -> None:
    await tell(store, clock, 1)
    await spend(store, clock, "c1", 3)
    assert (await only(store)).left == Money()


@pytest.mark.parametrize(("hours", "words"), [(1.5, "2 hours"), (30, "30 hours"), (72, "3 days")])
async def test_a_length_is_told_so_that_nobody_works_it_out(
    store: Store, clock: FakeClock, hours: float, words: str
) -> None:
    await spend(store, clock, "before", 24)
    clock.advance(1.0)
    cents = Money(int(hours * DOLLAR.nano))
    await store.note_balance(
        Balance(account=OPENAI.name, left=cents, source="reply", seen_at=clock.now())
    )
    rich = msgspec.structs.replace(OPENAI, low=Money.dollars("1000"))
    await CreditWatch(store, clock, lambda: [rich]).look()
    assert f"lasts {words} at this rate" in store.alerts()[0].message


async def test_without_accounts_nothing_is_asked(store: Store, clock: FakeClock) -> None:
    await CreditWatch(store, clock, list).look()
    assert store.alerts() == []


def test_an_account_without_a_line_has_one_where_it_ends() -> None:
    plain = msgspec.structs.replace(OPENAI, low=None)
    balance = Balance(account=OPENAI.name, left=Money(5), source="reply", seen_at=0.0)
    assert not Credit(account=plain, balance=balance, now=0.0).is_low
    empty = msgspec.structs.replace(balance, left=Money())
    assert Credit(account=plain, balance=empty, now=0.0).is_urgent
