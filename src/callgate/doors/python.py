"""The Python door: tasks and model calls in the agent's own process, on the same road."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from callgate.call import (
    Caller,
    Claims,
    ModelCall,
    Reply,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
    new_id,
)
from callgate.config import builtin as builtin_settings
from callgate.config import environment, find, load
from callgate.config.policies import Settings
from callgate.errors import CallgateError, Misconfigured, Unknown
from callgate.gate import Gate
from callgate.money import Money
from callgate.observe.receipt import Receipt, make_receipt
from callgate.pipeline import AnyPassage, ModelPassage, ToolPassage
from callgate.pipeline.permission import look_up
from callgate.task import Task
from callgate.wire.formats import ADDRESSED
from callgate.wire.sse import read_events

if TYPE_CHECKING:
    from httpx2 import AsyncBaseTransport

DOOR = "python"

T = TypeVar("T")

FORMAT_OF_API = {
    "openai": "openai_chat",
    "anthropic": "anthropic_messages",
    "gemini": "gemini_generate_content",
}
"""The format in which a model is asked, by the api of who serves it; the first, for any other."""

PIECES_AHEAD = 64
"""How many pieces of a stream are read ahead of a slow reader before the provider waits."""


class ModelReply(msgspec.Struct, frozen=True, kw_only=True):
    """What a model answered."""

    call_id: str
    body: Mapping[str, Any]
    """The provider's reply, decoded."""
    usage: Usage | None
    """Tokens by disjoint buckets; None where the provider told none."""
    limited_to: int | None
    """The output limit that the gate chose, in tokens, if the request named none."""

    @property
    def text(self) -> str:
        """The text of the reply, without tool calls and thinking."""
        if "choices" in self.body:
            return str(self.body["choices"][0]["message"].get("content") or "")
        if "candidates" in self.body:
            parts = self.body["candidates"][0].get("content", {}).get("parts", [])
            return "".join(part.get("text", "") for part in parts if not part.get("thought"))
        parts = self.body.get("content", [])
        return "".join(part["text"] for part in parts if part.get("type") == "text")


