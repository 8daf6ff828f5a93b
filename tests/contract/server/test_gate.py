"""The doors on this server, and the whole gate as a process."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from callgate.testing.simulator import Simulator
from tests.cli.shell import AGENT_KEY, SECRETS, Serving, Shell, environment, settings_of
from tests.contract.server.visitors import (
    SOON,
    Answer,
    Visitor,
    chunk,
    post,
    soon,
    visit,
)
from tests.doors.gatehouse import Gatehouse, open_gatehouse

PATH = b"/v1/chat/completions"
SLOW = {
    "rules": [{"steps": [{"answer": {"words": 20}, "pace": {"event_seconds": 0.02}, "times": 99}]}]
}
STALLED = {"rules": [{"steps": [{"fault": {"how": "stall", "after_events": 3}, "times": 99}]}]}


def call(key: str, text: str = "hello", *, stream: bool = False, more: bytes = b"") -> bytes:
    """Return a model call as a client writes it."""
    messages = [{"role": "user", "content": text}]
    body = {"model": "smart", "stream": stream, "max_tokens": 99, "messages": messages}
    headers = b"authorization: Bearer %b\r\n%b" % (key.encode(), more)
    return post(json.dumps(body).encode(), path=PATH, headers=headers)


def told(answer: Answer) -> Any:
    """Return the text of a plain reply, or the error of a refusal."""
    page = json.loads(answer.body)
    return page.get("error") or page["choices"][0]["message"]["content"]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncGenerator[Gatehouse]:
    """A gate that takes requests of 100 kB at most."""
    async with open_gatehouse(tmp_path, gate_lines='max_body_bytes = "100kB"') as opened:
        yield opened


# The doors.


async def test_calls_that_do_not_wait_for_the_answer_are_answered_and_booked_each(
    house: Gatehouse,
) -> None:
    async with visit(house.server) as visitor:
        visitor.send(call(house.key, "one") + call(house.key, "two"))
        statuses = [(await visitor.answer()).status for _ in range(2)]
    assert statuses == [200, 200]
    assert [row.state for row in house.rows] == ["ok", "ok"]


async def test_a_connection_is_of_use_after_every_kind_of_answer(house: Gatehouse) -> None:
    large = "x" * 200_000
    requests = [
        call(house.key, large),
        call("cg_agent_unknown", large),
        call(house.key, large, stream=True),
        post(b"{", path=PATH, headers=b"authorization: Bearer %b\r\n" % house.key.encode()),
        post(b"{}", path=b"/nowhere"),
        call(house.key, stream=True),
        call(house.key),
    ]
    async with visit(house.server) as visitor:
        statuses = [(await visitor.ask(request)).status for request in requests]
    assert statuses == [413, 401, 413, 400, 401, 200, 200]


async def test_a_client_that_is_still_sending_learns_why_it_is_refused(house: Gatehouse) -> None:
    async with visit(house.server) as visitor:
        visitor.send(call(house.key, "x" * 20_000_000))
        async with asyncio.timeout(SOON):
            await visitor.writer.drain()
        answer = await visitor.answer()
    assert (answer.status, told(answer)["code"]) == (413, "too_large")


async def test_a_client_that_asks_first_is_refused_before_it_sends(house: Gatehouse) -> None:
    request = call(house.key, "x" * 200_000, more=b"expect: 100-continue\r\n")
    async with visit(house.server) as visitor:
        answer = await visitor.ask(request.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
        assert (answer.status, answer.header("connection")) == (413, "close")
        assert await visitor.ended() == b""


async def test_a_client_that_offers_another_protocol_is_answered(house: Gatehouse) -> None:
    offer = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    async with visit(house.server) as visitor:
        assert (await visitor.ask(call(house.key, more=offer))).status == 200


async def test_a_proxy_of_http_1_0_gets_a_stream_that_it_understands(house: Gatehouse) -> None:
    older = call(house.key, stream=True).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    async with visit(house.server) as visitor:
        answer = await visitor.ask(older)
    assert answer.header("transfer-encoding") is None
    assert answer.body.startswith(b"data: ")
    assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_what_follows_a_body_names_nobody(house: Gatehouse) -> None:
    head, _, body = call(house.key).partition(b"\r\n\r\n")
    chunked = head.rpartition(b"\r\n")[0] + b"\r\ntransfer-encoding: chunked\r\n\r\n"
    trailer = b"0\r\ncallgate-user: admin\r\n\r\n"
    async with visit(house.server) as visitor:
        assert (await visitor.ask(chunked + chunk(body) + trailer)).status == 200
    (task,) = house.gate.store.tasks(limit=10)
    assert task.task.user is None


async def test_a_client_that_reads_slowly_gets_the_whole_stream(tmp_path: Path) -> None:
    script = {"rules": [{"steps": [{"answer": {"words": 30_000}}]}]}
    async with open_gatehouse(tmp_path, script) as house:
        async with visit(house.server) as visitor:
            visitor.send(call(house.key, stream=True))
            await visitor.hear(b"\r\n\r\n")
            async with visit(house.server) as other:
                for _ in range(50):
                    await other.ask(post(path=b"/healthz"))
            pieces = [piece async for piece in visitor.pieces()]
        await house.settled()
        assert b"".join(pieces).endswith(b"data: [DONE]\n\n")
        assert [row.state for row in house.rows] == ["ok"]


async def test_clients_that_leave_silent_streams_are_all_booked(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, STALLED, gate_lines='on_disconnect = "cancel"') as house:
        for way in (Visitor.leave, Visitor.vanish):
            async with visit(house.server) as visitor:
                visitor.send(call(house.key, stream=True) + call(house.key, stream=True))
                await visitor.hear(b"data:")
                way(visitor)
        await house.settled()
        assert [row.state for row in house.rows] == ["left", "left"]
        assert house.spent_nano_usd >= house.simulator.bill().total_nano_usd


async def test_a_call_that_outlasts_the_drain_is_booked(tmp_path: Path) -> None:
    async with open_gatehouse(tmp_path, STALLED) as house, visit(house.server) as visitor:
        visitor.send(call(house.key, stream=True))
        await visitor.hear(b"data:")
        house.server.break_off()
        await house.settled()
        (row,) = house.rows
        assert (row.attempts[0].estimated, row.ended_at is not None) == (True, True)
        assert house.spent_nano_usd >= house.simulator.bill().total_nano_usd


# The process.


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Somebody in an empty folder with an empty home."""
    for name in ("home", "here"):
        (tmp_path / name).mkdir()
    return Shell(tmp_path / "here", environment(tmp_path / "home"))


