"""What a governed call costs: CPU of the gate, against a bare relay and other gateways, in one run.

CPU of the gateway's own processes is the figure to trust on a shared machine. Every gateway has the
same callers, the same instant provider and the same requests, one after another in each round.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from bench.peers import CHUNKS, Load, Round, request_bytes
from bench.processes import cpu_seconds, resident_bytes

ROOT: Final = Path(__file__).parent.parent
PEERS: Final = (sys.executable, "-m", "bench.peers")

SETTINGS: Final = """\
[gate]
store = "sqlite:bench.db"
[providers.openai]
api = "openai"
base_url = "{upstream}/v1"
key = "env:OPENAI_API_KEY"
[agents.bench]
key = "env:BENCH_KEY"
models = ["openai:*"]
[tasks.default]
budget = "$100000"
timeout = "24h"
"""

AGENT_KEY: Final = "bench-agent-key"
CHAT: Final = "/v1/chat/completions"


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway under test, running."""

    name: str
    origin: str
    headers: tuple[tuple[str, str], ...]
    pid: int
    path: str = CHAT

    def request(self, *, stream: bool = False, user: str = "u1") -> str:
        """Return what a caller sends to it."""
        return request_bytes(self.path, self.headers, stream=stream, user=user).decode()


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What one gateway took for one round."""

    gateway: str
    cpu_us: float
    """CPU of the gateway for one request, in microseconds."""
    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int
    memory_mb: float


@asynccontextmanager
async def running(*command: str, **environ: str) -> AsyncGenerator[tuple[Process, str]]:
    """Start a peer whose first line of output says where it listens."""
    child = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=PIPE, stdin=DEVNULL, env={**os.environ, **environ}
    )
    try:
        assert child.stdout is not None
        yield child, (await child.stdout.readline()).decode().strip()
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()


@asynccontextmanager
async def callgate(upstream: str) -> AsyncGenerator[Gateway]:
    """Run the gate on a new SQLite file of this disk."""
    with tempfile.TemporaryDirectory(prefix="callgate-bench-", dir=ROOT) as folder:
        config = Path(folder) / "callgate.toml"
        config.write_text(SETTINGS.format(upstream=upstream))
        command = (sys.executable, "-m", "callgate", "serve", "--config", str(config), "--port")
        port = free_port()
        environ = {"OPENAI_API_KEY": "key", "BENCH_KEY": AGENT_KEY}
        child = await asyncio.create_subprocess_exec(
            *command, str(port), stderr=DEVNULL, stdout=DEVNULL, env={**os.environ, **environ}
        )
        try:
            origin = f"http://127.0.0.1:{port}"
            await answering(origin)
            headers = (("authorization", f"Bearer {AGENT_KEY}"), ("callgate-task", "bench-{n}"))
            yield Gateway(name="callgate", origin=origin, headers=headers, pid=child.pid)
        finally:
            child.terminate()
            await child.wait()


@asynccontextmanager
async def bare_relay(upstream: str) -> AsyncGenerator[Gateway]:
    """Run the relay that does nothing, on the gate's own HTTP stack."""
    async with running(*PEERS, "relay", upstream) as (child, origin):
        headers = (("authorization", f"Bearer {AGENT_KEY}"),)
        yield Gateway(name="bare relay", origin=origin, headers=headers, pid=child.pid)


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


async def answering(origin: str, *, tries: int = 1_200) -> None:
    """Wait until something accepts connections at ``origin``."""
    host, port = origin.removeprefix("http://").split(":")
    for _ in range(tries):
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    msg = f"nothing answers at {origin}"
    raise TimeoutError(msg)


async def load(asked: Load) -> Round:
    """Have callers in a process of their own do what is asked."""
    child = await asyncio.create_subprocess_exec(*PEERS, "load", cwd=ROOT, stdin=PIPE, stdout=PIPE)
    told, _ = await child.communicate(msgspec.json.encode(asked))
    return msgspec.json.decode(told, type=Round)


async def cost(gateway: Gateway, *, requests: int, per_second: float | None = None) -> Cost:
    """Send requests and return what each took of the gateway."""
    asked = Load(
        origin=gateway.origin,
        request=gateway.request(),
        requests=requests,
        per_second=per_second,
    )
    before = cpu_seconds(gateway.pid)
    seen = await load(asked)
    spent = cpu_seconds(gateway.pid) - before
    ranked = statistics.quantiles(seen.latencies_ms, n=100)
    return Cost(
        gateway=gateway.name,
        cpu_us=spent / requests * 1e6,
        per_second=requests / seen.wall_seconds,
        p50_ms=ranked[49],
        p99_ms=ranked[98],
        failed=seen.failed,
        memory_mb=resident_bytes(gateway.pid) / 1e6,
    )


