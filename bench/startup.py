"""What it takes to begin: the import, `callgate serve` up to its first answer, and its memory.

Every figure is a median of rounds in fresh processes, with the byte code compiled beforehand. The
first answer is counted from the moment the process is made until a client has it, once for the
health page and once for a model call that is admitted, paid for and settled.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from bench.processes import resident_bytes
from callgate.testing.simulator import Simulator

IMPORTS: Final = {
    "import callgate": "import callgate",
    "callgate.open_gate": "import callgate; callgate.open_gate",
}
ROUNDS: Final = 9
CALLS: Final = 500
"""Calls before memory is read a second time."""
MEGABYTE: Final = 1_000_000
AGENT_KEY: Final = "bench-agent-key"

SETTINGS: Final = """\
[gate]
store = "sqlite:bench.db"
[providers.openai]
api = "openai"
base_url = "{upstream}"
key = "env:OPENAI_API_KEY"
[agents.bench]
key = "env:BENCH_KEY"
models = ["openai:*"]
[tasks.default]
budget = "$1000"
"""
REQUEST: Final = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "Hello."}]}


class Startup(msgspec.Struct, frozen=True, kw_only=True):
    """How long it takes to begin, and how much is held."""

    import_seconds: dict[str, float]
    """By what is imported; the interpreter's own start is taken off."""
    serve_seconds: float
    """From the start of the process to the first answer."""
    call_seconds: float
    """From the start of the process to the end of the first governed call."""
    idle_bytes: int
    """Resident memory after the first answer."""
    busy_bytes: int
    """Resident memory after some hundred calls."""


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """One start of the gate."""

    answer_seconds: float
    call_seconds: float
    idle_bytes: int
    busy_bytes: int


async def measure(rounds: int = ROUNDS) -> Startup:
    """Measure everything, each kind `rounds` times."""
    with tempfile.TemporaryDirectory(prefix="callgate-bench-") as folder:
        async with Simulator(seed=1) as simulator:
            config = Path(folder) / "callgate.toml"
            config.write_text(SETTINGS.format(upstream=simulator.openai_url), encoding="utf-8")
            served = [await _serve(config) for _ in range(rounds)]
    return Startup(
        import_seconds=await _imports(rounds),
        serve_seconds=statistics.median(one.answer_seconds for one in served),
        call_seconds=statistics.median(one.call_seconds for one in served),
        idle_bytes=round(statistics.median(one.idle_bytes for one in served)),
        busy_bytes=round(statistics.median(one.busy_bytes for one in served)),
    )


async def _imports(rounds: int) -> dict[str, float]:
    """Return the seconds of each import; every round measures each of them and none at all."""
    programs = {"nothing": "pass", **IMPORTS}
    taken: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds + 1):
        for name, program in programs.items():
            taken[name].append(await _run(program))
    # The first round compiles and warms the file cache.
    medians = {name: statistics.median(seconds[1:]) for name, seconds in taken.items()}
    return {name: medians[name] - medians["nothing"] for name in IMPORTS}


async def _run(program: str) -> float:
    started = time.perf_counter()
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    assert await child.wait() == 0
    return time.perf_counter() - started


async def _serve(config: Path) -> Served:
    started = time.perf_counter()
    async with _gate(config) as (gate, url), aiohttp.ClientSession() as session:
        async with session.get(f"{url}/healthz") as answer:
            assert answer.status == 200
        answer_seconds = time.perf_counter() - started
        idle_bytes = resident_bytes(gate.pid)
        await _call(session, url)
        call_seconds = time.perf_counter() - started
        for _ in range(CALLS):
            await _call(session, url)
        busy_bytes = resident_bytes(gate.pid)
    return Served(
        answer_seconds=answer_seconds,
        call_seconds=call_seconds,
        idle_bytes=idle_bytes,
        busy_bytes=busy_bytes,
    )


@asynccontextmanager
async def _gate(config: Path) -> AsyncGenerator[tuple[Process, str]]:
    """Start a gate; give it and the address that it announces."""
    gate = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "callgate", "serve", "--port", "0", "--config", str(config),
        env={"OPENAI_API_KEY": "bench-openai-key", "BENCH_KEY": AGENT_KEY},
        stdout=DEVNULL, stderr=PIPE,
    )  # fmt: skip
    try:
        assert gate.stderr is not None
        announcement = (await gate.stderr.readline()).decode()
        yield gate, next(word for word in announcement.split() if word.startswith("http://"))
    finally:
        gate.terminate()
        await gate.communicate()


async def _call(session: aiohttp.ClientSession, url: str) -> None:
    headers = {"authorization": f"Bearer {AGENT_KEY}"}
    path = f"{url}/v1/chat/completions"
    async with session.post(path, json=REQUEST, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        await answer.read()


def main() -> None:
    """Print the table."""
    figures = asyncio.run(measure())
    for name, seconds in figures.import_seconds.items():
        print(f"{name:34}{seconds * 1000:8.0f} ms")
    print(f"{'callgate serve, first answer':34}{figures.serve_seconds * 1000:8.0f} ms")
    print(f"{'callgate serve, first call settled':34}{figures.call_seconds * 1000:8.0f} ms")
    print(f"{'resident memory, idle':34}{figures.idle_bytes / MEGABYTE:8.0f} MB")
    print(f"{f'resident memory, {CALLS} calls later':34}{figures.busy_bytes / MEGABYTE:8.0f} MB")


if __name__ == "__main__":
    main()
