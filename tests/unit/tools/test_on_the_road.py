"""Functions and interfaces over HTTP on a whole road: what is refused, repeated and written down."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from callgate import tool
from callgate.call import Effect
from callgate.config.tool_policies import ToolPolicy
from callgate.errors import BadCredential, InvalidArguments, OutcomeUnknown, ToolBug
from callgate.money import Money
from callgate.tools.functions import Function, Functions
from tests.unit.pipeline.road import KEYS, Road, open_road
from tests.unit.tools.calling import CANARY
from tests.unit.tools.http.server import HangUp, Server, Silence, serving


@tool(effect="read")
def note(text: str, times: int = 1) -> str:
    """Note something."""
    if text == "bad":
        raise ValueError(CANARY)
    return text * times


@asynccontextmanager
async def road_of(path: Path, toolset: Any, **more: Any) -> AsyncGenerator[Road]:
    """A road with this toolset, and nothing else."""
    async with open_road(path, toolsets=[toolset], **more) as road:
        yield road


async def test_a_function_is_called_by_its_schema(tmp_path: Path) -> None:
    async with road_of(tmp_path, Functions(Function(note))) as road:
        assert (await road.call(body=b'{"text": "ab", "times": 2}')).text == "abab"
        assert (road.last.target, road.last.state, road.last.cost) == ("note", "ok", Money())


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"text": "ab", "times": "3"}', r"\$\.times.*is not of type"),
        (b'{"text": "ab", "more": 1}', "'more' was unexpected"),
    ],
)
async def test_text_is_no_number_and_an_unknown_argument_an_error(
    tmp_path: Path, body: bytes, why: str
) -> None:
    async with road_of(tmp_path, Functions(Function(note))) as road:
        with pytest.raises(InvalidArguments, match=why):
            await road.call(body=body)


async def test_a_mistake_of_a_function_is_written_down_without_what_it_raised(
    tmp_path: Path,
) -> None:
    async with road_of(tmp_path, Functions(Function(note))) as road:
        with pytest.raises(ToolBug):
            await road.call(body=b'{"text": "bad"}')
        assert (road.last.code, road.last.attempts[0].state) == ("tool_bug", "failed")
        assert CANARY not in repr(road.last)


@pytest.mark.parametrize("effect", ["write", "destructive"])
async def test_a_function_that_does_not_end_in_time_may_still_do_its_work(
    tmp_path: Path, effect: Effect
) -> None:
    held, ended = threading.Event(), threading.Event()

    def note(text: str) -> str:
        """Note something."""
        held.wait()
        ended.set()
        return text

    slow = Function(note, policy=ToolPolicy(name="note", effect=effect, timeout_seconds=0.01))
    async with road_of(tmp_path, Functions(slow)) as road:
        with pytest.raises(OutcomeUnknown, match=r"note had not answered after 0.01 s"):
            await road.call()
        assert road.last.attempts[0].state == "unknown"
        held.set()
        assert await asyncio.to_thread(ended.wait, 10)


@asynccontextmanager
async def asking(path: Path, tool: str, http: str = "") -> AsyncGenerator[tuple[Road, Server]]:
    """A road with a tool that asks a server, with a key of its own."""
    async with serving() as server:
        server.name = "note"
        server.declare(
            f'method = "POST"\nparameters.text.type = "string"\n{http}', tool=tool, key="-"
        )
        environ = {**KEYS, "KEY": CANARY}
        async with open_road(path, toolsets=[server.tools], environ=environ) as road:
            yield road, server


def stored(path: Path) -> bytes:
    """Return everything that the store has written."""
    return b"".join(file.read_bytes() for file in path.glob("callgate.db*"))


async def test_an_interface_is_asked_with_its_key_which_is_nowhere_else(tmp_path: Path) -> None:
    async with asking(tmp_path, 'effect = "write"') as (road, server):
        assert (await road.call()).structured == {"ok": True}
        assert server.last.headers["authorization"] == f"Bearer {CANARY}"
        assert server.last.body == '{"text":"hi"}'
        await road.settled()
        assert b"note" in stored(tmp_path)
        assert CANARY.encode() not in stored(tmp_path)


async def test_a_write_whose_reply_was_lost_is_asked_once(tmp_path: Path) -> None:
    async with asking(tmp_path, 'effect = "write"') as (road, server):
        server.script.append(HangUp())
        with pytest.raises(OutcomeUnknown, match="nobody knows whether note has done its work"):
            await road.call()
        assert len(server.asked) == 1


async def test_a_read_whose_reply_was_lost_is_asked_again(tmp_path: Path) -> None:
    async with asking(tmp_path, 'effect = "read"') as (road, server):
        server.answers(status=503)
        assert (await road.call()).structured == {"ok": True}
        assert len(server.asked) == 2


async def test_a_server_that_does_not_answer_in_time_is_given_up(tmp_path: Path) -> None:
    async with asking(tmp_path, 'effect = "write"\ntimeout = "50ms"') as (road, server):
        server.script.append(Silence())
        with pytest.raises(OutcomeUnknown, match=r"note had not answered after 0.05 s"):
            await road.call()


async def test_a_rejected_key_is_told_to_the_operator(tmp_path: Path) -> None:
    async with asking(tmp_path, 'effect = "read"') as (road, server):
        server.answers(f'{{"message": "wrong key {CANARY.replace(chr(34), "")}"}}', status=401)
        with pytest.raises(BadCredential, match="rejects the gate's key") as rejected:
            await road.call()
        assert (
            rejected.value.reason.fix == "check key under [tools.note]; the agent's own key is fine"
        )
        assert len(server.asked) == 1
