"""What a stage is, what passes through it, and how stages become one road."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import wraps
from types import TracebackType
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, runtime_checkable

import msgspec

from callgate.call import Attempt, Call, Candidate, Headers, ModelCall, Reply, Tool, ToolCall
from callgate.config.policies import TaskPolicy
from callgate.errors import (
    AlreadyDone,
    ClientLeft,
    OverLimit,
    Reason,
    TimedOut,
)
from callgate.pipeline.matrix import judged
from callgate.redact import Secret
from callgate.store import MadeReply, Planned
from callgate.task import Task
from callgate.wire import Format, Request
from callgate.wire.codec.way_back import WayBack

C_co = TypeVar("C_co", bound=Call, covariant=True)


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A call's request in the form in which one candidate would get it.

    It is what the call says itself where the candidate takes its format, and a translation
    elsewhere.
    """

    format: Format
    request: Request
    body: bytes
    headers: Headers
    """Those that the provider may see."""
    way_back: WayBack | None = None
    """How the reply comes back; None where it is of the call's own format."""
    changes: tuple[str, ...] = ()
    """What the translation was and has lost, for the audit row."""
    beside_tokens: int | None = 0
    """The tokens of the earlier reply that the request goes on from; None if nobody knows them."""


class Passage(msgspec.Struct, Generic[C_co], kw_only=True):
    """One call on its way down the road, with what each stage found out about it.

    The call itself never changes. Each field below it is written by one stage only, the one
    that its text names, and read by those further in and by ``record``, which ends the audit
    row whatever happened.
    """

    call: C_co
    task: Task | None = None
    """identify: the task it belongs to; perhaps not in the store yet."""
    policy: TaskPolicy | None = None
    """identify: what holds for tasks of that type."""
    narrowing: tuple[Task, ...] = ()
    """identify: the task and those above it, as far as they are narrowed to some models or tools."""
    own_task: bool = False
    """identify: whether the task exists for this one call, and ends with it."""
    client_retry: int = 0
    """identify: how often its client had sent the same before, where an earlier one was admitted."""
    target: str | None = None
    """parse: the name that the agent asks for."""
    stream: bool = False
    """parse: whether the reply is to stream."""
    input: str | None = None
    """parse: what is asked for, as the audit row may keep it; None keeps nothing."""
    action: Planned | None = None
    """replay: what the call is about to do, where that is to be done once."""
    already_done: AlreadyDone | None = None
    """replay: that it was done before, where the call only tells what came of it."""
    candidate: Candidate | None = None
    """route: who serves it now."""
    key: str | None = None
    """route: the reference of the key that is used."""
    has_others: Callable[[], bool] = bool
    """route: whether there is another way to an answer than by another key."""
    has_other_key: bool = False
    """route: whether the same candidate is left with another key."""
    goes_on: bool = False
    """route: whether the call goes on though the attempt that ends now was answered."""
    attempts: int = 0
    """admit: attempts admitted so far; from the first on the call has a row."""
    attempt: Attempt | None = None
    """admit: the attempt that runs now."""
    credential: Secret | None = None
    """secrets: the key of the attempt that runs now."""
    changes: tuple[str, ...] = ()
    """execute: what differs between what came and what left."""
    opened_at: float | None = None
    """execute: when the first content came, seconds since 1970."""
    ended: bool = False
    """admit: whether a settlement has already written the call's outcome."""
    left: bool = False
    """The door: whether the reader hung up."""
    runner: asyncio.Task[object] | None = None
    """record: the asyncio task that walks the road; a drain that takes too long cancels it."""
    drain: asyncio.TimerHandle | None = None
    """What will cancel the runner, once the reader has left."""
    expiry: asyncio.TimerHandle | None = None
    """retry: what will cancel the runner at the deadline of its task."""
    expired: bool = False
    """Whether it did."""
    patience: asyncio.TimerHandle | None = None
    """retry: what will cancel the runner when its client waits no longer for a reply to begin."""
    exhausted_patience: bool = False
    """Whether it did."""

    def leave(self, drain_seconds: float) -> None:
        """Say that nobody reads any more; the road reads on to learn the usage.

        Args:
            drain_seconds: How long the provider may go on before it is cancelled; 0 cancels
                at once.
        """
        if self.left or self.runner is None:
            return
        self.left = True
        loop = asyncio.get_running_loop()
        self.drain = loop.call_later(drain_seconds, self.runner.cancel)

    def expire(self, seconds: float) -> None:
        """Let the call end by itself in so many seconds, wherever it is then."""
        self.expiry = asyncio.get_running_loop().call_later(seconds, self._expire)

    def await_beginning(self, seconds: float) -> None:
        """Let the call end by itself in so many seconds, unless its reply has begun by then."""
        self.begin()
        self.patience = asyncio.get_running_loop().call_later(seconds, self._lose_patience)

    def begin(self) -> None:
        """Say that the reply has begun."""
        if self.patience is not None:
            self.patience.cancel()

    def stop_clock(self) -> None:
        """Say that the call's outcome is known: from now on no timer of its own ends it."""
        for timer in (self.expiry, self.patience):
            if timer is not None:
                timer.cancel()

    def _expire(self) -> None:
        # The timer ends with the road.
        assert self.runner is not None
        self.expired = True
        self.runner.cancel()

    def _lose_patience(self) -> None:
        assert self.runner is not None
        self.exhausted_patience = True
        self.runner.cancel()

    def cause(self, error: BaseException) -> BaseException:
        """Return what really ended the call, where one of its own timers cancelled the runner."""
        if not isinstance(error, asyncio.CancelledError):
            return error
        if self.expired:
            return self._deadline_passed()
        if self.exhausted_patience:
            return self._too_late()
        if self.left:
            return ClientLeft("the client hung up, and the provider did not finish in time")
        return error

    def _deadline_passed(self) -> TimedOut:
        assert self.task is not None
        fix = f"raise timeout in [tasks.{self.task.type}] of callgate.toml"
        msg = f"the deadline of task {self.task.id} passed before the provider had finished; {fix}"
        reason = Reason(
            code="deadline_passed",
            rule=f"tasks.{self.task.type}.timeout",
            scope=f"task:{self.task.id}",
            fix=fix,
        )
        return TimedOut(msg, billed=True, reason=reason)

    def _too_late(self) -> TimedOut:
        waits = self.call.patience_seconds
        fix = "raise the timeout of the client, or ask a faster model"
        msg = f"the client waits {waits:g} s for a reply, which had not begun by then; {fix}"
        return TimedOut(
            msg, billed=True, reason=Reason(code="client_timeout", limit=f"{waits:g} s", fix=fix)
        )

    def arrive(self) -> None:
        """Say that the road has come to its end: there is nobody left to cancel."""
        self.runner = None
        for timer in (self.drain, self.expiry, self.patience):
            if timer is not None:
                timer.cancel()