class TaskDoor:
    """One running task: its calls are governed together."""

    def __init__(self, gate: Gate, task: Task, background: set[asyncio.Task[Any]]) -> None:
        self._gate = gate
        self._task = task
        self._background = background

    @property
    def id(self) -> str:
        """The task's id, as the audit log and the receipts have it."""
        return self._task.id

    @property
    def receipt(self) -> Receipt:
        """What the task has done and cost so far."""
        receipt = make_receipt(self._gate.store, self._task.id, settings=self._gate.settings)
        if receipt is None:
            msg = f"the store has lost task {self._task.id!r}"
            raise Unknown(msg)
        return receipt

    async def model(self, name: str, /, **fields: object) -> ModelReply:
        """Ask a model, and wait for the whole reply.

        Args:
            name: A name of the settings' ``[models]``, or ``provider:model``.
            fields: The rest of the request, in the words of the api that serves the model:
                ``messages=[…]``, ``tools=[…]``, ``max_tokens=…``.

        Raises:
            Refused: The gate said no; ``.reason`` names the rule and what to do.
            Failed: The provider said no, or did not answer, after all retries.
        """
        passage = self._passage(name, {**fields, "stream": False} if "stream" in fields else fields)
        reply = await self._patiently(passage, self._carry(passage))
        return ModelReply(
            call_id=passage.call.id,
            body=msgspec.json.decode(reply.body or b"{}"),
            usage=reply.meter.usage,
            limited_to=passage.limited_to,
        )

    @asynccontextmanager
    async def stream(self, name: str, /, **fields: object) -> AsyncGenerator[AsyncIterator[Any]]:
        """Ask a model, and read its reply as it comes.

        Yields:
            An iterator over the events of the provider's stream, decoded. Leaving the block
            early reads on in the background, to learn what the call cost.
        """
        passage = self._passage(name, {**fields, "stream": True})
        pieces: asyncio.Queue[bytes | CallgateError | None] = asyncio.Queue(PIECES_AHEAD)
        pump = asyncio.create_task(self._pump(passage, pieces))
        self._keep(pump)
        try:
            yield read_events(_drawn(pieces))
        finally:
            if not pump.done():
                passage.leave(self._drain_seconds)
                _empty(pieces)

    async def tool(self, name: str, /, **arguments: object) -> ToolResult:
        """Call a tool, and wait for what it says.

        Args:
            name: A tool of the settings, such as ``web_search`` or ``git.log``.
            arguments: What it takes, as its schema has it.

        Returns:
            What it said, also where it says that it failed (``is_error``). Where it had done the same
            for this task before, what it said then, with ``already_done`` set.

        Raises:
            Refused: The gate said no; ``.reason`` names the rule and what to do.
            Failed: The tool could not be called, or did not answer, after all retries.
        """
        return await self._tool(name, None, arguments)

    async def repeat(self, name: str, time: int, /, **arguments: object) -> ToolResult:
        """Call a tool once more with the same arguments, on purpose, as :meth:`tool` does.

        What a tool does to the world it does once for a task, however often it is called with the
        same arguments. A number says for which time a call is meant, and so happens once itself.

        Args:
            name: A tool of the settings.
            time: 2 for the second time, 3 for the third; each when the one before is done.
            arguments: The same as before.

        Raises:
            Refused: As with :meth:`tool`; ``Malformed`` if it is not the next time.
            Failed: As with :meth:`tool`.
        """
        return await self._tool(name, time, arguments)

    async def _tool(
        self, name: str, time: int | None, arguments: Mapping[str, object]
    ) -> ToolResult:
        call = ToolCall(
            id=new_id("call"),
            door=DOOR,
            caller=self._caller,
            claims=Claims(task_id=self._task.id),
            started_at=self._gate.clock.now(),
            name=name,
            repeat=time,
            body=msgspec.json.encode(arguments),
        )
        passage = ToolPassage(call=call)
        return await self._patiently(passage, self._said(passage))

    def tools(self) -> Sequence[Tool]:
        """Return the tools that this task may call now, with their schemas."""
        return self._gate.tools(self._caller)

    def transport(self) -> AsyncBaseTransport:
        """Return an HTTP transport for an official SDK, which needs no second process.

        ``AsyncOpenAI(api_key="-", base_url="http://callgate/v1",
        http_client=httpx2.AsyncClient(transport=task.transport()))``
        """
        # Here, because only who uses an SDK has its HTTP library.
        from callgate.doors.transport import Transport  # noqa: PLC0415

        return Transport(self._gate, self._task)

    @property
    def _caller(self) -> Caller:
        return Caller(agent=self._task.agent, task_id=self._task.id)

    @property
    def _drain_seconds(self) -> float:
        return self._gate.settings.gate.drain_limit_seconds

    def _passage(self, name: str, fields: Mapping[str, object]) -> ModelPassage:
        task, format = self._task, self._format_for(name)
        page, stream = {"model": name, **fields}, False
        if format in ADDRESSED:
            stream = page.pop("stream", False) is True
            del page["model"]
        call = ModelCall(
            id=new_id("call"),
            door=DOOR,
            caller=self._caller,
            claims=Claims(task_id=task.id),
            started_at=self._gate.clock.now(),
            format=format,
            body=msgspec.json.encode(page),
            model=name,
            stream=stream,
            headers=(("content-type", "application/json"),),
        )
        return ModelPassage(call=call)

    def _format_for(self, name: str) -> str:
        """Return the format of whoever serves ``name`` first; any, where nobody does."""
        settings = self._gate.settings
        served = next(filter(None, (look_up(settings, name, api=api) for api in FORMAT_OF_API)), ())
        api = settings.providers[served[0].provider].api if served else "openai"
        return FORMAT_OF_API.get(api, FORMAT_OF_API["openai"])

    async def _patiently(self, passage: AnyPassage, carrying: Coroutine[Any, Any, T]) -> T:
        """Carry a call to its end; one whose caller is cancelled is settled all the same."""
        carried = asyncio.create_task(carrying)
        self._keep(carried)
        try:
            return await asyncio.shield(carried)
        except asyncio.CancelledError:
            passage.leave(self._drain_seconds)
            raise

    async def _said(self, passage: ToolPassage) -> ToolResult:
        async with self._gate.tool_road(passage) as reply:
            return reply.result

    async def _carry(self, passage: ModelPassage) -> Reply:
        async with self._gate.road(passage) as reply:
            return reply

    async def _pump(
        self, passage: ModelPassage, pieces: asyncio.Queue[bytes | CallgateError | None]
    ) -> None:
        end: CallgateError | None = None
        try:
            async with self._gate.road(passage) as reply:
                async for chunk in reply.chunks or _once(reply.body or b""):
                    if not passage.left:
                        await pieces.put(chunk)
        except CallgateError as error:
            end = error
        if not passage.left:
            await pieces.put(end)

    def _keep(self, task: asyncio.Task[Any]) -> None:
        """Hold on to a call whose caller may go away before it is settled."""
        self._background.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled():
            task.exception()


