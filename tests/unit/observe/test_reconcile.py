from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from callgate.call import Usage
from callgate.errors import Misconfigured
from callgate.observe.exports.reading import read_export
from callgate.observe.reconcile import providers_of
from callgate.observe.sides import Amounts
from callgate.pricing.snapshot import Period, Snapshot, SnapshotModel, encode
from callgate.store import Store
from tests.unit.observe.bookings import (
    A_CALL,
    A_COST,
    CONTRACT,
    HAIKU,
    SETTINGS,
    SNAPSHOT,
    activity,
    book,
    charged,
    compare,
    costs,
    kinds,
    only,
    row,
    run,
)
from tests.unit.observe.exported import (
    ANTHROPIC_COSTS_HEADER,
    ANTHROPIC_USAGE_HEADER,
    anthropic_cost,
    anthropic_row,
    csv_of,
    json_of,
    openai_cost,
    openai_page,
    openai_result,
    openai_row,
)


async def test_a_bill_that_is_what_was_booked_agrees(store: Store) -> None:
    for call in ("c1", "c2"):
        await book(store, call)
    found = compare(store, activity(row(2)), charged(costs(calls=2)))
    compared = only(found)
    assert (compared.difference, compared.reasons, found.is_open) == (Amounts(), (), False)
    assert (
        compared.ledger
        == compared.export
        == Amounts(
            requests=2,
            input_tokens=200_000,
            cache_read_tokens=40_000,
            output_tokens=20_000,
            cost_nano=2 * A_COST,
        )
    )


async def test_a_snapshot_is_the_model_that_answered_or_its_only_relative(store: Store) -> None:
    await book(store, "c1")
    await book(store, "c2", answered_by=None)
    found = compare(store, activity(row(2)))
    assert (only(found).ledger_names, found.is_open) == (("gpt-5.5", SNAPSHOT), False)
    other = compare(store, activity(row(1), row(1, model="gpt-5.5-2026-10-01")))
    assert [each.is_open for each in other.rows] == [True, False, True]
    assert f"but {SNAPSHOT} and gpt-5.5-2026-10-01" in other.rows[0].reasons[0].text


async def test_names_on_a_page_are_the_models_of_its_usage(store: Store) -> None:
    usage = Usage(input_tokens=100_000, cache_write_tokens=8_000, output_tokens=10_000)
    await book(store, "c1", usage, 160_000_000, model="claude-haiku-4-5", answered_by=HAIKU)
    counts = csv_of(ANTHROPIC_USAGE_HEADER, anthropic_row(100_000, 8_000, 0, 10_000))
    bill = [
        anthropic_cost(kind, cost)
        for kind, cost in (
            ("input_no_cache", "0.10"),
            ("input_cache_write_5m", "0.01"),
            ("output", "0.05"),
        )
    ]
    compared = only(compare(store, counts, csv_of(ANTHROPIC_COSTS_HEADER, *bill)))
    assert (compared.model, compared.difference, compared.is_open) == (HAIKU, Amounts(), False)
    assert only(compare(store, csv_of(ANTHROPIC_COSTS_HEADER, *bill))).model == "Claude Haiku 4.5"


async def test_an_export_that_tells_no_model_is_compared_by_day(store: Store) -> None:
    await book(store, "c1")
    await book(store, "c2", model="gpt-5", answered_by="gpt-5-2025-08-07")
    result = {**openai_result(2, 240_000, 40_000, 20_000), "model": None}
    compared = only(compare(store, json_of(openai_page(result))))
    assert (compared.model, compared.difference, compared.is_open) == (None, Amounts(), False)


async def test_what_an_export_does_not_tell_is_not_compared(store: Store) -> None:
    await book(store, "c1")
    usage_only = compare(store, activity(row()))
    assert ("cost_nano" in usage_only.told, usage_only.is_open) == (False, False)
    costs_only = compare(store, charged(costs()))
    assert (costs_only.told, costs_only.is_open) == (("cost_nano",), False)


