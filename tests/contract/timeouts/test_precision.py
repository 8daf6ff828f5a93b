"""Every named timeout ends an attempt within 50 ms of its figure, and as a failure of the provider."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec
import pytest

from callgate.config.policies import ProviderPolicy
from callgate.errors import TimedOut
from callgate.pipeline.matrix import strategy_of
from callgate.providers import Outgoing
from callgate.providers.http import HttpProvider
from callgate.providers.openai import OpenAI
from callgate.wire.formats import FORMATS
from tests.contract.client.peers import Answer, Conversation, Step, pause, peer, stall

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
PING = b"8\r\n: ping\n\n\r\n"
TOKEN = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
PIECE = b"%x\r\n%b\r\n" % (len(TOKEN), TOKEN)
CLOSE = 0.05
"""How near to its figure a timeout must end an attempt, in seconds."""


def forever(*steps: Step) -> Answer:
    """Answer with a stream that goes on with these steps as long as somebody listens."""

    async def going_on(conversation: Conversation) -> None:
        while not conversation.reader.at_eof():
            for step in steps:
                if isinstance(step, bytes):
                    conversation.writer.write(step)
                else:
                    await step(conversation)

    return [STREAM, going_on]


Place = Callable[[], AbstractAsyncContextManager[str]]


@asynccontextmanager
async def mute() -> AsyncGenerator[str]:
    """A server that takes connections, and never shakes hands."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield f"https://127.0.0.1:{taken.getsockname()[1]}"


def answering(answer: Answer) -> Place:
    """A server that answers so."""

    @asynccontextmanager
    async def place() -> AsyncGenerator[str]:
        async with peer(answer) as server:
            yield server.url

    return place


async def time_to_failure(url: str, **timeouts: float) -> tuple[float, TimedOut]:
    """Read a stream until it fails; return after how many seconds, and how."""
    policy = ProviderPolicy(name="openai", api="openai", base_url=url, price_source="none")
    provider = HttpProvider(msgspec.structs.replace(policy, **timeouts), OpenAI())
    format = FORMATS["openai_chat"]
    body = b'{"model":"m","stream":true,"messages":[]}'
    outgoing = Outgoing(
        format=format, request=format.parse(body), model="m", body=body, headers=(), credential=None
    )
    now = asyncio.get_running_loop().time
    began = now()
    with pytest.raises(TimedOut) as failure:
        async with provider.open(outgoing) as reply:
            assert reply.chunks is not None
            async for _ in reply.chunks:
                pass
    took = now() - began
    await provider.close()
    return took, failure.value


SILENT = answering([STREAM + PIECE, stall])
PINGING = answering(forever(PING, pause(0.2)))
CHATTERING = answering(forever(PIECE, pause(0.2)))


@pytest.mark.parametrize("seconds", [0.3, 7.3, 41.9])
@pytest.mark.parametrize(
    ("name", "place", "billed"),
    [
        ("connect_timeout_seconds", mute, False),
        ("first_byte_timeout_seconds", answering([stall]), True),
        ("read_timeout_seconds", SILENT, True),
        ("first_token_timeout_seconds", PINGING, True),
        ("total_timeout_seconds", CHATTERING, True),
    ],
)
async def test_a_timeout_ends_an_attempt_at_its_figure(
    name: str, place: Place, seconds: float, *, billed: bool
) -> None:
    never: dict[str, float] = dict.fromkeys(
        ("connect_timeout_seconds", "first_byte_timeout_seconds", "read_timeout_seconds",
         "first_token_timeout_seconds", "total_timeout_seconds"), 10_000.0
    )  # fmt: skip
    async with place() as url:
        took, failure = await time_to_failure(url, **{**never, name: seconds})
    assert abs(took - seconds) <= CLOSE
    assert failure.billed == billed
    assert f"{seconds:g} s" in failure.message
    assert strategy_of(failure).counts
