"""Make a provider fail in every way, behind the gate and behind LiteLLM's proxy, and write what each did.

``python -m bench.failures`` installs LiteLLM at a pinned version into a folder of its own. Both have one
provider for each way to fail, with a key of its own; a simulated provider notes when it was asked.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from bench.gateways import AGENT_KEY, CHAT, ROOT, answering, free_port
from bench.rivals import HOMES, LITELLM, install_litellm
from callgate.testing.simulator import Simulator
from callgate.testing.simulator.connection import Connection, Incoming

PAGE: Final = ROOT / "docs/failures.md"
BEGIN: Final = "<!-- python -m bench.failures writes from here -->\n"
END: Final = "<!-- to here -->\n"

PATIENCE_SECONDS: Final = 40.0
"""How long the client waits for an answer."""

TIMEOUT_SECONDS: Final = 1.0
"""After which both give an attempt up that is silent."""

AT_ONCE: Final = 3
"""Calls that run together: few, so that no gateway waits for its own work."""

WARM_CALLS: Final = 10

HURRIED: Final = {"callgate-task-type": "hurried", "x-litellm-timeout": "1"}
"""How each is told that there is a second for all of it."""

Fault = Mapping[str, object]


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One way to fail."""

    name: str
    fault: Fault
    stream: bool = False
    has_other: bool = False
    """Whether another candidate stands by, which answers."""
    refuses: bool = False
    """Whether nobody listens where the provider should be."""
    hurried: bool = False
    """Whether its task must be done within a second."""


def _status(number: int, **more: object) -> Fault:
    return {"status": number, **more}


def _busy(seconds: float, form: str | None = None) -> Fault:
    return _status(429, retry_after_seconds=seconds, retry_after_form=form)


