"""A client that hangs up: the provider is read on, or cancelled, and every call is settled."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.doors.gatehouse import Gatehouse, open_gatehouse

SLOW = {
    "rules": [
        {"steps": [{"answer": {"words": 20}, "pace": {"event_seconds": 0.02}}]},
    ]
}
STALLED = {"rules": [{"steps": [{"fault": {"how": "stall", "after_events": 3}}]}]}
BODY = b'{"model":"smart","stream":true,"max_tokens":99,"messages":[{"role":"user","content":"x"}]}'


async def hang_up_after_first_byte(house: Gatehouse) -> None:
    """Open a stream on a socket of our own, read a little, and close it."""
    host, port = house.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {house.key}\r\n"
        f"content-length: {len(BODY)}\r\n\r\n"
    )
    writer.write(head.encode() + BODY)
    await reader.readuntil(b"data:")
    writer.close()
    await writer.wait_closed()


async def test_the_usage_of_an_abandoned_stream_is_learned_by_reading_on(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, SLOW) as house:
        await hang_up_after_first_byte(house)
        await house.settled()
        attempt = house.rows[0].attempts[0]
        assert (attempt.estimated, attempt.usage is not None) == (False, True)
        assert house.spent_nano_usd == house.simulator.bill().total_nano_usd


async def test_a_provider_that_stalls_for_nobody_is_cancelled_and_booked_at_the_bound(
    tmp_path: Path,
) -> None:
    async with open_gatehouse(tmp_path, STALLED, gate_lines='drain = "300ms"') as house:
        await hang_up_after_first_byte(house)
        await house.settled()
        row = house.rows[0]
        assert (row.state, row.attempts[0].state, row.attempts[0].estimated) == (
            "left",
            "left",
            True,
        )
        assert house.spent_nano_usd >= house.simulator.bill().total_nano_usd


async def test_a_gate_may_cancel_at_once_instead(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, SLOW, gate_lines='on_disconnect = "cancel"') as house:
        await hang_up_after_first_byte(house)
        await house.settled()
        assert house.rows[0].state == "left"
        bill = house.simulator.bill()
        assert bill.lines[0].state == "cut"
        assert house.spent_nano_usd >= bill.total_nano_usd
