"""Tools that are functions of Python: ``@tool`` declares one, and an agent calls it by its schema."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Final, TypeVar, get_args, overload

import msgspec
from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from callgate.call import Effect, Progress, Tool, ToolResult
from callgate.config.tool_policies import LARGEST_RESULT, ToolPolicy
from callgate.config.values import parse_duration, parse_money
from callgate.errors import BadRequest, Failed, Misconfigured, Reason, ToolBug, Transient
from callgate.money import Money
from callgate.redact import conceal, redact
from callgate.tools import Invocation
from callgate.tools.results import (
    concealed,
    data,
    limited,
    medium,
    picture_type,
    said,
    whole,
    writable,
)
from callgate.tools.signatures import Report, Signature, ToolContext, read_signature, routine

log = logging.getLogger("callgate")

Callee = TypeVar("Callee", bound=Callable[..., Any])

MARK: Final = "__callgate_tool__"
"""The attribute of a function that holds what it says of itself."""

TOOLSET: Final = "python"


class ToolError(Exception):
    """What a tool raises to tell the model that it failed, and why; nothing else it raises is told."""


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """What a function says of itself."""

    name: str | None = None
    description: str | None = None
    effect: Effect = "destructive"
    is_idempotent: bool = False
    cost: Money = Money()
    timeout_seconds: float = 60.0


@overload
def tool(function: Callee, /) -> Callee: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    effect: Effect = "destructive",
    idempotent: bool = False,
    cost: str = "$0",
    timeout: str | float = "60s",
) -> Callable[[Callee], Callee]: ...


def tool(
    function: Callee | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    effect: Effect = "destructive",
    idempotent: bool = False,
    cost: str = "$0",
    timeout: str | float = "60s",
) -> Callee | Callable[[Callee], Callee]:
    """Declare a function as a tool; it stays the function that it is.

    Args:
        function: Each parameter has a type; the docstring says what it is for.
        name: What agents call it; its own name if left out.
        description: What it is for; its docstring if left out.
        effect: What it does to the world: ``read``, ``write``, or what cannot be undone.
        idempotent: Whether the same call again changes nothing more.
        cost: The most that a call of it costs, such as ``$0.01``.
        timeout: How long a call of it may take, such as ``20s``.

    Raises:
        Misconfigured: A value is none that this can have.
    """
    try:
        declaration = Declaration(
            name=name,
            description=description,
            effect=_effect(effect),
            is_idempotent=idempotent,
            cost=parse_money(cost),
            timeout_seconds=parse_duration(timeout),
        )
    except ValueError as error:
        msg = f"@tool: {error}"
        raise Misconfigured(msg) from error

    def declare(callee: Callee) -> Callee:
        setattr(callee, MARK, declaration)
        return callee

    return declare if function is None else declare(function)


def _effect(effect: Effect) -> Effect:
    if effect not in get_args(Effect):
        msg = f"the effect {effect!r} is none of {', '.join(get_args(Effect))}"
        raise ValueError(msg)
    return effect


class Function:
    """A function as a tool.

    Args:
        function: Declared by ``@tool`` or not.
        policy: What the settings say about it, whatever it says itself.

    Raises:
        Misconfigured: An agent could not call it: a parameter has no type, or nothing says what it
            is for.
    """

    def __init__(self, function: Callable[..., Any], *, policy: ToolPolicy | None = None) -> None:
        declared: Declaration = getattr(function, MARK, Declaration())
        own_name = getattr(function, "__name__", type(function).__name__)
        self.where = f"{function.__module__}:{getattr(function, '__qualname__', own_name)}"
        self._function = function
        self._max_bytes = LARGEST_RESULT if policy is None else policy.max_bytes
        self._signature: Signature = read_signature(function, where=self.where)
        own = Tool(
            name=declared.name or own_name,
            description=declared.description or self._signature.description,
            input_schema=self._signature.input_schema,
            output_schema=self._signature.output_schema,
            effect=declared.effect,
            is_idempotent=declared.is_idempotent,
            toolset=TOOLSET,
            remote_name=self.where,
            cost=declared.cost,
            takes_key=any(kind is not ToolContext for kind in self._signature.filled_in.values()),
            timeout_seconds=declared.timeout_seconds,
        )
        self.tool = own if policy is None else policy.applied_to(own)
        self._check()

    async def call(self, invocation: Invocation) -> ToolResult:
        """Run the function once, and return what it said; see :class:`callgate.tools.Toolset`."""
        try:
            values = self._values(invocation)
            result = self._result(await self._run(values))
        except ToolError as error:
            return limited(said(_hidden(str(error), invocation), is_error=True), self._max_bytes)
        except Failed as failure:
            failure.message = _hidden(failure.message, invocation)
            failure.args = (failure.message,)
            raise
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                raise
            self._log(error, invocation)
            raise self._bug(invocation) from None
        return concealed(limited(result, self._max_bytes), invocation.credential)

    def _check(self) -> None:
        """Refuse what no model could choose, and a key that nobody would use."""
        if not self.tool.description:
            fix = "say in its docstring what it is for: a model goes by that"
            msg = f"{self.where} has no description; {fix}"
            raise Misconfigured(msg)
        if self.tool.key is not None and ToolContext not in self._signature.filled_in.values():
            fix = "give it a parameter of the type ToolContext, or remove key"
            msg = f"[tools.{self.tool.name}] names a key, and {self.where} takes none; {fix}"
            raise Misconfigured(msg)

    def _values(self, invocation: Invocation) -> dict[str, Any]:
        """Return what the function is called with."""
        try:
            values = self._signature.values(invocation.arguments)
        except ValidationError as error:
            raise _wrong(error, invocation) from None
        return values | self._filled_in(invocation)

    def _filled_in(self, invocation: Invocation) -> dict[str, object]:
        context = ToolContext(
            call_id=invocation.call_id,
            task_id=invocation.task_id,
            key=invocation.credential,
            report=_reporter(invocation),
        )
        kinds = self._signature.filled_in.items()
        return {
            name: context if kind is ToolContext else invocation.idempotency_key
            for name, kind in kinds
        }

    async def _run(self, values: Mapping[str, Any]) -> Any:
        if _is_async(self._function):
            return await self._function(**values)
        value = await _in_thread(self._function, values, name=self.tool.name)
        return await value if inspect.isawaitable(value) else value

    def _result(self, value: object) -> ToolResult:
        """Return what a function returned as a result."""
        if isinstance(value, ToolResult):
            return writable(value)
        if isinstance(value, bytes):
            type = picture_type(value)
            if type is None:
                msg = f"{self.where} returned bytes that are no picture (PNG, JPEG, GIF or WebP)"
                raise TypeError(msg)
            return medium(value, type)
        adapter = self._signature.result
        if adapter is None:
            return data(to_jsonable_python(value))
        try:
            return data(adapter.dump_python(adapter.validate_python(value), mode="json"))
        except ValidationError as error:
            msg = f"{self.where} returned what it does not promise: {error}"
            raise TypeError(msg) from error

    def _log(self, error: BaseException, invocation: Invocation) -> None:
        """Tell the operator what the function raised, and nobody else."""
        told = "".join(traceback.format_exception(error))
        log.error(
            "the tool %s (%s) raised an error of its own in %s:\n%s",
            self.tool.name,
            self.where,
            invocation.call_id,
            _hidden(told, invocation),
        )

    def _bug(self, invocation: Invocation) -> ToolBug:
        fix = f"the log of the gate has what it raised in {invocation.call_id}; mend {self.where}"
        msg = f"the tool {self.tool.name} failed by a mistake of its own, and may have done a part of its work"
        return ToolBug(msg, billed=True, reason=Reason(code=ToolBug.code, fix=fix))


class Functions:
    """The toolset of a process's own functions."""

    name = TOOLSET
    pinning = None

    def __init__(self, *functions: Function) -> None:
        self._functions = {function.tool.name: function for function in functions}
        self._tools = tuple(function.tool for function in functions)

    def start(self) -> None:
        """Do nothing: functions are there."""

    def tools(self) -> Sequence[Tool]:
        """Return them all."""
        return self._tools

    async def call(self, invocation: Invocation, /) -> ToolResult:
        """Run one attempt; see :class:`callgate.tools.Toolset`."""
        return await self._functions[invocation.tool.name].call(invocation)

    async def close(self) -> None:
        """Do nothing: a function that still runs ends by itself, or with the process."""


