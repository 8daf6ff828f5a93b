"""What a platform said is read with no trust in it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from callgate.errors import BrokenReply
from callgate.money import Money
from callgate.redact import Secret
from callgate.tools.platform.outcomes import outcome_of
from callgate.tools.platform.profiles import AGENTPATCH, AGENTPMT
from callgate.tools.platform.reading import left, list_at, member, number_at, read_page, spent

CENT = Money.dollars("0.01")


@pytest.mark.parametrize(
    "body",
    [b"[1]", b'"text"', b"\xff", b"[" * 100_000, b"{}", b'{"status": {"a": 1}}', b'{"status":"odd"}',
     b'{"status":"pending"}', b'{"status":"pending","job_id":7}', b'{"status":"pending","job_id":"%b"}' % (b"j" * 201)],
)  # fmt: skip
def test_an_answer_that_nobody_understands_is_broken_and_may_be_paid(body: bytes) -> None:
    with pytest.raises(BrokenReply) as broken:
        outcome_of(read_page(body, None), AGENTPATCH, tool="t")
    assert broken.value.billed


def test_a_job_at_a_platform_without_jobs_is_broken() -> None:
    with pytest.raises(BrokenReply, match="nobody knows"):
        outcome_of({"success": "pending", "job_id": "j"}, AGENTPMT, tool="t")


@pytest.mark.parametrize("body", [b'{"a":"k\\u0065y-1"}', b'{"key-1":1}', b'{"a":["x key-1 y"]}'])
def test_a_key_is_starred_however_it_is_written(body: bytes) -> None:
    assert "key-1" not in repr(read_page(body, Secret("key-1")))


@pytest.mark.parametrize("found", [True, "5", None, -1, {}, 1e999])
def test_what_can_be_no_number_of_credits_is_unknown(found: object) -> None:
    assert number_at({"n": found}, ("n",)) is None


def test_a_path_that_leads_nowhere_finds_nothing() -> None:
    assert member({"a": {"b": 1}}, ("a", "b", "c")) is None
    assert (member({}, None), list_at({"a": 1}, ("a",))) == (None, [])


@pytest.mark.parametrize(
    ("credits", "costs", "leaves"),
    [("0.5", 5_000_000, 5_000_000), ("0.00000000001", 1, 0), ("3", 30_000_000, 30_000_000)],
)
def test_a_part_of_a_nano_dollar_counts_against_the_spender(
    credits: str, costs: int, leaves: int
) -> None:
    assert spent(Decimal(credits), CENT) == Money(costs)
    assert left(Decimal(credits), CENT) == Money(leaves)


def test_more_credits_than_any_account_has_are_unknown() -> None:
    assert (spent(Decimal(10**30), CENT), left(Decimal(10**30), CENT)) == (None, None)