class Relayed(msgspec.Struct, frozen=True, kw_only=True):
    """What streams took of the gate."""

    alone_us: float
    """CPU of one chunk that comes alone, in microseconds."""
    burst_us: float
    """CPU of one chunk of streams that come as fast as they are read."""

    @property
    def per_core_second(self) -> float:
        """Chunks that come alone, for one second of CPU."""
        return 1e6 / self.alone_us


async def stream_cost(gateway: Gateway) -> Relayed:
    """Relay streams whose chunks come alone, and streams that come as fast as they are read."""
    return Relayed(
        alone_us=await _chunk_us(gateway, user="paced"), burst_us=await _chunk_us(gateway)
    )


async def _chunk_us(gateway: Gateway, *, user: str = "u1") -> float:
    request = gateway.request(stream=True, user=user)
    before = cpu_seconds(gateway.pid)
    seen = await load(Load(origin=gateway.origin, request=request, requests=STREAMS))
    assert not seen.failed, f"{seen.failed} streams failed"
    return (cpu_seconds(gateway.pid) - before) / (STREAMS * CHUNKS) * 1e6


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate adds to the time of a call, at a steady rate."""

    per_second: float
    p50_ms: float
    p99_ms: float
    direct_p50_ms: float
    direct_p99_ms: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured in one run."""

    costs: dict[str, list[Cost]]
    """Every round, by gateway."""
    relayed: Relayed
    latency: Latency

    def cpu_us(self, gateway: str) -> float:
        """Return the median over the rounds."""
        return statistics.median(each.cpu_us for each in self.costs[gateway])

    def ratio(self, other: str) -> float:
        """Return what the gate takes for what another takes, round by round, as the median."""
        pairs = zip(self.costs["callgate"], self.costs[other], strict=True)
        return statistics.median(ours.cpu_us / theirs.cpu_us for ours, theirs in pairs)


Make = Callable[[str], AbstractAsyncContextManager[Gateway]]
"""Starts a gateway before a provider."""

ROUNDS: Final = 3
WARM_UP: Final = 500
REQUESTS: Final = 4_000
STREAMS: Final = 96
PER_SECOND: Final = 100.0
STEADY_REQUESTS: Final = 1_000


async def measure(rivals: Mapping[Make, int], *, rounds: int = ROUNDS) -> Figures:
    """Measure the gate, the bare relay, and others.

    Args:
        rivals: Other gateways to start, and how many requests of a round each gets: the slow
            ones fewer, so that a round stays short.
        rounds: How often each is measured, in turn.
    """
    async with AsyncExitStack() as stack:
        _, upstream = await stack.enter_async_context(running(*PEERS, "upstream"))
        makes: dict[Make, int] = {callgate: REQUESTS, bare_relay: REQUESTS, **rivals}
        started = {
            await stack.enter_async_context(make(upstream)): requests
            for make, requests in makes.items()
        }
        for gateway, requests in started.items():
            await cost(gateway, requests=min(WARM_UP, requests))
        costs: dict[str, list[Cost]] = {gateway.name: [] for gateway in started}
        for _ in range(rounds):
            for gateway, requests in started.items():
                costs[gateway.name].append(await cost(gateway, requests=requests))
        gate = next(iter(started))
        relayed = await stream_cost(gate)
        return Figures(costs=costs, relayed=relayed, latency=await added_latency(gate, upstream))


async def added_latency(gate: Gateway, upstream: str) -> Latency:
    """Return what a call takes longer through the gate, at a rate that leaves it idle often."""
    direct = Gateway(name="direct", origin=upstream, headers=(), pid=gate.pid)
    ranked: list[list[float]] = []
    for each in (direct, gate):
        asked = Load(
            origin=each.origin,
            request=each.request(),
            requests=STEADY_REQUESTS,
            per_second=PER_SECOND,
        )
        seen = await load(asked)
        assert not seen.failed, f"{seen.failed} calls failed at {each.name}"
        ranked.append(statistics.quantiles(seen.latencies_ms, n=100))
    without, through = ranked
    return Latency(
        per_second=PER_SECOND,
        p50_ms=through[49] - without[49],
        p99_ms=through[98] - without[98],
        direct_p50_ms=without[49],
        direct_p99_ms=without[98],
    )


def main() -> None:
    """Print the table."""
    figures = asyncio.run(measure({}))
    for name in figures.costs:
        print(f"{name:16}{figures.cpu_us(name):10.0f} us CPU a call")
    print(f"{'ratio':16}{figures.ratio('bare relay'):10.2f}")
    print(figures.relayed)
    print(figures.latency)


if __name__ == "__main__":
    main()
