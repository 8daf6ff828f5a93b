"""A task whose budget is too small for bytes and large enough for tokens, at a provider that counts."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from callgate.config.policies import Bound
from callgate.money import Money
from tests.doors.gatehouse import ENVIRON, Gatehouse, open_gatehouse

TEXT = "The gate holds the money before a call leaves. " * 400
"""18,800 bytes; the simulator counts a token for four of them."""

REQUEST: dict[str, object] = {
    "model": "careful", "max_tokens": 100, "temperature": 0,
    "system": "Be brief.", "messages": [{"role": "user", "content": TEXT}],
}  # fmt: skip
"""At $2 for a million tokens: $0.039 by its bytes, $0.011 by its tokens."""

PATHS = ["/v1/messages/count_tokens", "/v1/messages"]


def counting(**fault: object) -> dict[str, object]:
    """A strict provider, which counts unless something is wrong."""
    rule = {"match": {"endpoint": "count_tokens"}, "steps": [{"fault": fault}]}
    return {"strict": True, "rules": [rule] if fault else []}


async def ask(house: Gatehouse, bound: Bound) -> tuple[int, str]:
    """Make the call in a task of $0.02, and return its status and its refusal."""
    settings = house.gate.settings
    task = msgspec.structs.replace(
        settings.tasks["default"], budget=Money.dollars("0.02"), bound=bound
    )
    await house.gate.reload(msgspec.structs.replace(settings, tasks={"default": task}))
    headers = {"anthropic-beta": "context-1m-2025-08-07"}
    status, _, body = await house.post("/v1/messages", msgspec.json.encode(REQUEST), headers)
    page = msgspec.json.decode(body)
    return status, page.get("error", {}).get("message", "")


async def test_it_goes_through_with_a_count_and_is_refused_with_a_proven_bound(
    tmp_path: Path,
) -> None:
    async with open_gatehouse(tmp_path, counting()) as house:
        assert (await ask(house, "proven"))[0] == 402
        assert not house.simulator.requests
        assert (await ask(house, "counted"))[0] == 200
        assert [request.path for request in house.simulator.requests] == PATHS
        assert "bound=counted" in house.rows[-1].attempts[0].changes


async def test_the_count_is_asked_as_the_call_would_be_sent(tmp_path: Path) -> None:
    """With the provider's key, the agent's headers, and no field that counting does not know."""
    async with open_gatehouse(tmp_path, counting()) as house:
        await ask(house, "counted")
        count, call = house.simulator.requests
        for header in ("x-api-key", "anthropic-version", "anthropic-beta"):
            assert count.header(header) == call.header(header)
        assert count.header("x-api-key") == ENVIRON["ANTHROPIC_API_KEY"]
        sent = msgspec.json.decode(count.body)
        assert sent.pop("model") == "claude-sonnet-5"
        assert sent == {name: REQUEST[name] for name in ("messages", "system")}


async def test_a_count_costs_nothing_and_is_no_attempt(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, counting()) as house:
        await ask(house, "counted")
        (row,) = house.rows
        assert len(row.attempts) == 1
        assert house.spent_nano_usd == house.simulator.bill().total_nano_usd
        assert row.attempts[0].reserved is not None
        assert house.spent_nano_usd < row.attempts[0].reserved.nano < 20_000_000


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ({"status": 529}, "Overloaded"),
        ({"status": 200, "body": {"output_tokens": 7}}, "is no count of tokens"),
        ({"how": "reset"}, "the connection to"),
    ],
)
async def test_where_the_provider_does_not_count_the_refusal_says_why(
    tmp_path: Path, fault: dict[str, object], why: str
) -> None:
    async with open_gatehouse(tmp_path, counting(**fault)) as house:
        status, message = await ask(house, "counted")
        assert (status, len(house.simulator.requests)) == (402, 1)
        assert "its tokens were not counted, as anthropic sent none: " in message
        assert why in message