AnyPassage = Passage[Call]
PassageT = TypeVar("PassageT", bound=AnyPassage)
P_contra = TypeVar("P_contra", bound=AnyPassage, contravariant=True)


class ModelPassage(Passage[ModelCall], kw_only=True):
    """A call to a model on its way."""

    request: Request | None = None
    """parse: what the request says about itself."""
    candidates: tuple[Candidate, ...] = ()
    """permission: who may serve it, in order."""
    earlier: MadeReply | None = None
    """route: the earlier reply that the request goes on from."""
    draft: Draft | None = None
    """route: the request in the form in which the candidate would get it."""
    limited_to: int | None = None
    """execute: the output limit that the gate chose, in tokens."""


class ToolPassage(Passage[ToolCall], kw_only=True):
    """A call to a tool on its way."""

    arguments: Mapping[str, Any] | None = None
    """parse: the arguments, decoded."""
    tool: Tool | None = None
    """permission: what is called."""
    asking: bool = False
    """execute: whether the tool was asked and has not answered."""

    def cause(self, error: BaseException) -> BaseException:
        """Return what really ended the call; a tool that was cut off may have done its work."""
        cause = super().cause(error)
        if cause is error or not self.asking or not isinstance(cause, TimedOut):
            return cause
        assert self.tool is not None
        return judged(cause, self.tool)


