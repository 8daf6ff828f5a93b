"""A store that fails under a running gate: calls are refused, none runs unrecorded, and it recovers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from callgate.clock import SystemClock
from callgate.store.file import PARTS
from callgate.store.sqlite import SqliteStore
from tests.doors.gatehouse import Gatehouse, open_gatehouse
from tests.unit.store.faults import locked, small_disk

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
BODIES = {
    CHAT: b'{"model":"smart","messages":[{"role":"user","content":"hi"}],"max_tokens":9}',
    MESSAGES: b'{"model":"careful","messages":[{"role":"user","content":"hi"}],"max_tokens":9}',
}
SLOW_STREAM = {"rules": [{"steps": [{"answer": {"words": 30}, "pace": {"event_seconds": 0.01}}]}]}


@contextmanager
def moved(folder: Path) -> Generator[None]:
    """Take the file away, and bring it back."""
    for part in PARTS:
        (folder / f"callgate.db{part}").rename(folder / f"away{part}")
    yield
    for part in PARTS:
        (folder / f"away{part}").rename(folder / f"callgate.db{part}")


def locked_by_another(folder: Path) -> AbstractContextManager[None]:
    """Have another process keep the file for longer than a gate waits."""
    return locked(folder / "callgate.db")


async def told(house: Gatehouse, path: str) -> tuple[int, dict[str, Any], str | None]:
    """Make a call; return its status, its body, and whether an SDK should try again."""
    status, headers, body = await house.post(path, BODIES[path])
    return status, json.loads(body), headers.get("x-should-retry")


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        pytest.param(moved, "put the file back", id="moved"),
        pytest.param(
            locked_by_another, "who else has the file open", id="locked", marks=pytest.mark.slow
        ),
    ],
)
async def test_while_the_store_is_down_no_call_leaves_and_then_they_do(
    tmp_path: Path, fault: Callable[[Path], AbstractContextManager[None]], says: str
) -> None:
    async with open_gatehouse(tmp_path) as house:
        with fault(tmp_path):
            answers = await asyncio.gather(*(told(house, path) for path in BODIES))
        for status, page, should_retry in answers:
            assert (status, page["callgate"]["code"]) == (503, "store_down")
            assert says in page["callgate"]["fix"]
            assert page["error"]["message"].startswith("the store does not answer")
            assert should_retry != "false"
        assert house.simulator.requests == ()
        for path in BODIES:
            assert (await told(house, path))[0] == 200


async def test_on_a_full_disk_every_call_that_left_has_its_rows(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        async with open_gatehouse(tmp_path) as house:
            disk.fill()
            answers = [await told(house, CHAT) for _ in range(200)]
            down = [page["callgate"]["code"] for status, page, _ in answers if status != 200]
            assert set(down) == {"store_down"}
            left = len(house.simulator.requests)
            assert left == len(answers) - len(down) == count_attempts(house)
            disk.free()
            assert (await told(house, CHAT))[0] == 200


async def test_a_stream_in_an_outage_is_read_to_its_end_and_booked_when_it_is_over(
    tmp_path: Path,
) -> None:
    async with open_gatehouse(tmp_path, SLOW_STREAM) as house:
        body = BODIES[CHAT].replace(b"}]", b'}],"stream":true').replace(b"9", b"50")
        headers = {"authorization": f"Bearer {house.key}"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(house.url + CHAT, data=body, headers=headers) as reply,
        ):
            first = await reply.content.readline()
            with moved(tmp_path):
                rest = await reply.content.read()
                await house.server.stop()
        assert first.startswith(b"data: ")
        assert rest.endswith(b"data: [DONE]\n\n")
        bill = house.simulator.bill().total_nano_usd
    books = await SqliteStore.open(tmp_path / "callgate.db", clock=SystemClock(), gate=None)
    (row,) = books.tasks()
    assert (row.spent.nano, row.held.nano, row.estimated) == (bill, 0, False)
    await books.close()


def count_attempts(house: Gatehouse) -> int:
    return sum(len(row.attempts) for row in house.rows)
