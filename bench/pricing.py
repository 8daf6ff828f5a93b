"""What money costs: CPU for the price of one reply, and for the bound of one request."""

from __future__ import annotations

import json
import sys
import timeit
from collections.abc import Callable, Mapping
from itertools import count
from time import process_time
from typing import Final

import msgspec

from callgate.call import Candidate, Usage
from callgate.pricing import Price, served_price
from callgate.pricing.bound import cache_writes_of, input_bound_tokens, make_bill
from callgate.pricing.table import PriceTable

REPEATS: Final = 5
NOW: Final = 1_795_564_800.0
"""2026-11-25, seconds since 1970."""

BODY_CHARACTERS: Final = 50_000

MODELS: Final[Mapping[str, Candidate]] = {
    "one rate": Candidate(provider="openai", model="gpt-5.4-mini"),
    "by input size": Candidate(provider="openai", model="gpt-5.5"),
    "with caches": Candidate(provider="anthropic", model="claude-sonnet-5"),
}

USAGE: Final = Usage(
    input_tokens=1_200, cache_read_tokens=30_000, cache_write_tokens=900, output_tokens=700,
    reasoning_tokens=1_500,
)  # fmt: skip

TEXTS: Final[Mapping[str, str]] = {
    "English": "The gate holds the money before a call leaves, and settles it after. ",
    "code": "def hold(call: Call) -> Money:\n    return limit(call, 'x')  # before it leaves\n",
    "Chinese": "请求离开之前先保留这笔钱。之后再结算。",
    "Thai": "เก็บเงินไว้ก่อนที่คำขอจะออกไป แล้วค่อยชำระ ",
    "emojis": "hold 👩‍👩‍👧 and settle ❤️ ",
}


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one run measured, in microseconds of CPU."""

    cost_us: float
    """The price of a reply, of the model whose price takes longest."""
    costs_us: Mapping[str, float]
    """The same, by model."""
    bill_us: float
    """The bill of a request whose bound is known."""
    find_us: float
    """Finding a price that has been found before."""
    first_find_us: float
    """Finding none for a name that nobody has asked for yet."""
    bounds_us: Mapping[str, float]
    """The bound of a request of 50,000 characters, by what it is written in."""


def measure() -> Result:
    """Measure everything once."""
    table, made_up = PriceTable({}), count()
    prices = {what: _price(table, candidate) for what, candidate in MODELS.items()}
    costs = {what: _cost_us(price) for what, price in prices.items()}
    known = MODELS["by input size"]

    def find_another() -> object:
        made = Candidate(provider="openai", model=f"made-up-{next(made_up)}")
        return table.find("openai", made, at=NOW)

    return Result(
        cost_us=max(costs.values()),
        costs_us=costs,
        bill_us=_bill_us(prices["by input size"]),
        find_us=_cpu_us(lambda: table.find("openai", known, at=NOW)),
        first_find_us=_cpu_us(find_another),
        bounds_us={what: _bound_us(text) for what, text in TEXTS.items()},
    )


def _price(table: PriceTable, candidate: Candidate) -> Price:
    price = table.find(candidate.provider, candidate, at=NOW)
    assert price is not None
    return price


def _cost_us(price: Price) -> float:
    prices = price.may_hold(None)

    def cost() -> object:
        told = served_price(prices, USAGE, service_tier="default")
        return None if told is None else told.cost(USAGE)

    return _cpu_us(cost)


def _bill_us(price: Price) -> float:
    prices = price.may_hold(None)
    return _cpu_us(
        lambda: make_bill(
            prices,
            input_tokens=20_000,
            cache_writes="long",
            output_tokens=8_192,
            least_output_tokens=16,
            choices=1,
        )
    )


def _bound_us(text: str) -> float:
    content = (text * (BODY_CHARACTERS // len(text) + 1))[:BODY_CHARACTERS]
    request = {"model": "m", "messages": [{"role": "user", "content": content}]}
    body = json.dumps(request, ensure_ascii=False).encode()

    def bound() -> object:
        writes = cache_writes_of(body, api="anthropic")
        return writes, input_bound_tokens(body, parts=1, has_tools=False)

    return _cpu_us(bound)


def _cpu_us(run: Callable[[], object]) -> float:
    """Return the CPU of one run, the best of several: what disturbs only adds."""
    timer = timeit.Timer(run, timer=process_time)
    times, _ = timer.autorange()
    return min(timer.repeat(REPEATS, times)) / times * 1e6


def main() -> None:
    """Print the table."""
    result = measure()
    print(f"python {sys.version.split()[0]}, microseconds of CPU")
    rows = {
        **{f"price of a reply, {what}": us for what, us in result.costs_us.items()},
        "bill of a request": result.bill_us,
        "find a price again": result.find_us,
        "find none for a new name": result.first_find_us,
        **{f"bound of 50,000 characters, {what}": us for what, us in result.bounds_us.items()},
    }
    for what, us in rows.items():
        print(f"{what:42}{us:10.2f}")


if __name__ == "__main__":
    main()