def is_of_provider(refused: OverLimit, passage: AnyPassage) -> bool:
    """Whether a limit is one of the provider that was to serve, and not of who asks."""
    assert passage.candidate is not None
    return refused.reason.scope == f"provider:{passage.candidate.provider}"


Road = Callable[[P_contra], AbstractAsyncContextManager[Reply]]
"""A road for passages of a kind, or the rest of it."""

Next = Callable[[Any], AbstractAsyncContextManager[Reply]]
"""The rest of the road, as a stage sees it: it takes the passage that the stage was given."""


P = ParamSpec("P")


class Open:
    """A generator of one reply as a context manager; what a :func:`staged` method returns.

    As that of the standard library, without what only a context manager that is used by hand needs:
    a call opens seven of them.
    """

    __slots__ = ("_generator",)

    def __init__(self, generator: AsyncGenerator[Reply]) -> None:
        self._generator = generator

    async def __aenter__(self) -> Reply:
        """Run up to the reply."""
        return await anext(self._generator)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Run to the end; what went wrong outside is raised where the reply was given."""
        if error is None:
            await anext(self._generator, None)
            return False
        try:
            await self._generator.athrow(error)
        except StopAsyncIteration:
            return True
        except BaseException as raised:
            if raised is not error:
                raise
            error.__traceback__ = trace
        return False


class Held:
    """Closes what was opened already, by hand."""

    __slots__ = ("_opened",)

    def __init__(self, opened: AbstractAsyncContextManager[Reply]) -> None:
        self._opened = opened

    async def __aenter__(self) -> None:
        """Nothing is left to open."""

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        """Close it."""
        return await self._opened.__aexit__(kind, error, trace)


def staged(opening: Callable[P, AsyncGenerator[Reply]]) -> Callable[P, Open]:
    """Make a generator of one reply a context manager, as a stage must return one."""

    @wraps(opening)
    def opened(*args: P.args, **kwargs: P.kwargs) -> Open:
        return Open(opening(*args, **kwargs))

    return opened


class Stage(Protocol[P_contra]):
    """Async context manager around the rest of the road.

    Code before ``async with next(passage)`` runs before the call; code after it runs when the
    door has read the last byte, so a stream and a plain reply settle on the same line, and a
    retry or a fallback can only happen before the first content byte.
    """

    def __call__(self, passage: P_contra, next: Next, /) -> AbstractAsyncContextManager[Reply]:
        """Open the call; closing the result ends it."""
        ...


@runtime_checkable
class Guard(Protocol[P_contra]):
    """A stage that decides before the call goes on, at once, and has nothing to do after it."""

    def guard(self, passage: P_contra, /) -> None:
        """Note what later stages must know, or refuse the call."""
        ...


def compose(
    stages: Sequence[Stage[PassageT] | Guard[PassageT]], last: Road[PassageT]
) -> Road[PassageT]:
    """Wrap ``last`` in ``stages``; the first stage is the outermost."""
    for stage in reversed(stages):
        last = _guarded(stage, last) if isinstance(stage, Guard) else _wrapped(stage, last)
    return last


def _guarded(stage: Guard[PassageT], next: Road[PassageT]) -> Road[PassageT]:
    def opened(passage: PassageT) -> AbstractAsyncContextManager[Reply]:
        stage.guard(passage)
        return next(passage)

    return opened


def _wrapped(stage: Stage[PassageT], next: Road[PassageT]) -> Road[PassageT]:
    def opened(passage: PassageT) -> AbstractAsyncContextManager[Reply]:
        return stage(passage, next)

    return opened
