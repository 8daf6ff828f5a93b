"""Look-ups: a tool that reads is asked whether another has done what nobody knows it has."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Final

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError

from callgate.call import Caller, Claims, Tool, ToolCall, ToolReply, ToolResult, new_id
from callgate.clock import Clock, rfc3339
from callgate.errors import CallgateError, StoreDown
from callgate.pipeline import ToolPassage
from callgate.store import Action, Decision, LookUp, Store

LOOK_SECONDS: Final = 5.0
"""How long until somebody looks whether there is something to find out."""

LONGEST_WAIT_SECONDS: Final = 600.0
"""How long the wait between two questions about one action becomes; each is twice the one before."""

DOOR: Final = "gate"
"""The way in of calls that the gate makes by itself."""

ToolRoad = Callable[[ToolPassage], AbstractAsyncContextManager[ToolReply]]

log = logging.getLogger("callgate")


class Finding(msgspec.Struct, frozen=True):
    """What a look-up has come to."""

    action: Action
    told: str
    """In words, for who has asked."""


class LookUps:
    """Asks about actions that nobody knows of, where the settings say whom.

    A no proves nothing as long as the far side may still be at it; a yes does at once.

    Args:
        store: Where actions are.
        clock: What waits go by.
        road: The road of calls to tools.
        find: Finds a tool by its name.
    """

    def __init__(
        self, store: Store, clock: Clock, road: ToolRoad, find: Callable[[str], Tool | None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._road = road
        self._find = find
        self._due: dict[str, tuple[float, float]] = {}
        """By action: when to ask again, and how long to wait after that."""

    async def go_on(self) -> None:
        """Look for actions that nobody knows of, and ask, until this is cancelled."""
        while True:
            with suppress(StoreDown):
                await self.look()
            await self._clock.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Ask about every action that it is time to ask about."""
        found = self._store.actions(limit=None, only_open=True)
        self._due = {each.id: self._due[each.id] for each in found if each.id in self._due}
        for action in found:
            now = self._clock.now()
            due, wait = self._due.get(action.id, (now, LOOK_SECONDS))
            if action.check is not None and due <= now:
                self._due[action.id] = (now + wait, min(2 * wait, LONGEST_WAIT_SECONDS))
                await self._look_at(action, action.check)

    async def _look_at(self, action: Action, check: LookUp) -> None:
        try:
            finding = await self.find_out(action, check)
        except Exception:
            # Whatever it is, others can still be looked up.
            log.exception("effect %s could not be looked up", action.id)
        else:
            log.info("effect %s: %s", action.id, finding.told)

    async def find_out(self, action: Action, check: LookUp) -> Finding:
        """Ask about one action; decide on it, if the answer tells.

        Args:
            action: One that nobody knows of.
            check: Whom to ask, and what.

        Raises:
            StillRunning: It has gone on since.
        """
        tool = self._find(check.tool)
        if tool is None or tool.effect != "read":
            fix = f'set effect = "read" under [tools."{check.tool}"] in callgate.toml, if it is one'
            return Finding(action, f"there is no tool {check.tool} that only reads; {fix}")
        passage = self._passage(action, check)
        try:
            async with self._road(passage) as reply:
                answer = reply.result
            is_done = _is_done(check, answer)
        except (CallgateError, JMESPathError, ValueError) as error:
            return Finding(action, f"{check.tool} could not tell: {error}")
        finally:
            if passage.task is not None:
                self._store.end_task(passage.task.id, self._clock.now())
        certain_at = action.sent_at + check.certain_after_seconds
        if not is_done and self._clock.now() < certain_at:
            told = f"{check.tool} does not find it; that is certain from {rfc3339(certain_at)} on"
            return Finding(action, told)
        decided = await self._store.decide(
            Decision(
                action_id=action.id,
                state="done" if is_done else "not_done",
                by=check.tool,
                at=self._clock.now(),
                note=f"call {passage.call.id}",
                attempt_id=action.attempt_id,
            )
        )
        return Finding(decided, f"{check.tool} {'finds it' if is_done else 'does not find it'}")

    def _passage(self, action: Action, check: LookUp) -> ToolPassage:
        """Return a call in a task of its own: that of the action may have run out of time."""
        claims = Claims(task_id=new_id("check"), user=action.user)
        call = ToolCall(
            id=new_id("call"),
            door=DOOR,
            caller=Caller(agent=action.agent),
            claims=claims,
            started_at=self._clock.now(),
            name=check.tool,
            body=msgspec.json.encode(check.arguments),
        )
        return ToolPassage(call=call)


def _is_done(check: LookUp, answer: ToolResult) -> bool:
    """Return whether an answer says that it was done.

    Raises:
        ValueError: It says that the look-up itself failed, or is no JSON.
        JMESPathError: It is not what was expected.
    """
    if answer.is_error:
        msg = f"it says that it failed: {answer.text}"
        raise ValueError(msg)
    page = msgspec.json.decode(answer.text) if answer.structured is None else answer.structured
    found: Any = jmespath.search(check.done, page)
    # As JMESPath itself has it: a zero is something.
    return not (found is None or found is False or found in ("", [], {}))
