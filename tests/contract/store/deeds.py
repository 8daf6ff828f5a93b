"""What a store should say of actions, which are done once; see :mod:`tests.contract.store.model`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from callgate.errors import AlreadyDone, Malformed, Refused, StillRunning, StillUnknown
from callgate.store import ActionState, Intent, Planned

REFUSED: Final[dict[ActionState, type[Refused]]] = {
    "running": StillRunning,
    "done": AlreadyDone,
    "unknown": StillUnknown,
}


@dataclass
class Deed:
    """One time of an action."""

    key: str
    exact: bytes
    since: float
    call: str = ""
    attempt: str = ""
    state: ActionState = "not_done"


@dataclass
class Deeds:
    """All times of all actions, in their order."""

    times: dict[bytes, list[Deed]] = field(default_factory=dict[bytes, list[Deed]])

    def refusal(self, intent: Intent) -> type[Refused] | None:
        """Return what an attempt is refused with; None if it may do what it is about to."""
        planned = intent.action
        if planned is None:
            return None
        times, turn = self._of(planned), self._turn(intent, planned)
        if turn > len(times):
            last: ActionState = times[-1].state if times else "done"
            if last == "done":
                return None if turn == len(times) + 1 else Malformed
            if last == "running" and turn == len(times) + 1 and planned.repeat is None:
                return None
            return REFUSED.get(last, Malformed)
        deed = times[turn - 1]
        is_known_by_key = (
            planned.exact == deed.exact and intent.sent_at - deed.since < planned.known_for_seconds
        )
        if deed.state == "unknown" and is_known_by_key:
            return None
        return REFUSED.get(deed.state)

    def begin(self, intent: Intent) -> str | None:
        """Note that an action is being done; return its key."""
        planned = intent.action
        if planned is None:
            return None
        times, turn = self._of(planned), self._turn(intent, planned)
        if turn > len(times):
            times.append(Deed(planned.idempotency_key, planned.exact, intent.sent_at))
        deed = times[turn - 1]
        if deed.exact != planned.exact:
            deed.key, deed.exact = planned.idempotency_key, planned.exact
        if deed.state == "not_done":
            deed.since = intent.sent_at
        deed.call, deed.attempt, deed.state = intent.call_id, intent.attempt_id, "running"
        return deed.key

    def end(self, attempt: str, state: ActionState) -> None:
        """Note what became of an action, where no later attempt is at it."""
        for times in self.times.values():
            for deed in times:
                if deed.attempt == attempt:
                    deed.state = state

    def states(self) -> list[tuple[bytes, int, ActionState]]:
        """Return how every time of every action stands."""
        return sorted(
            (name, n, deed.state)
            for name, times in self.times.items()
            for n, deed in enumerate(times, 1)
        )

    def _of(self, planned: Planned) -> list[Deed]:
        return self.times.setdefault(planned.digest, [])

    def _turn(self, intent: Intent, planned: Planned) -> int:
        """Return which time of an action an attempt is for."""
        times = self._of(planned)
        own = [n for n, deed in enumerate(times, 1) if deed.call == intent.call_id]
        if intent.n > 1 and own:
            return own[0]
        if planned.repeat is not None:
            return planned.repeat
        return len(times) + (not times or times[-1].state in {"done", "running"})
