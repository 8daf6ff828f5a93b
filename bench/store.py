"""What the store costs: CPU of the process for each admit and settle, by how many come together."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from callgate.call import Candidate, Usage, new_id
from callgate.clock import SystemClock
from callgate.money import Money
from callgate.store import Bill, CallEnd, GateIdentity, Intent, Settlement, Store
from callgate.store.calendar import Calendar
from callgate.store.limits import Limit
from callgate.store.opening import open_store
from callgate.task import Task

GROUPS = (1, 16, 64)
CALLS = 3_200
TASKS = 100

USERS = 200

MUCH = Money.dollars("1000000").nano

LIMITS = (
    Limit(scope="gate", name="budget_per_month", value=MUCH),
    Limit(scope="agent:researcher", name="budget_per_day", value=MUCH),
    Limit(scope="agent:researcher", name="per_minute", value=10 * CALLS),
    Limit(scope="type:default", name="budget_per_hour", value=MUCH),
    Limit(scope="user:*", name="budget_per_day", value=MUCH),
    Limit(scope="user:*", name="budget_per_month", value=MUCH),
    Limit(scope="user:*", name="per_minute", value=3 * CALLS // USERS),
)

BILL = Bill(
    input_femto=4_000 * 2_500_000,
    output_femto=10_000_000,
    output_tokens=8_192,
    least_output_tokens=16,
)
CALENDAR = Calendar(ZoneInfo("UTC"))
CANDIDATE = Candidate(provider="openai", model="gpt-5.5")
USAGE = Usage(input_tokens=3_000, cache_read_tokens=800, output_tokens=400, reasoning_tokens=100)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table."""

    what: str
    together: int
    cpu_us: float
    """CPU time of the whole process for one call, in microseconds."""
    wall_us: float
    """Time that one call took of the run, in microseconds."""


async def measure(
    place: str | None = None, *, calls: int = CALLS, groups: Sequence[int] = GROUPS
) -> list[Result]:
    """Measure admit and settle in every group size.

    Args:
        place: An empty store; a new one on this disk if None.
        calls: How many calls to admit and settle for each line.
        groups: How many callers submit at once.
    """
    clock = SystemClock()
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="callgate-bench-", dir=Path.cwd()) as folder:
        gate = GateIdentity.of_this_process(started_at=clock.now())
        store = await open_store(place or f"sqlite:{folder}/bench.db", clock=clock, gate=gate)
        try:
            tasks = [_task(clock.now()) for _ in range(TASKS)]
            await asyncio.gather(*(store.create_task(task) for task in tasks))
            for together in groups:
                intents = [_intent(tasks[n % TASKS], clock.now()) for n in range(calls)]
                results.append(await _timed("admit", store.admit, intents, together=together))
                ends = [_settlement(intent, clock.now()) for intent in intents]
                results.append(await _timed("settle", store.settle, ends, together=together))
            fresh = [_intent(_task(clock.now()), clock.now()) for _ in range(calls)]
            results.append(await _timed("admit, new task", store.admit, fresh, together=16))
            results += await _with_limits(store, calls, clock.now())
            results.append(_read(store, tasks, calls))
            assert store.verify() == []
        finally:
            await store.close()
    return results


async def _with_limits(store: Store, calls: int, now: float) -> list[Result]:
    """Measure the same where seven limits hold: five of money, in three windows, and two rates."""
    await store.load_limits(LIMITS, 1)
    tasks = [_task(now, user=f"user-{n}") for n in range(USERS)]
    # The first of each user begins its windows.
    await asyncio.gather(*(store.admit(_intent(task, now)) for task in tasks))
    intents = [_intent(tasks[n % USERS], now) for n in range(calls)]
    ends = [_settlement(intent, now) for intent in intents]
    return [
        await _timed("admit, seven limits", store.admit, intents, together=16),
        await _timed("settle, seven limits", store.settle, ends, together=16),
    ]


def fsync_ms(*, times: int = 200) -> float:
    """Return the median time in milliseconds of a 4 KB append made durable on this disk."""
    with tempfile.TemporaryFile(dir=Path.cwd()) as file:
        took: list[float] = []
        for _ in range(times):
            began = time.perf_counter()
            os.write(file.fileno(), bytes(4096))
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took) * 1_000


async def _timed(
    what: str,
    submit: Callable[[Any], asyncio.Future[Any]],
    arguments: Sequence[Any],
    *,
    together: int,
) -> Result:
    cpu, wall = time.process_time(), time.perf_counter()
    for first in range(0, len(arguments), together):
        futures = [submit(argument) for argument in arguments[first : first + together]]
        for future in futures:
            await future
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return _result(what, together, cpu=cpu, wall=wall, calls=len(arguments))


def _read(store: Store, tasks: Sequence[Task], calls: int) -> Result:
    cpu, wall = time.process_time(), time.perf_counter()
    for n in range(calls):
        store.find_task(tasks[n % TASKS].id)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return _result("find_task", 1, cpu=cpu, wall=wall, calls=calls)


def _result(what: str, together: int, *, cpu: float, wall: float, calls: int) -> Result:
    return Result(
        what=what, together=together, cpu_us=cpu / calls * 1e6, wall_us=wall / calls * 1e6
    )


def _task(now: float, *, user: str = "u1") -> Task:
    return Task(
        id=new_id("task"),
        agent="researcher",
        user=user,
        budget=Money.dollars("10000"),
        started_at=now,
    )


def _intent(task: Task, now: float) -> Intent:
    return Intent(
        task=task,
        call_id=new_id("call"),
        attempt_id=new_id("att"),
        n=1,
        door="openai",
        target="smart",
        stream=True,
        candidate=CANDIDATE,
        bill=BILL,
        price_version="genai-prices 0.2.3 openai/gpt-5.5",
        request_bytes=12_000,
        started_at=now,
        sent_at=now,
        windows=tuple(CALENDAR.windows(now).values()),
        fingerprint=os.urandom(16),
    )


def _settlement(intent: Intent, now: float) -> Settlement:
    return Settlement(
        attempt_id=intent.attempt_id,
        state="ok",
        cost=Money(12_345),
        estimated=False,
        usage=USAGE,
        ended_at=now,
        first_byte_at=now,
        http_status=200,
        model="gpt-5.5-2026-10-01",
        reply_id="chatcmpl-abcdefghijklmnopqrstuvwxyz",
        finish_reason="stop",
        changes=("model=gpt-5.5", "max_completion_tokens=8192"),
        call=CallEnd(call_id=intent.call_id, state="ok", status=200, ended_at=now),
    )


def main() -> None:
    """Print the table."""
    print(f"python {sys.version.split()[0]}, fsync of 4 KB {fsync_ms():.2f} ms")
    print(f"{'':22}{'together':>9}{'CPU us':>9}{'wall us':>9}")
    for line in asyncio.run(measure(*sys.argv[1:2])):
        print(f"{line.what:22}{line.together:>9}{line.cpu_us:>9.1f}{line.wall_us:>9.1f}")


if __name__ == "__main__":
    main()
