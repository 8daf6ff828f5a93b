"""Measure every figure of docs/performance.md in one run, and write the page.

``python -m bench`` measures the gate and the bare relay; ``--rivals`` installs and measures other
gateways too. On a shared machine trust ratios and CPU, not times.
"""

from __future__ import annotations

import asyncio
import os
import platform
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from bench import bounds, codec, gateways, mcp, pricing, rivals, startup, store, wire
from bench.peers import CONNECTIONS

PAGE: Final = Path(__file__).parent.parent / "docs/performance.md"

LIBRARIES: Final = ("aiohttp", "httptools", "msgspec", "starlette", "uvloop")

BEGIN: Final = """\
# Performance

What the gate costs, and the figures that it must hold. `make bench` measures all of them in one run
and writes this page; `make bench RIVALS=1` installs other gateways at pinned versions, each in a
folder of its own, and measures them between the same callers and the same provider.

CPU is that of the gateway's own processes for one call, in user and kernel mode. The provider answers
at once with bytes made beforehand, {connections} connections call without a pause, and every call of
the gate is admitted under a budget, written to SQLite on this disk before it leaves and settled after.
Gateways take turns, and a ratio is the median over the turns.

"""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One figure that must be held."""

    what: str
    must: str
    aim: str
    measured: str
    held: bool | None
    """None where the run did not measure it."""


def main() -> None:
    """Measure and write."""
    others: Mapping[gateways.Make, int] = {}
    if "--rivals" in sys.argv[1:]:
        others = asyncio.run(_installed())
    print(f"the gate, the relay and {len(others)} others", flush=True)
    figures = asyncio.run(gateways.measure(others))
    print("tools over MCP", flush=True)
    tools = asyncio.run(mcp.measure())
    print("start, import, memory", flush=True)
    begun = asyncio.run(startup.measure())
    print("store, wire, prices", flush=True)
    stored = asyncio.run(store.measure())
    lines = [*_calls(figures), _tool_call(tools), *_beginning(begun), *_parts(stored)]
    page = "".join([
        BEGIN.format(connections=CONNECTIONS),
        _machine(),
        _table(("figure", "must", "aim", "measured", ""), [_cells(line) for line in lines]),
        "\n## Calls\n\n",
        _table(CALL_COLUMNS, [_call_cells(figures, name) for name in figures.costs]),
        "\n## Parts\n\nCPU in microseconds.\n\n",
        _table(("part", "CPU us"), _part_cells(stored)),
        f"\n## Bounds\n\n{bounds.EXPLAINED}\n",
        _table(bounds.COLUMNS, [bounds.cells(line) for line in bounds.measure()]),
    ])  # fmt: skip
    PAGE.write_text(page, encoding="utf-8")
    print(page)


async def _installed() -> Mapping[gateways.Make, int]:
    await rivals.install()
    return {rivals.portkey: 1_000, rivals.litellm: 200}


def _machine() -> str:
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} on {os.cpu_count()} cores of {_processor()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {libraries}. "
        f"To make 4 KB durable took {store.fsync_ms():.2f} ms on this disk; disks differ by 50x.\n\n"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _calls(figures: gateways.Figures) -> Sequence[Line]:
    return [
        _ratio(
            figures, "CPU of a governed call, against LiteLLM's proxy", "LiteLLM", 1 / 20, 1 / 40
        ),
        _ratio(figures, "the same against Portkey's gateway", "Portkey", 1 / 1.5, 1 / 3),
        _ratio(figures, "the same against a bare relay on the same stack", "bare relay", 3.5, 2),
        Line(
            what="added latency at 100 calls/s, p50 / p99",
            must="3 / 15 ms",
            aim="1 / 5 ms",
            measured=f"{figures.latency.p50_ms:.1f} / {figures.latency.p99_ms:.1f} ms",
            held=figures.latency.p50_ms <= 3 and figures.latency.p99_ms <= 15,
        ),
        Line(
            what="stream relay, chunks that come alone, one core",
            must="10,000/s",
            aim="25,000/s",
            measured=f"{figures.relayed.per_core_second:,.0f}/s",
            held=figures.relayed.per_core_second >= 10_000,
        ),
    ]


def _tool_call(tools: Mapping[str, Sequence[gateways.Cost]]) -> Line:
    own, sdk = mcp.cpu_ms(tools["callgate"]), mcp.cpu_ms(tools["SDK"])
    return Line(
        what="CPU of a governed call to a tool over MCP",
        must="4 ms",
        aim="1.5 ms",
        measured=f"{own:.2f} ms; by the official SDK's server on the same road {sdk:.2f} ms",
        held=own <= 4,
    )


def _ratio(figures: gateways.Figures, what: str, other: str, must: float, aim: float) -> Line:
    name = next((name for name in figures.costs if name.startswith(other)), None)
    ratio = None if name is None else figures.ratio(name)
    return Line(
        what=what,
        must=_times(must),
        aim=_times(aim),
        measured="not in this run" if ratio is None else _times(ratio),
        held=None if ratio is None else ratio <= must,
    )


def _times(ratio: float) -> str:
    return (
        f"{ratio:.2f}x".replace(".00", "") if ratio >= 1 else f"1/{1 / ratio:.1f}".replace(".0", "")
    )


def _beginning(begun: startup.Startup) -> Sequence[Line]:
    imported = begun.import_seconds["import callgate"] * 1_000
    megabytes = begun.busy_bytes / startup.MEGABYTE
    return [
        Line(
            what="start of `callgate serve` to the first answer",
            must="2 s",
            aim="0.7 s",
            measured=f"{begun.serve_seconds:.2f} s",
            held=begun.serve_seconds <= 2,
        ),
        Line(
            what="resident memory after 500 calls",
            must="150 MB",
            aim="90 MB",
            measured=f"{megabytes:.0f} MB",
            held=megabytes <= 150,
        ),
        Line(
            what="import of `callgate`",
            must="300 ms",
            aim="100 ms",
            measured=f"{imported:.0f} ms",
            held=imported <= 300,
        ),
    ]


def _parts(stored: Sequence[store.Result]) -> Sequence[Line]:
    admit = next(line.cpu_us for line in stored if (line.what, line.together) == ("admit", 16))
    event = max(line.cpu_us for line in wire.measure() if line.what.startswith("event"))
    price = pricing.measure().cost_us
    return [
        Line(
            what="admit, SQLite, group of 16",
            must="60 us",
            aim="25 us",
            measured=f"{admit:.0f} us",
            held=admit <= 60,
        ),
        Line(
            what="usage read from a stream, each event",
            must="50 us",
            aim="",
            measured=f"{event:.1f} us",
            held=event <= 50,
        ),
        Line(
            what="price of a usage",
            must="1 us",
            aim="",
            measured=f"{price:.2f} us",
            held=price <= 1,
        ),
        *_translations(),
    ]


def _translations() -> Sequence[Line]:
    small, large = codec.slowest_requests(codec.measure())
    return [
        Line(
            what="a small request in another format, slowest of twelve pairs",
            must="10 us",
            aim="",
            measured=f"{small:.1f} us",
            held=small <= 10,
        ),
        Line(
            what="the same at 50 KB",
            must="400 us",
            aim="",
            measured=f"{large:.0f} us",
            held=large <= 400,
        ),
    ]


def _cells(line: Line) -> Sequence[str]:
    verdict = {True: "held", False: "**missed**", None: ""}[line.held]
    return (line.what, line.must, line.aim, line.measured, verdict)


CALL_COLUMNS: Final = (
    "gateway", "CPU us a call", "calls/s", "p50 ms", "p99 ms", "failed", "memory MB"
)  # fmt: skip


def _call_cells(figures: gateways.Figures, name: str) -> Sequence[str]:
    last = figures.costs[name][-1]
    return (
        name,
        f"{figures.cpu_us(name):,.0f}",
        f"{last.per_second:,.0f}",
        f"{last.p50_ms:.1f}",
        f"{last.p99_ms:.1f}",
        str(sum(each.failed for each in figures.costs[name])),
        f"{last.memory_mb:.0f}",
    )


def _part_cells(stored: Sequence[store.Result]) -> Sequence[Sequence[str]]:
    return [(f"{line.what}, {line.together} together", f"{line.cpu_us:.1f}") for line in stored]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
