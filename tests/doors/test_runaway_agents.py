"""Four agents that other tools let run over their cap; here none costs a nano-dollar more.

Each is after an agent that spent $4 to $85 under a cap of $1 or $2 elsewhere: one that catches
every error and tries again, one whose model has no price, one with many calls at once, and one
whose many small costs add up.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from callgate.money import Money
from tests.doors.gatehouse import Gatehouse, open_gatehouse

CHAT = "/v1/chat/completions"
TASK = {"callgate-task": "t1"}
DEAR = {"rules": [{"steps": [{"answer": {"usage": {"output_tokens": 4_000}}}]}]}
"""4,000 tokens at $30 a million: $0.12 a call."""


def body(model: str = "smart", *, most: int = 5_000, stream: bool = False) -> bytes:
    message = {"role": "user", "content": "again"}
    fields = {"model": model, "messages": [message], "max_tokens": most, "stream": stream}
    return json.dumps(fields).encode()


async def ask(house: Gatehouse, sent: bytes) -> tuple[int, dict[str, Any]]:
    status, _, told = await house.post(CHAT, sent, TASK)
    return status, json.loads(told) if told.startswith(b"{") else {}


def over(house: Gatehouse) -> Money:
    """What the provider bills beyond the task's budget of $1."""
    return Money(max(0, house.simulator.bill().total_nano_usd - Money.dollars("1").nano))


async def test_one_that_catches_every_error_and_tries_again(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, DEAR) as house:
        answers = [(await ask(house, body()))[0] for _ in range(40)]
        await house.settled()
        assert over(house) == Money()
        assert answers.count(200) >= 6
        assert set(answers[-20:]) == {402}
        assert house.spent_nano_usd == house.simulator.bill().total_nano_usd


@pytest.mark.parametrize("stream", [False, True])
async def test_one_whose_model_has_no_price(tmp_path: Path, *, stream: bool) -> None:
    async with open_gatehouse(tmp_path, DEAR) as house:
        status, told = await ask(house, body("openai:gpt-of-tomorrow", stream=stream))
        assert (status, told["callgate"]["code"]) == (402, "unpriced")
        assert '[prices."openai:gpt-of-tomorrow"]' in told["callgate"]["fix"]
        assert house.simulator.requests == ()


async def test_one_whose_streams_never_tell_what_they_used(tmp_path: Path) -> None:
    # A good one now and then, or nobody would be asked any more.
    silent: dict[str, object] = {"fault": {"how": "end", "after_events": 5}}
    script = {"rules": [{"steps": [silent, silent, silent, {}] * 10}]}
    async with open_gatehouse(tmp_path, script) as house:
        answers = [(await ask(house, body(stream=True)))[0] for _ in range(40)]
        await house.settled()
        assert 402 in answers
        assert over(house) == Money()
        assert house.spent_nano_usd >= house.simulator.bill().total_nano_usd


async def test_one_with_many_calls_at_once(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, DEAR) as house:
        answers = await asyncio.gather(*(ask(house, body()) for _ in range(40)))
        await house.settled()
        assert over(house) == Money()
        refused = [told["callgate"] for status, told in answers if status == 402]
        assert len(refused) >= 30
        assert any(reason.get("held", 0) > 0 for reason in refused)


async def test_one_whose_small_costs_add_up(tmp_path: Path) -> None:
    small = {"rules": [{"steps": [{"answer": {"usage": {"output_tokens": 1_000}}}]}]}
    async with open_gatehouse(tmp_path, small) as house:
        answers = [(await ask(house, body(most=1_000)))[0] for _ in range(45)]
        await house.settled()
        assert over(house) == Money()
        assert 25 <= answers.count(200) < 45