async def test_a_cent_and_the_tolerance_are_no_difference(store: Store) -> None:
    await book(store, "c1")
    more = openai_row(1, 120_100, 20_000, 10_000)
    assert not compare(store, activity(more)).is_open
    much_more = openai_row(1, 130_000, 20_000, 10_000)
    assert compare(store, activity(much_more)).is_open
    assert not compare(store, activity(much_more), share="0.1").is_open


async def test_small_amounts_differ_by_less_than_a_cent(store: Store) -> None:
    await book(store, "c1", Usage(input_tokens=100, output_tokens=10), 800_000)
    bill = [openai_cost("0.005", f"{SNAPSHOT}, input"), openai_cost("0.003", f"{SNAPSHOT}, output")]
    found = compare(store, activity(openai_row(1, 1000, 0, 100)), charged(bill))
    assert (only(found).difference.cost_nano, only(found).reasons, found.is_open) == (
        7_200_000,
        (),
        False,
    )


async def test_what_is_written_to_a_cache_is_compared_whatever_its_lifetime(store: Store) -> None:
    usage = Usage(input_tokens=50, cache_write_tokens=10_000, cache_write_long_tokens=20_000)
    await book(store, "c1", usage)
    result = {**openai_result(1, 30_050, 0, 0), "input_cache_write_tokens": 30_000}
    assert only(compare(store, json_of(openai_page(result)))).difference == Amounts()


async def test_an_estimate_says_how_much_less_was_charged(store: Store) -> None:
    await book(store, "c1")
    await book(store, "c2", None, None, held=3_000_000_000)
    compared = only(compare(store, activity(row(2)), charged(costs(calls=2))))
    (reason,) = compared.reasons
    assert (reason.kind, compared.is_open) == ("estimated", False)
    assert reason.accounts_for.cost_nano == compared.difference.cost_nano == A_COST - 3_000_000_000
    assert reason.text == (
        "1 attempt is booked at what was held, $3.00, as nobody told the usage; $2.19 less was charged;"
        " the export has 130,000 tokens for them"
    )


async def test_an_estimate_accounts_for_no_more_than_what_was_held(store: Store) -> None:
    await book(store, "c1")
    await book(store, "c2", None, None, held=100_000_000)
    compared = only(compare(store, activity(row(2)), charged(costs(calls=2))))
    assert (compared.is_open, kinds(compared)) == (True, ["not_in_ledger"])
    assert compared.left.cost_nano == A_COST - 100_000_000


async def test_an_estimate_does_not_account_for_what_else_was_not_charged(store: Store) -> None:
    for call in ("c1", "c2"):
        await book(store, call)
    await book(store, "c3", None, None, held=100_000_000)
    compared = only(compare(store, activity(row()), charged(costs())))
    assert (compared.left.cost_nano, kinds(compared)) == (-A_COST, ["estimated", "not_in_export"])


async def test_an_estimate_hides_no_request_that_passed_the_gate_by(store: Store) -> None:
    await book(store, "c1", None, None, held=3_000_000_000)
    compared = only(compare(store, activity(row(2)), charged(costs(calls=2))))
    assert (compared.left.requests, compared.is_open) == (1, True)
    assert kinds(compared) == ["estimated", "not_in_ledger"]


async def test_an_attempt_that_runs_may_be_in_the_export_already(store: Store) -> None:
    await book(store, "c1")
    await run(store, "c2", held=10**9)
    compared = only(compare(store, activity(row(2)), charged(costs(calls=2))))
    assert (kinds(compared), compared.is_open) == (["running"], False)
    assert compared.reasons[0].text.startswith("1 attempt still runs, with $1.00 held")


async def test_a_cost_that_nobody_knew_is_told_with_the_price_to_write(store: Store) -> None:
    await book(store, "c1", A_CALL, None, model="in-house", answered_by="in-house", held=None)
    bill = [openai_cost("0.25", "in-house, input"), openai_cost("0.10", "in-house, output")]
    compared = only(compare(store, activity(row(model="in-house")), charged(bill)))
    assert (kinds(compared), compared.is_open) == (["unknown_cost"], False)
    assert compared.reasons[0].text.endswith(
        '$0.35 was charged for them; write what you pay: [prices."openai:in-house"] input = "$2.5", output = "$10"'
    )


