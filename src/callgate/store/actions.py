"""Actions: what tools do to the world, each of them once, whoever asks for it how often."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Protocol

import msgspec

from callgate.call import ToolResult
from callgate.task import Task

ActionState = Literal["running", "done", "not_done", "unknown"]
"""``not_done``: it surely has not happened, and may be tried again; ``unknown``: nobody knows whether it
has, and nobody tries it again before somebody finds out."""

MOST_KEPT_BYTES: Final = 65_536
"""The largest result that is kept, to be told to who asks again."""

MOST_ARGUMENTS: Final = 2_000
"""Characters of an action's arguments that are kept for those who look at it."""


class LookUp(msgspec.Struct, frozen=True, kw_only=True):
    """A question to a tool, whether an action has been done."""

    tool: str
    arguments: Mapping[str, Any]
    done: str
    """What of its answer is true if it has, in JMESPath."""
    certain_after_seconds: float = 300.0
    """How long after it was sent a no proves nothing."""


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What a call is about to do, where that is to be done once."""

    id: str
    """What it is called, if it is new."""
    digest: bytes
    """Of what names the action: tool, scope, and what of the arguments the settings say."""
    scope: str
    """Where it is to be done once: ``task:ID``, ``user:NAME``, ``agent:NAME`` or ``gate``."""
    repeat: int | None
    """Which time of it is meant, from 1; None: another time than all before."""
    tool: str
    task: Task
    exact: bytes
    """Of all its arguments."""
    arguments: str
    """Its arguments, as they may be shown."""
    idempotency_key: str
    """By which the tool will know it, if it is new."""
    known_for_seconds: float = 0.0
    """How long after it was first sent the tool may be asked again while nobody knows, as it knows it
    by that key; infinity for one that may always be asked again."""
    wait_seconds: float = 60.0
    """How long its call waits for another that is at it: as long as one may take."""
    check: LookUp | None = None


class ActionEnd(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an action by an attempt."""

    state: ActionState
    result: bytes | None = None
    """What the tool said; None where it said nothing, or too much to be kept."""
    next_key: str | None = None
    """The key of the next try, where the tool has answered that it failed: by the old one it could
    only say so again."""

    @classmethod
    def of(cls, result: ToolResult) -> ActionEnd:
        """Return that it is done, with what the tool said, unless that is too much to be kept."""
        kept = msgspec.json.encode(result)
        return cls(state="done", result=kept if len(kept) <= MOST_KEPT_BYTES else None)


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody says of an action that nobody knew."""

    action_id: str
    state: Literal["done", "not_done"]
    by: str
    """Who says it: a person, or the tool that was asked."""
    at: float
    note: str = ""
    attempt_id: str | None = None
    """The attempt that it is about; None: whichever was the last. Another one since is not decided on."""


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """An action as listings show it."""

    id: str
    scope: str
    n: int
    """Which time of it, from 1."""
    tool: str
    task_id: str
    agent: str
    user: str | None
    arguments: str | None
    """Without what looks like a credential, and cut; None where they are not kept any more."""
    state: ActionState
    call_id: str
    """The last call that tried it."""
    attempt_id: str
    """The last attempt."""
    attempts: int
    since: float
    """When it was first sent, or again after it surely had not happened; seconds since 1970."""
    sent_at: float
    """When the last attempt was made."""
    ended_at: float | None
    """When it was known what became of it."""
    decided_by: str | None
    """Who said so, where it was not the tool itself."""
    note: str | None
    check: LookUp | None


class Actions(Protocol):
    """What a store knows of them."""

    def check_action(self, planned: Planned, now: float, /) -> None:
        """Look whether an action is done, or may be, without holding anything.

        Raises:
            AlreadyDone: It is done.
            StillUnknown: It may be done.
            Malformed: It is a repetition of something that is not done.
        """
        ...

    def actions(
        self, *, limit: int | None = 50, only_open: bool = False, task_id: str | None = None
    ) -> Sequence[Action]:
        """Return actions: those that are unknown first, the newest of each first."""
        ...

    def find_action(self, action_id: str, /) -> Action | None:
        """Return one."""
        ...

    def decide(self, decision: Decision, /) -> Future[Action]:
        """Write what somebody says of an action, and resolve its alert.

        Raises (through the future):
            Unknown: There is none of that id.
            StillRunning: It is being done just now, so that it will be known.
        """
        ...
