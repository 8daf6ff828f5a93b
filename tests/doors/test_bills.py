"""The simulator's bill and the ledger agree to the nano-dollar, however a call is served and whenever.

The gate knows the prices from a published list that it has compiled, the simulator from its script.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from callgate.call import Caller, Candidate, Claims, ModelCall, new_id
from callgate.config.policies import (
    AgentPolicy,
    Api,
    GatePolicy,
    ProviderPolicy,
    RoutePolicy,
    Settings,
    TaskPolicy,
)
from callgate.gate import Gate
from callgate.money import Money
from callgate.pipeline import ModelPassage
from callgate.pricing.compile import compile_listing
from callgate.pricing.listing import read_file
from callgate.pricing.snapshot import encode
from callgate.testing import FakeClock
from callgate.testing.simulator import Simulator

CHANGE: Final = "2026-01-02"

LISTED: Final[dict[str, Any]] = {
    "id": "m",
    "match": {"equals": "m"},
    "prices": [
        {"prices": {"input_mtok": 1.25, "cache_read_mtok": 0.125, "output_mtok": 10}},
        {"constraint": {"start_date": CHANGE}, "prices": {"input_mtok": 2, "output_mtok": 12.5}},
    ],
    "price_variants": [
        {"when": {"service_tier": "flex"}, "prices": {"input_mtok": 0.6, "output_mtok": 5}},
        {"when": {"service_tier": "priority"}, "prices": {"input_mtok": 2.5, "output_mtok": 20}},
        {"when": {"processing": "batch"}, "prices": {"input_mtok": 0.3, "output_mtok": 2}},
        {"when": {"speed": "fast"}, "prices": {"input_mtok": 3.3, "output_mtok": 33}},
    ],
}  # fmt: skip

FIRST: Final[dict[str, Any]] = {
    "flex": {"input": 0.6, "cache_read": 0.125, "output": 5},
    "priority": {"input": 2.5, "cache_read": 0.125, "output": 20},
    "batch": {"input": 0.3, "cache_read": 0.125, "output": 2},
    "fast": {"input": 3.3, "cache_read": 0.125, "output": 33},
    "us": {"input": 1.375, "cache_read": 0.1375, "output": 11},
    "fast us": {"input": 3.63, "cache_read": 0.1375, "output": 36.3},
}
LATER: Final[dict[str, Any]] = {
    "flex": {"input": 0.6, "output": 5},
    "priority": {"input": 2.5, "output": 20},
    "batch": {"input": 0.3, "output": 2},
    "fast": {"input": 3.3, "output": 33},
    "us": {"input": 2.2, "output": 13.75},
    "fast us": {"input": 3.63, "output": 36.3},
}
SCRIPTED: Final[dict[str, Any]] = {
    "input": 1.25,
    "cache_read": 0.125,
    "output": 10,
    "service_tiers": FIRST,
    "changes": [{"since": CHANGE, "input": 2, "output": 12.5, "service_tiers": LATER}],
}
USED: Final = {
    "input_tokens": 1_201, "cache_read_tokens": 307, "output_tokens": 83, "reasoning_tokens": 19,
}  # fmt: skip

FORMATS: Final[dict[Api, str]] = {"openai": "openai_chat", "anthropic": "anthropic_messages"}


def script(api: Api, service_tier: str | None) -> dict[str, Any]:
    answer = {"text": "hi", "usage": USED, "service_tier": service_tier}
    return {
        "rules": [{"steps": [{"answer": answer}]}],
        "prices": {"m": {"api": api, **SCRIPTED}},
    }


@asynccontextmanager
async def open_gate(
    path: Path, api: Api, service_tier: str | None, *, at: float
) -> AsyncGenerator[tuple[Gate, Simulator]]:
    """A gate whose list has the prices of the script, at the same time as its provider."""
    clock = FakeClock(at)
    published = [{"id": api, "models": [LISTED]}]
    (path / "data.json").write_text(json.dumps(published))
    compiled = compile_listing(read_file(path / "data.json"), made_on=date(2026, 1, 1))
    (path / "prices.json").write_bytes(encode(compiled.snapshot))
    async with Simulator(script(api, service_tier), clock=clock) as simulator:
        url = {"openai": simulator.openai_url, "anthropic": simulator.anthropic_url}[api]
        settings = Settings(
            path=None,
            gate=GatePolicy(store=f"sqlite:{path / 'callgate.db'}"),
            providers={"p": ProviderPolicy(name="p", api=api, base_url=url, price_source=api)},
            models={"m": RoutePolicy(name="m", use=(Candidate(provider="p", model="m"),))},
            agents={"a": AgentPolicy(name="a", models=("*",))},
            tasks={"default": TaskPolicy(type="default", budget=Money.dollars("9"))},
            prices={},
            price_file=path / "prices.json",
        )
        gate = await Gate.open(settings, environ={}, clock=clock)
        try:
            yield gate, simulator
        finally:
            await gate.close()


async def ask(gate: Gate, api: Api, *, stream: bool) -> int | None:
    """Make a call; return what it was booked at, in nano-dollars."""
    page = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 200}
    call = ModelCall(
        id=new_id("call"),
        door="python",
        caller=Caller(agent="a"),
        claims=Claims(task_id="t1"),
        started_at=gate.clock.now(),
        format=FORMATS[api],
        body=json.dumps({**page, "stream": stream}).encode(),
    )
    async with gate.road(ModelPassage(call=call)) as reply:
        if reply.chunks is not None:
            async for _ in reply.chunks:
                pass
    (attempt,) = gate.store.calls(limit=1)[0].attempts
    assert not attempt.estimated
    return None if attempt.cost is None else attempt.cost.nano


SERVED: Final[list[tuple[Api, str | None]]] = [
    *(("openai", tier) for tier in (None, "flex", "priority", "batch", "fast")),
    *(("anthropic", tier) for tier in (None, "batch", "fast", "us", "fast us")),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("api", "service_tier"), SERVED)
async def test_the_ledger_is_the_bill_on_the_last_day_of_a_price_and_on_the_first_of_the_next(
    tmp_path: Path, api: Api, service_tier: str | None, *, stream: bool
) -> None:
    midnight = datetime.fromisoformat(CHANGE).replace(tzinfo=UTC).timestamp()
    async with open_gate(tmp_path, api, service_tier, at=midnight - 60) as (gate, simulator):
        before = await ask(gate, api, stream=stream)
        assert isinstance(gate.clock, FakeClock)
        gate.clock.advance(60)
        after = await ask(gate, api, stream=stream)
        bill = simulator.bill()
    assert [line.cost_nano_usd for line in bill.lines] == [before, after]
    assert before != after
    assert {line.service_tier for line in bill.lines} == {service_tier}