async def test_another_price_is_told_with_the_lines_to_change(store: Store) -> None:
    await book(store, "c1")
    compared = only(compare(store, activity(row()), charged(costs(Decimal("0.8")))))
    (reason,) = compared.reasons
    assert (reason.kind, compared.is_open, compared.left.cost_nano) == (
        "other_price",
        True,
        -A_COST // 5,
    )
    assert "input $4 for a million tokens where ours is $5" in reason.text
    assert reason.text.endswith(
        '[prices."openai:gpt-5.5"] input = "$4", cache_read = "$0.4", output = "$24"'
    )


async def test_costs_alone_tell_another_price_too(store: Store) -> None:
    await book(store, "c1")
    compared = only(compare(store, charged(costs(Decimal("0.8")))))
    assert (kinds(compared), compared.is_open) == (["other_price"], True)
    assert (
        "the cost differs: $0.648 was charged and $0.81 booked, 0.800 times as much"
        in compared.reasons[0].text
    )


async def test_a_price_that_was_corrected_since_accounts_for_what_was_booked_before(
    store: Store,
) -> None:
    await book(store, "c1")
    settings = msgspec.structs.replace(SETTINGS, prices={"openai:gpt-5.5": CONTRACT})
    compared = only(
        compare(store, activity(row()), charged(costs(Decimal("0.8"))), settings=settings)
    )
    assert (kinds(compared), compared.is_open) == (["price_changed"], False)


async def test_a_discount_that_the_export_tells_is_accounted_for(store: Store) -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=100_000)
    await book(store, "c1", usage, 1_500_000_000, model="claude-haiku-4-5", answered_by=HAIKU)
    bill = [
        anthropic_cost("input_no_cache", "0.90", listed="1.00"),
        anthropic_cost("output", "0.45", listed="0.50"),
    ]
    compared = only(compare(store, csv_of(ANTHROPIC_COSTS_HEADER, *bill)))
    assert (kinds(compared), compared.is_open) == (["discount"], False)
    assert "a discount of 10.0%: $1.50 at the list price, $1.35 charged" in compared.reasons[0].text


async def test_a_discount_on_more_than_was_booked_leaves_the_rest_open(store: Store) -> None:
    await book(store, "c1", Usage(output_tokens=300_000), 1_500_000_000, model="claude-haiku-4-5")
    bill = csv_of(ANTHROPIC_COSTS_HEADER, anthropic_cost("output", "0.90", listed="1.00"))
    compared = only(compare(store, bill))
    assert (kinds(compared), compared.is_open) == (["other_price"], True)


async def test_a_price_that_nobody_knows_is_told_by_what_was_charged(store: Store) -> None:
    await book(store, "c1", model="in-house", answered_by="in-house")
    bill = [openai_cost("1.00", "in-house, input"), openai_cost("1.00", "in-house, output")]
    compared = only(compare(store, activity(row(model="in-house")), charged(bill)))
    assert (kinds(compared), compared.is_open) == (["other_price"], True)
    assert 'input = "$10", output = "$100"' in compared.reasons[0].text


async def test_costs_to_the_cent_account_for_half_a_cent_each(store: Store) -> None:
    for n in range(20):
        usage = Usage(input_tokens=4_000)
        await book(store, f"c{n}", usage, 4_000_000, model="claude-haiku-4-5", answered_by=HAIKU)
    keys = [
        anthropic_cost("input_no_cache", "0.00").replace("my key", f"key {n}") for n in range(20)
    ]
    compared = only(compare(store, csv_of(ANTHROPIC_COSTS_HEADER, *keys)))
    assert (kinds(compared), compared.is_open) == (["rounded"], False)


