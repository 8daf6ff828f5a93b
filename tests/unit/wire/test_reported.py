"""What a reply says that it cost: exactly as it is written, and only in the way that is believed."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.call import CostReport, Meter
from callgate.money import Money
from callgate.wire.openai_chat import OpenAIChat
from callgate.wire.reported import reported_cost
from tests.unit.wire.streams import DONE, HEAD, chunk

CHAT = OpenAIChat()
REQUEST = b'{"model":"m","messages":[],"stream":true,"stream_options":{"include_usage":true}}'


def reply(usage: str) -> bytes:
    counted = '"prompt_tokens":9,"completion_tokens":4'
    return f'{{"choices":[{{"finish_reason":"stop"}}],"usage":{{{counted},{usage}}}}}'.encode()


@pytest.mark.parametrize(
    ("by", "usage", "nano"),
    [
        ("openrouter", '"cost":0.00014', 140_000),
        ("openrouter", '"cost":1.4e-4', 140_000),
        ("openrouter", '"cost":0.0000000011', 2),
        ("openrouter", '"cost":0', 0),
        ("openrouter", '"cost":0.01,"is_byok":true,"cost_details":{"upstream_inference_cost":0.2}',
         210_000_000),
        ("openrouter", '"cost":0.01,"cost_details":{"upstream_inference_cost":0.2}', 10_000_000),
        ("x-ai", '"cost_in_usd_ticks":37756000', 3_775_600),
        ("x-ai", '"cost_in_usd_ticks":11', 2),
    ],
)  # fmt: skip
def test_a_cost_is_read_to_the_last_digit_and_rounded_up(
    by: CostReport, usage: str, nano: int
) -> None:
    assert reported_cost(reply(usage), by) == Money(nano)


@given(st.decimals(0, 1000, places=9, allow_nan=False))
def test_no_digit_of_a_cost_goes_through_a_float(dollars: Decimal) -> None:
    assert reported_cost(reply(f'"cost":{dollars:f}'), "openrouter") == Money.dollars(dollars)


@pytest.mark.parametrize(
    ("by", "usage"),
    [
        ("openrouter", '"cost":null'),
        ("openrouter", '"cost":-1'),
        ("openrouter", '"cost":"NaN"'),
        ("openrouter", '"cost":true'),
        ("openrouter", '"cost":1e99'),
        ("openrouter", '"cost_in_usd_ticks":5'),
        ("openrouter", '"cost":0.01,"is_byok":true'),
        ("x-ai", '"cost":0.01'),
        ("x-ai", '"cost_in_usd_ticks":1.5'),
        ("x-ai", '"cost_in_usd_ticks":-5'),
    ],
)
def test_what_is_no_cost_is_none_and_never_nothing(by: CostReport, usage: str) -> None:
    assert reported_cost(reply(usage), by) is None


@pytest.mark.parametrize("data", [b"", b"[]", b'{"usage":null}', b'{"usage":[]}', b"[" * 99_999])
def test_a_reply_that_cannot_be_read_tells_no_cost(data: bytes) -> None:
    assert reported_cost(data, "openrouter") is None
    assert reported_cost(data, "x-ai") is None


def read(usage: str, *, believed: CostReport | None) -> Meter:
    meter = Meter(believed=believed)
    CHAT.read(reply(usage), meter)
    return meter


def test_a_server_that_is_not_believed_tells_its_cost_in_vain() -> None:
    assert read('"cost":0.5', believed=None).reported is None
    assert read('"cost":0.5', believed="x-ai").reported is None
    assert read('"cost":0.5', believed="openrouter").reported == Money.dollars("0.5")


def streamed(*usages: Any, believed: CostReport | None) -> Meter:
    meter = Meter(believed=believed)
    scanner = CHAT.scanner(CHAT.parse(REQUEST), meter)
    events = [f'data: {{{HEAD},"choices":[],"usage":{json.dumps(usage)}}}\n\n' for usage in usages]
    scanner.feed(b"".join([chunk('{"content":"hi"}'), *map(str.encode, events), DONE]))
    return meter


def test_the_last_cost_of_a_stream_stands() -> None:
    told = ({"prompt_tokens": 9, "cost": 0.25}, {"prompt_tokens": 9, "cost": 0.5})
    assert streamed(*told, believed="openrouter").reported == Money.dollars("0.5")
    assert streamed(*told, believed=None).reported is None
