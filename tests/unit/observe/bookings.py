"""What is booked and what an export says of it, for tests that hold one against the other."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from callgate.call import Candidate, Usage
from callgate.config import builtin
from callgate.config.policies import PricePolicy, Settings
from callgate.observe.difference import ReasonKind, Tolerance
from callgate.observe.exports.reading import read_export
from callgate.observe.reconcile import Compared, Reconciliation, providers_of, reconcile
from callgate.store import Store
from tests.contract.store.making import NOW, make_intent, make_settlement, make_task
from tests.unit.observe.exported import (
    OPENAI_COSTS_HEADER,
    OPENAI_USAGE_HEADER,
    csv_of,
    openai_cost,
    openai_row,
)

DAY = 86_400.0
NOON = NOW + DAY / 2
SNAPSHOT = "gpt-5.5-2026-04-23"
HAIKU = "claude-haiku-4-5-20251001"
A_CALL = Usage(
    input_tokens=100_000, cache_read_tokens=20_000, output_tokens=9_000, reasoning_tokens=1_000
)
A_COST = 810_000_000
"""Of such a call, in nano-dollars: $5, $0.50 and $30 for a million tokens."""
SETTINGS = builtin({"OPENAI_API_KEY": "x", "ANTHROPIC_API_KEY": "y"})
CONTRACT = PricePolicy(input_femto=4 * 10**9, cache_read_femto=4 * 10**8, output_femto=24 * 10**9)
"""Four fifths of the list price."""


async def run(
    store: Store, call: str, *, at: float = NOON, model: str = "gpt-5.5", held: int | None = 10**10
) -> None:
    """Have an attempt leave, and run on."""
    provider = "anthropic" if model.startswith("claude") else "openai"
    intent = make_intent(make_task(), call, nano=held, sent_at=at)
    await store.admit(
        msgspec.structs.replace(intent, candidate=Candidate(provider=provider, model=model))
    )


async def book(
    store: Store,
    call: str,
    usage: Usage | None = A_CALL,
    cost: int | None = A_COST,
    *,
    answered_by: str | None = SNAPSHOT,
    at: float = NOON,
    model: str = "gpt-5.5",
    held: int | None = 10**10,
) -> None:
    """Have an attempt leave and end; without a cost what was held is booked."""
    await run(store, call, at=at, model=model, held=held)
    settlement = make_settlement(f"{call}.1", cost=cost)
    await store.settle(msgspec.structs.replace(settlement, usage=usage, model=answered_by))


def row(
    requests: int = 1,
    *,
    key: str = "key_a",
    served: str = "FALSE,default",
    day: int = 0,
    model: str = SNAPSHOT,
) -> str:
    """Return what OpenAI's activity has of so many such calls."""
    tokens, cached, output = (requests * each for each in (120_000, 20_000, 10_000))
    return openai_row(
        requests, tokens, cached, output, key=key, served=served, day=day, model=model
    )


def costs(times: Decimal = Decimal(1), *, calls: int = 1, day: int = 0) -> list[str]:
    """Return what OpenAI charges for so many such calls, for so many times the list price."""
    of_call = {"input": "0.50", "cached input": "0.01", "output": "0.30"}
    return [
        openai_cost(str(Decimal(cost) * calls * times), f"{SNAPSHOT}, {kind}", day=day)
        for kind, cost in of_call.items()
    ]


def activity(*rows: str) -> bytes:
    return csv_of(OPENAI_USAGE_HEADER, *rows)


def charged(rows: Iterable[str]) -> bytes:
    return csv_of(OPENAI_COSTS_HEADER, *rows)


def compare(
    store: Store, *files: bytes, settings: Settings = SETTINGS, share: str = "0.005"
) -> Reconciliation:
    export = read_export((f"file{n}", data) for n, data in enumerate(files, 1))
    providers = providers_of(settings, export, ())
    tolerance = Tolerance(share=Decimal(share))
    return reconcile(export, store, settings, providers=providers, tolerance=tolerance)


def kinds(compared: Compared) -> list[ReasonKind]:
    return [reason.kind for reason in compared.reasons]


def only(found: Reconciliation) -> Compared:
    (compared,) = found.rows
    return compared