RETRY_INFO: Final = json.dumps({
    "error": {"message": "slow down", "details": [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2s"}]},
})  # fmt: skip
NO_MODEL: Final = '{"error":{"message":"no such model","code":"model_not_found"}}'
SILENT: Final[Fault] = {"how": "stall", "at": "after_headers"}

KINDS: Final[Sequence[Kind]] = (
    Kind(name="500", fault=_status(500)),
    Kind(name="502, a page of HTML", fault=_status(502, body="<html>Bad gateway</html>")),
    Kind(name="503", fault=_status(503)),
    Kind(name="529", fault=_status(529)),
    Kind(name="408", fault=_status(408)),
    Kind(name="connection refused", fault={"how": "close"}, refuses=True),
    Kind(name="reset before headers", fault={"how": "reset"}),
    Kind(name="no first byte in 1 s", fault={"how": "stall"}),
    Kind(name="no first byte, the task has 1 s", fault={"how": "stall"}, hurried=True),
    Kind(name="silence before content, a stream", fault=SILENT, stream=True),
    Kind(name="stream cut before content", fault={"how": "close", "after_events": 0}, stream=True),
    Kind(name="stream cut after content", fault={"how": "close", "after_events": 4}, stream=True),
    Kind(name="stream that ends early, properly", fault={"how": "end", "after_events": 4}, stream=True),
    Kind(name="half of a plain reply", fault={"how": "malformed"}),
    Kind(name="429, retry-after: 2", fault=_busy(2)),
    Kind(name="429, retry-after: 1.5", fault=_busy(1.5, "float")),
    Kind(name="429, retry-after-ms: 1500", fault=_busy(1.5, "ms")),
    Kind(name="429, retry-after in 5 s, as a date", fault=_busy(5, "date")),
    Kind(name="429, reset header 2s", fault=_busy(2, "reset")),
    Kind(name="429, RetryInfo 2s", fault=_status(429, body=RETRY_INFO)),
    Kind(name="429, retry-after: 3000", fault=_busy(3000)),
    Kind(name="429, retry-after: 10, another candidate", fault=_busy(10), has_other=True),
    Kind(name="429 of money", fault=_status(429, kind="money")),
    Kind(name="402", fault=_status(402)),
    Kind(name="400", fault=_status(400)),
    Kind(name="422", fault=_status(422)),
    Kind(name="401", fault=_status(401)),
    Kind(name="401, another candidate", fault=_status(401), has_other=True),
    Kind(name="403", fault=_status(403)),
    Kind(name="404 of a model", fault=_status(404, body=NO_MODEL)),
    Kind(name="404 of a model, another candidate", fault=_status(404, body=NO_MODEL), has_other=True),
)  # fmt: skip


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one way to fail."""

    attempts: int
    waits: tuple[float, ...]
    """From one request at the provider to the next, in seconds."""
    seconds: float
    """Until the client had its answer."""
    status: int | None
    """None where it had none."""
    headers: Mapping[str, str]
    tells: bool = True
    """Whether a stream that broke says so."""


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway that runs."""

    name: str
    url: str


class Timed(Simulator):
    """A simulated provider that notes when it was asked, by key."""

    def __init__(self) -> None:
        rules = [
            {"match": {"key": _key(n)}, "steps": [{"answer": {"words": 9}, "fault": kind.fault}]}
            for n, kind in enumerate(KINDS)
        ]
        super().__init__({"rules": rules}, seed=1)
        self.asked: dict[str, list[float]] = {}

    def answer(self, incoming: Incoming, connection: Connection) -> asyncio.Task[None] | None:
        """Answer as ever."""
        if not incoming.path.endswith(CHAT):
            return super().answer(incoming, connection)
        key = dict(incoming.headers).get("authorization", "").removeprefix("Bearer ")
        self.asked.setdefault(key, []).append(time.perf_counter())
        return super().answer(incoming, connection)


def _key(n: int) -> str:
    return f"key-{n:04}"


@asynccontextmanager
async def callgate(upstream: str) -> AsyncGenerator[Gateway]:
    """Run the gate as it is when nothing is set but who answers, and how long silence may last."""
    lines = [
        '[gate]\nstore = "sqlite:bench.db"',
        f'[providers.other]\napi = "openai"\nbase_url = "{upstream}/v1"\nkey = "env:KEY_OTHER"',
        '[agents.bench]\nkey = "env:BENCH_KEY"\nmodels = ["*"]',
        '[tasks.default]\ntimeout = "60s"',
        '[tasks.hurried]\ntimeout = "1s"',
    ]
    for n, kind in enumerate(KINDS):
        silent = "30s" if kind.hurried else f"{TIMEOUT_SECONDS:g}s"
        lines += [
            f'[providers.p{n}]\napi = "openai"\nbase_url = "{_place(kind, upstream)}"',
            f'key = "env:KEY_{n}"\nfirst_byte_timeout = "{silent}"\nread_timeout = "{silent}"',
            f'[models.m{n}]\nuse = ["p{n}:gpt-5.5"{_other(kind)}]',
        ]
    with tempfile.TemporaryDirectory(prefix="callgate-bench-", dir=ROOT) as folder:
        config, port = Path(folder) / "callgate.toml", free_port()
        config.write_text("\n".join(lines))
        environ = {f"KEY_{n}": _key(n) for n in range(len(KINDS))}
        environ |= {"BENCH_KEY": AGENT_KEY, "KEY_OTHER": "key-other"}
        command = (sys.executable, "-m", "callgate", "serve", "--config", str(config), "--port")
        async with _running(*command, str(port), environ=environ) as url:
            yield Gateway(name=f"Callgate {version('callgate')}", url=url)


@asynccontextmanager
async def litellm(upstream: str) -> AsyncGenerator[Gateway]:
    """Run LiteLLM's proxy as it is when nothing is set but who answers, and how long silence may last."""
    models = [_litellm_model("other", f"{upstream}/v1", "key-other", timeout=None)]
    fallbacks: list[object] = []
    for n, kind in enumerate(KINDS):
        seconds = 30.0 if kind.hurried else TIMEOUT_SECONDS
        models.append(_litellm_model(f"m{n}", _place(kind, upstream), _key(n), timeout=seconds))
        if kind.has_other:
            fallbacks.append({f"m{n}": ["other"]})
    settings = {
        "model_list": models,
        "router_settings": {"fallbacks": fallbacks},
        "general_settings": {"master_key": AGENT_KEY},
    }
    home, port = HOMES / f"litellm-{LITELLM}", free_port()
    with tempfile.TemporaryDirectory(prefix="callgate-bench-") as folder:
        config = Path(folder) / "litellm.yaml"
        # JSON is YAML.
        config.write_text(json.dumps(settings))
        command = (str(home / "bin/litellm"), "--config", str(config), "--port", str(port))
        environ = {"LITELLM_TELEMETRY": "False", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        async with _running(*command, "--num_workers", "1", environ=environ) as url:
            yield Gateway(name=f"LiteLLM {LITELLM}", url=url)


def _litellm_model(name: str, base: str, key: str, *, timeout: float | None) -> dict[str, object]:
    params: dict[str, object] = {"model": "openai/gpt-5.5", "api_base": base, "api_key": key}
    if timeout is not None:
        params |= {"timeout": timeout, "stream_timeout": timeout}
    return {"model_name": name, "litellm_params": params}


def _place(kind: Kind, upstream: str) -> str:
    return f"http://127.0.0.1:{free_port()}/v1" if kind.refuses else f"{upstream}/v1"


def _other(kind: Kind) -> str:
    return ', "other:gpt-5.5"' if kind.has_other else ""


@asynccontextmanager
async def _running(*command: str, environ: Mapping[str, str]) -> AsyncGenerator[str]:
    child = await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, env={**os.environ, **environ}
    )
    port = command[command.index("--port") + 1]
    try:
        await answering(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        await child.wait()


async def measure(gateway: Gateway, simulator: Timed) -> Sequence[Seen]:
    """Ask for everything, a few things at a time, once it is warm, and return what came."""
    turns = asyncio.Semaphore(AT_ONCE)
    session = aiohttp.ClientSession(
        headers={"authorization": f"Bearer {AGENT_KEY}"},
        timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS),
    )
    async with session:
        for _ in range(WARM_CALLS):
            await _ask(session, gateway, "other", stream=False)
        return await asyncio.gather(
            *(_seen(session, gateway, n, simulator, turns) for n in range(len(KINDS)))
        )


async def _seen(
    session: aiohttp.ClientSession,
    gateway: Gateway,
    n: int,
    simulator: Timed,
    turns: asyncio.Semaphore,
) -> Seen:
    kind = KINDS[n]
    extra = HURRIED if kind.hurried else {}
    async with turns:
        start = time.perf_counter()
        status, headers, body = await _ask(
            session, gateway, f"m{n}", stream=kind.stream, extra=extra
        )
        seconds = time.perf_counter() - start
    asked = [at for at in simulator.asked.get(_key(n), ()) if at >= start]
    return Seen(
        attempts=len(asked),
        waits=tuple(later - earlier for earlier, later in pairwise(asked)),
        seconds=seconds,
        status=status,
        headers=headers,
        tells=b'"error"' in body or b"[DONE]" not in body,
    )


async def _ask(
    session: aiohttp.ClientSession,
    gateway: Gateway,
    model: str,
    *,
    stream: bool,
    extra: Mapping[str, str] | None = None,
) -> tuple[int | None, Mapping[str, str], bytes]:
    page: dict[str, Any] = {
        "model": model, "max_tokens": 50, "stream": stream,
        "messages": [{"role": "user", "content": "hi"}],
    }  # fmt: skip
    try:
        async with session.post(gateway.url + CHAT, json=page, headers=extra) as reply:
            named = {name.lower(): value for name, value in reply.headers.items()}
            try:
                return reply.status, named, await reply.read()
            except aiohttp.ClientPayloadError:
                return reply.status, named, b""
    except TimeoutError:
        return None, {}, b""


def _cell(seen: Seen, kind: Kind) -> str:
    tries = "the provider is not there" if kind.refuses else f"{seen.attempts} x"
    waits = f" after {', '.join(f'{wait:.2f}' for wait in seen.waits)} s" if seen.waits else ""
    if seen.status is None:
        return f"{tries}{waits}; no answer in {PATIENCE_SECONDS:.0f} s"
    told = [str(seen.status)]
    if kind.stream and seen.status == 200:
        told.append("broken off, and says so" if seen.tells else "**looks complete**")
    advice = ("x-should-retry", "retry-after")
    told += [f"{name}: {seen.headers[name]}" for name in advice if name in seen.headers]
    return f"{tries}{waits}; {', '.join(told)}; {seen.seconds:.2f} s"


def _page(columns: Mapping[str, Sequence[Seen]]) -> str:
    head = ("what happens", *columns)
    rows = [
        (kind.name, *(_cell(seen[n], kind) for seen in columns.values()))
        for n, kind in enumerate(KINDS)
    ]
    lines = [head, ("---",) * len(head), *rows]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"{BEGIN}Measured on {datetime.now(UTC):%Y-%m-%d}.\n\n{table}{END}"


async def run() -> None:
    """Measure both, and write the table."""
    await install_litellm()
    columns: dict[str, Sequence[Seen]] = {}
    for place in (callgate, litellm):
        async with Timed() as simulator, place(simulator.url) as gateway:
            print(gateway.name, flush=True)
            columns[gateway.name] = await measure(gateway, simulator)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    page = _page(columns)
    print(page)
    PAGE.write_text(before + page + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(run())