class GateDoor:
    """A gate in this process; what :func:`open_gate` gives."""

    def __init__(self, gate: Gate, agent: str) -> None:
        self._gate = gate
        self._agent = agent
        self._background: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def task(
        self,
        type: str | None = None,
        *,
        id: str | None = None,
        user: str | None = None,
        budget: str | None = None,
        timeout_seconds: float | None = None,
        models: Sequence[str] | None = None,
        tools: Sequence[str] | None = None,
    ) -> AsyncGenerator[TaskDoor]:
        """Run a task: its calls share one budget and one deadline, and end on one receipt.

        Args:
            type: A task type of the settings; the agent's own, if left out.
            id: An id of yours; a task of that id is continued, with what it has spent.
            user: The end user that it is done for.
            budget: ``"$0.20"``; it may only lower the budget of the type.
            timeout_seconds: May only lower the timeout of the type.
            models: Names or globs: of what the agent may ask for, what none of them covers this task
                may not.
            tools: The same of tools, such as ``["web_search", "git.*"]``.

        Raises:
            Refused: The settings do not allow such a task.
        """
        task = await self._gate.create_task(
            Caller(agent=self._agent),
            Claims(task_id=id, task_type=type, user=user),
            budget=None if budget is None else Money.dollars(budget),
            timeout_seconds=timeout_seconds,
            models=models,
            tools=tools,
        )
        try:
            yield TaskDoor(self._gate, task, self._background)
        finally:
            await asyncio.shield(self._gate.end_task(task.id))

    async def finish(self) -> None:
        """Wait until the calls whose callers went away are settled."""
        while self._background:
            await asyncio.wait(self._background)


@asynccontextmanager
async def open_gate(
    settings: Settings | Path | str | None = None,
    *,
    agent: str | None = None,
    tools: Sequence[Callable[..., Any]] = (),
) -> AsyncGenerator[GateDoor]:
    """Open a gate in this process.

    Args:
        settings: The settings, or their file; ``callgate.toml`` here or above if left out, and
            the built-in settings where there is none.
        agent: Whose permissions hold; may be left out where the settings name one agent only.
        tools: Functions of this program that its agents may call, where their settings name them.

    Raises:
        Misconfigured: The settings cannot be used, or do not tell which agent this is.
    """
    environ = environment()
    resolved = _settings(settings, environ)
    gate = await Gate.open(resolved, environ=environ, functions=tools)
    try:
        door = GateDoor(gate, _agent(resolved, agent))
        async with gate.watching():
            try:
                yield door
            finally:
                await door.finish()
    finally:
        await gate.close()


def _settings(settings: Settings | Path | str | None, environ: Mapping[str, str]) -> Settings:
    if isinstance(settings, Settings):
        return settings
    path = Path(settings) if settings is not None else find(Path.cwd())
    return builtin_settings(environ) if path is None else load(path, environ=environ)


def _agent(settings: Settings, agent: str | None) -> str:
    if agent is not None:
        return agent
    if len(settings.agents) == 1:
        return next(iter(settings.agents))
    listing = ", ".join(sorted(settings.agents)) or "none"
    msg = f"say which agent this is: open_gate(…, agent=NAME); the settings name: {listing}"
    raise Misconfigured(msg)


async def _drawn(pieces: asyncio.Queue[bytes | CallgateError | None]) -> AsyncGenerator[bytes]:
    while (piece := await pieces.get()) is not None:
        if isinstance(piece, CallgateError):
            raise piece
        yield piece


async def _once(body: bytes) -> AsyncGenerator[bytes]:
    yield body


def _empty(pieces: asyncio.Queue[bytes | CallgateError | None]) -> None:
    """Make room, so that a pump that waits for its reader goes on."""
    while not pieces.empty():
        pieces.get_nowait()
