"""A whole road over a real store and scripted providers, and everything it writes to."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from callgate.call import (
    Caller,
    Candidate,
    Claims,
    ModelCall,
    Reply,
    ToolCall,
    ToolReply,
    ToolResult,
    new_id,
)
from callgate.config.policies import (
    AgentPolicy,
    Api,
    GatePolicy,
    PricePolicy,
    ProviderPolicy,
    RoutePolicy,
    Settings,
    TaskPolicy,
)
from callgate.gate import Gate, MakeProvider
from callgate.money import Money
from callgate.pipeline import ModelPassage, ToolPassage
from callgate.store import CallRow, Store
from callgate.testing import FakeClock
from callgate.testing.fakes import Answer, FakeProvider, Silence
from callgate.tools import Toolset

Line = Answer | Silence | BaseException
"""One line of a provider's script."""

APIS: Mapping[str, Api] = {"first": "openai", "second": "openai", "third": "anthropic"}

KEYS: Mapping[str, str] = {"FIRST": "key-1", "SECOND": "key-2", "THIRD": "key-3"}

DOLLAR_A_MILLION = 1_000_000_000
"""One dollar for a million tokens, in femto-dollars for a token."""

PRICE = PricePolicy(
    input_femto=DOLLAR_A_MILLION, output_femto=10 * DOLLAR_A_MILLION, context_window=100_000
)


def settings(path: Path, *, budget: str | None = "1", **changes: Any) -> Settings:
    """Two providers of one api, a third of the other, and an agent that may use the routes."""
    made = Settings(
        path=path / "callgate.toml",
        gate=GatePolicy(store=f"sqlite:{path / 'callgate.db'}"),
        providers={
            name: ProviderPolicy(
                name=name, api=api, base_url=f"http://{name}", key=f"env:{name.upper()}",
                price_source="none",
            )
            for name, api in APIS.items()
        },
        models={
            "smart": _route("smart", "first:a", "second:b"),
            "plain": _route("plain", "first:a"),
            "other": _route("other", "third:c"),
            "gratis": _route("gratis", "first:unpriced"),
        },
        agents={
            "worker": AgentPolicy(
                name="worker", models=("smart", "plain", "other", "gratis"), tools=("note", "far.*")
            ),
            "helper": AgentPolicy(name="helper", models=("second:*",)),
        },
        tasks={"default": TaskPolicy(type="default", budget=None if budget is None else Money.dollars(budget))},
        prices={"first:a": PRICE, "second:b": PRICE, "third:c": PRICE},
    )  # fmt: skip
    (path / "callgate.toml").touch()
    return msgspec.structs.replace(made, **changes)


def _route(name: str, *use: str) -> RoutePolicy:
    pairs = (entry.split(":") for entry in use)
    candidates = tuple(Candidate(provider=provider, model=model) for provider, model in pairs)
    return RoutePolicy(name=name, use=candidates)


@dataclass
class Road:
    """The road, its scripted providers, its store and its clock."""

    gate: Gate
    store: Store
    clock: FakeClock
    providers: Mapping[str, FakeProvider]

    def passage(
        self,
        model: str = "plain",
        *,
        agent: str = "worker",
        format: str = "openai_chat",
        body: bytes | None = None,
        task: str | None = "t1",
        **claims: str,
    ) -> ModelPassage:
        """Return a call that has come in at a door."""
        sent = body or msgspec.json.encode(
            {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 100}
        )
        call = ModelCall(
            id=new_id("call"),
            door="python",
            caller=Caller(agent=agent),
            claims=Claims(task_id=task, **claims),
            started_at=self.clock.now(),
            format=format,
            body=sent,
        )
        return ModelPassage(call=call)

    def tool_passage(
        self,
        name: str,
        *,
        body: bytes = b"{}",
        task: str | None = "t1",
        repeat: int | None = None,
        **claims: str,
    ) -> ToolPassage:
        """Return a call to a tool that has come in at a door."""
        call = ToolCall(
            id=new_id("call"),
            door="python",
            caller=Caller(agent="worker"),
            claims=Claims(task_id=task, **claims),
            started_at=self.clock.now(),
            name=name,
            body=body,
            repeat=repeat,
        )
        return ToolPassage(call=call)

    async def call(
        self, name: str = "note", *, body: bytes | None = None, **more: Any
    ) -> ToolResult:
        """Call a tool and return what it said."""
        passage = self.tool_passage(name, body=body or b'{"text":"hi"}', **more)
        async with self.gate.road(passage) as reply:
            assert isinstance(reply, ToolReply)
            return reply.result

    async def read(self, passage: ModelPassage) -> bytes:
        """Open a call, read its reply to the end, and close it."""
        async with self.gate.road(passage) as reply:
            return await whole(reply)

    async def ask(self, model: str = "plain", **more: Any) -> bytes:
        """Make a call and read its reply."""
        return await self.read(self.passage(model, **more))

    async def settled(self) -> None:
        """Wait until every write that was submitted is done, and what it set off is too."""
        for _ in range(2):
            await self.store.end_task("nobody", self.clock.now())

    @contextmanager
    def store_down(self, *, table: str = "attempts") -> Generator[None]:
        """Take a table away from under the store, so that nothing can be written."""
        path = self.gate.settings.gate.store.removeprefix("sqlite:")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
            yield
            other.execute(f"ALTER TABLE elsewhere RENAME TO {table}")

    @property
    def last(self) -> CallRow:
        """The newest row of the audit log."""
        return self.store.calls(limit=1)[0]

    def spent(self, task: str = "t1") -> tuple[Money, Money]:
        """What a task has spent, and what it holds."""
        row = self.store.task_row(task)
        assert row is not None
        return row.spent, row.held


async def whole(reply: Reply) -> bytes:
    """Read a reply to its end."""
    if reply.chunks is None:
        return reply.body or b""
    return b"".join([chunk async for chunk in reply.chunks])


@asynccontextmanager
async def open_road(
    path: Path,
    *first: Line,
    second: tuple[Line, ...] = (),
    third: tuple[Line, ...] = (),
    make_provider: MakeProvider | None = None,
    toolsets: Sequence[Toolset] = (),
    environ: Mapping[str, str] = KEYS,
    **changes: Any,
) -> AsyncGenerator[Road]:
    """Open a road whose providers play these scripts."""
    providers = {
        "first": FakeProvider(*first),
        "second": FakeProvider(*second),
        "third": FakeProvider(*third),
    }
    clock = FakeClock()
    gate = await Gate.open(
        settings(path, **changes),
        environ=environ,
        clock=clock,
        rng=random.Random(0),
        make_provider=make_provider or (lambda policy: providers[policy.name]),
        toolsets=toolsets,
    )
    try:
        yield Road(gate, gate.store, clock, providers)
    finally:
        await gate.close()
