"""Tools: what an agent can call besides a model, wherever it comes from.

A toolset is a place that tools come from: functions of Python, HTTP interfaces, an MCP server, a
platform that charges credits. It says which tools it has and runs one call of one of them, once;
whether, when and how often that happens the road decides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from callgate.call import Ask, Progress, Tool, ToolResult
from callgate.redact import Secret
from callgate.store.pins import Accepting


class Invocation(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to call a tool, admitted and with its intent on disk."""

    tool: Tool
    arguments: Mapping[str, Any]
    """What the agent asked for, as the tool's input schema has it."""
    call_id: str
    task_id: str
    idempotency_key: str
    """The same for every attempt of one logical action."""
    timeout_seconds: float
    """How long it may take: the tool's own time, or less where its task's deadline is nearer."""
    credential: Secret | None = None
    """What ``tool.key`` stands for; None if it has none."""
    on_progress: Progress | None = None
    """Where the caller wants to hear of progress."""
    on_question: Ask | None = None
    """Where somebody can be asked what the tool wants to know; None where nobody can. The time that
    the answer takes is not the call's."""
    note_job: Callable[[str], Awaitable[None]] | None = None
    """Takes the id of a job, where the far side goes on by itself and is asked again later; done once
    the id is durable, and not before does a toolset ask. Only a :class:`Follower` has jobs."""


class Pinning(msgspec.Struct, frozen=True, kw_only=True):
    """How the tools of others are held to what somebody has accepted of them."""

    accepting: Accepting
    surroundings: Mapping[str, str] = {}
    """What their source was given by us and may repeat in what it says of them, by name."""


class Toolset(Protocol):
    """A place that tools come from."""

    @property
    def name(self) -> str:
        """What the settings call it."""
        ...

    @property
    def pinning(self) -> Pinning | None:
        """How its tools are held to what was accepted; None where they are the settings' own."""
        ...

    def start(self) -> None:
        """Begin what goes on beside the calls, such as a process; returns at once.

        Called once, in the event loop that calls come from.
        """
        ...

    def tools(self) -> Sequence[Tool]:
        """Return the tools that it is known to have now; never waits.

        Which they are may change while the gate runs.
        """
        ...

    async def call(self, invocation: Invocation, /) -> ToolResult:
        """Run one attempt, and return what the tool said, also where it says that it failed.

        It never tries again by itself. Cancelling it cancels the call at its far side, if there is one.

        Raises:
            Failed: The tool could not be asked, or did not answer. ``billed`` is False only where it
                is certain that nothing has happened at the far side; it goes with ``Transient`` for
                what may go better in a moment, ``RateLimited``, ``TimedOut``, ``BadRequest`` for
                arguments that the far side does not take, ``BadCredential``, ``OutOfCredit``, and
                ``BrokenReply`` for a result that cannot be used. ``cost`` is what the far side says
                that it has charged nevertheless; None where it says nothing.
        """
        ...

    async def close(self) -> None:
        """End what belongs to it: connections, processes."""
        ...


@runtime_checkable
class Remote(Toolset, Protocol):
    """A toolset that has to ask which tools it has."""

    async def ready(self) -> None:
        """Wait until its tools are known, or it is known that they are not to be had now."""
        ...


@runtime_checkable
class Follower(Toolset, Protocol):
    """A toolset whose far side goes on by itself with some calls, so that another gate may follow."""

    async def follow(self, job_id: str, tool: str, /) -> ToolResult:
        """Wait for the result of a job that another process has begun.

        Args:
            job_id: What the far side calls it.
            tool: What was called, for messages.

        Raises:
            Failed: It has ended without a result, or the far side knows it no more.
            Misconfigured: There is no key to ask with.
        """
        ...