def _hidden(text: str, invocation: Invocation) -> str:
    """Return a text without what looks like a credential, and without the one of the call."""
    text = whole(text)
    known = text if invocation.credential is None else conceal(text, invocation.credential)
    return redact(known)


def _is_cancelled() -> bool:
    """Whether the caller has given up, and not the function itself."""
    running = asyncio.current_task()
    return running is not None and running.cancelling() > 0


def _wrong(error: ValidationError, invocation: Invocation) -> BadRequest:
    """Return what is wrong with arguments that the schema allows, and the types do not."""
    flaws = [
        f"$.{'.'.join(map(str, flaw['loc']))}: {flaw['msg']}"
        for flaw in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    fix = "correct the arguments; nothing was done"
    told = _hidden("; ".join(flaws), invocation)
    msg = f"the arguments of {invocation.tool.name} are wrong: {told}; {fix}"
    return BadRequest(msg, billed=False, reason=Reason(code="invalid_arguments", fix=fix))


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(routine(function))


async def _in_thread(function: Callable[..., Any], values: Mapping[str, Any], *, name: str) -> Any:
    """Run a function in a thread of its own.

    Not in one of a pool: a function that hangs would take it from the others, and keep the process
    from ending.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
    context = copy_context()

    def work() -> None:
        value, raised = None, None
        try:
            value = context.run(function, **values)
        except BaseException as error:  # noqa: BLE001  (raised again where the caller waits)
            raised = error
        # The loop is closed where nobody waits any more.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_deliver, done, (value, raised))

    try:
        threading.Thread(target=work, name=f"callgate-tool-{name}", daemon=True).start()
    except RuntimeError as error:
        msg = f"{name} could not be run, as the process has too many threads: {error}"
        raise Transient(msg, billed=False) from error
    value, raised = await done
    if raised is not None:
        raise raised
    return value


def _deliver(done: asyncio.Future[Any], outcome: object) -> None:
    if not done.done():
        done.set_result(outcome)


def _reporter(invocation: Invocation) -> Report:
    """Return what tells of progress from any thread, and never fails."""
    loop, reporting = asyncio.get_running_loop(), set[asyncio.Task[None]]()

    def spawn(progress: Progress, done: float, total: float | None, note: str | None) -> None:
        task = asyncio.ensure_future(_report(progress, done, total, note))
        reporting.add(task)
        task.add_done_callback(reporting.discard)

    def report(done: float, total: float | None = None, note: str | None = None, /) -> None:
        if invocation.on_progress is not None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(spawn, invocation.on_progress, done, total, note)

    return report


async def _report(progress: Progress, done: float, total: float | None, note: str | None) -> None:
    with suppress(Exception):
        await progress(done, total, note)