async def test_a_service_tier_accounts_for_its_price(store: Store) -> None:
    await book(store, "c1")
    double = charged(costs(Decimal("0.5")))
    compared = only(compare(store, activity(row(served="FALSE,flex")), double))
    assert (kinds(compared), compared.is_open) == (["service_tier"], False)
    assert "served at the tier flex" in compared.reasons[0].text
    odd = only(compare(store, activity(row(served="FALSE,nobodys")), double))
    assert (kinds(odd), odd.is_open) == (["other_price"], True)


async def test_traffic_that_passed_the_gate_by_is_told_with_its_key(store: Store) -> None:
    await book(store, "c1")
    files = activity(row(), row(2, key="key_b")), charged(costs(calls=3))
    (reason,) = only(compare(store, *files)).reasons
    assert reason.text == (
        "260,000 tokens and 2 requests, about $1.62, are in the export and not in the ledger: they did"
        " not pass this gate; it is just what the export has for key_b of proj_a of user-a"
    )
    assert compare(store, *files).is_open
    alike = only(compare(store, activity(row(), row(key="key_b"))))
    assert "has key_a of proj_a of user-a (130,000 tokens), key_b" in alike.reasons[0].text


async def test_a_model_that_only_the_export_has_is_traffic_past_the_gate(store: Store) -> None:
    await book(store, "c1")
    found = compare(store, activity(row(), row(model="gpt-5-2025-08-07", key="key_b")))
    assert [(each.model, each.is_open) for each in found.rows] == [
        ("gpt-5-2025-08-07", True),
        (SNAPSHOT, False),
    ]
    assert "just what the export has for key_b" in found.rows[0].reasons[0].text
    paid = compare(store, charged([*costs(), openai_cost("5", "gpt-5-2025-08-07, input")]))
    assert kinds(paid.rows[0]) == ["not_in_ledger"]


async def test_what_passed_by_is_worth_what_the_users_own_list_says(
    store: Store, tmp_path: Path
) -> None:
    await book(store, "c1")
    at = 10**9
    period = Period(rates=(at, at, at, at, at, at))
    own = SnapshotModel(id="m", match={"starts_with": "gpt-5.5"}, periods=(period,))
    mine = Snapshot(source="mine", made_on=date(2026, 1, 1), sources={"openai": (own,)})
    file = tmp_path / "prices.json"
    file.write_bytes(encode(mine))
    settings = msgspec.structs.replace(SETTINGS, price_file=file)
    compared = only(compare(store, activity(row(), row(key="key_b")), settings=settings))
    assert (
        "130,000 tokens and 1 request, about $0.13, are in the export" in compared.reasons[0].text
    )


async def test_batches_are_told_as_such(store: Store) -> None:
    await book(store, "c1")
    compared = only(compare(store, activity(row(), row(served="TRUE,default"))))
    assert (kinds(compared), compared.is_open) == (["batch", "not_in_ledger"], True)


def test_an_export_is_about_the_providers_at_its_own_address() -> None:
    export = read_export([("file", activity(row()))])
    assert providers_of(SETTINGS, export, ()) == ("openai",)
    elsewhere = msgspec.structs.replace(SETTINGS.providers["openai"], base_url="http://x/v1")
    settings = msgspec.structs.replace(
        SETTINGS, providers={**SETTINGS.providers, "openai": elsewhere}
    )
    with pytest.raises(
        Misconfigured, match=r"name one with --provider \(there are: openai, anthropic\)"
    ):
        providers_of(settings, export, ())
    assert providers_of(settings, export, ("openai", "openai")) == ("openai",)


@pytest.mark.parametrize(
    ("name", "told"),
    [("nobody", "there is no provider 'nobody'"), ("anthropic", "speaks anthropic")],
)
def test_a_provider_that_cannot_be_meant_is_refused(name: str, told: str) -> None:
    export = read_export([("file", activity(row()))])
    with pytest.raises(Misconfigured, match=told):
        providers_of(SETTINGS, export, (name,))