@asynccontextmanager
async def serving_slowly(
    shell: Shell, script: dict[str, Any], *, lines: str = ""
) -> AsyncGenerator[Serving]:
    """Run ``callgate serve`` before a provider that plays ``script``."""
    async with Simulator(script=script, seed=1) as simulator:
        shell.write("callgate.toml", settings_of(simulator, lines))
        async with shell.serving(environ=SECRETS) as gate:
            yield gate


@pytest.mark.slow
async def test_sigterm_refuses_the_new_closes_the_idle_and_completes_the_open(
    shell: Shell,
) -> None:
    async with serving_slowly(shell, SLOW) as gate, visit(gate) as busy, visit(gate) as idle:
        assert (await idle.ask(post(path=b"/nowhere"))).status == 401
        busy.send(call(AGENT_KEY, stream=True))
        await busy.hear(b"data:")
        gate.process.send_signal(signal.SIGTERM)
        assert await idle.ended() == b""
        with pytest.raises(ConnectionRefusedError):
            async with visit(gate):
                pass
        assert (await busy.ended()).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        await soon(gate.process.wait())
        assert gate.process.returncode == 0


@pytest.mark.slow
async def test_sigterm_waits_no_longer_than_the_settings_say(shell: Shell) -> None:
    lines = '[gate]\ndrain = "200ms"\n'
    async with serving_slowly(shell, STALLED, lines=lines) as gate, visit(gate) as busy:
        busy.send(call(AGENT_KEY, stream=True))
        await busy.hear(b"data:")
        gate.process.send_signal(signal.SIGTERM)
        assert not (await busy.ended()).endswith(b"0\r\n\r\n")
        await soon(gate.process.wait())
        assert gate.process.returncode == 0
    (task,) = (await shell.run("tasks", "--json")).page
    assert (task["held_nano_usd"], task["estimated"]) == (0, True)


@pytest.mark.slow
async def test_a_gate_started_with_few_files_allowed_takes_many_clients(shell: Shell) -> None:
    few = ("sh", "-c", 'ulimit -Sn 256; exec "$@"', "sh")
    process = await shell.start("serve", "--port", "0", via=few)
    assert process.stderr is not None
    line = (await process.stderr.readline()).decode()
    gate = Serving(process, "http://" + line.partition("http://")[2].partition(" ")[0])
    async with AsyncExitStack() as stack:
        visitors = [await stack.enter_async_context(visit(gate)) for _ in range(400)]
        statuses = {(await visitor.ask(post(path=b"/nowhere"))).status for visitor in visitors}
    process.send_signal(signal.SIGTERM)
    await process.communicate()
    assert statuses == {401}
