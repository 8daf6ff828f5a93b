"""The simulator's own endpoints, below ``/sim``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated, Final, Protocol
from urllib.parse import parse_qs

import msgspec

from callgate.clock import Clock, rfc3339
from callgate.testing.simulator.bill import Bill
from callgate.testing.simulator.clock import advance
from callgate.testing.simulator.connection import Connection, Incoming
from callgate.testing.simulator.journal import ReceivedRequest
from callgate.testing.simulator.platform.books import Credits
from callgate.testing.simulator.script import Script, ScriptError, parse_script
from callgate.testing.simulator.verdict import Verdict

JSON: Final = [("content-type", "application/json")]
ENDPOINTS: Final = (
    "GET /sim/bill, GET /sim/credits, GET /sim/requests, GET /sim/verdict, GET /sim/clock, POST /sim/clock, "
    "POST /sim/script, POST /sim/reset"
)


class Advance(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST /sim/clock``."""

    advance_seconds: Annotated[float, msgspec.Meta(ge=0)]


class Controlled(Protocol):
    """What the endpoints steer."""

    @property
    def requests(self) -> tuple[ReceivedRequest, ...]:
        """The latest requests."""
        ...

    @property
    def clock(self) -> Clock:
        """What time goes by."""
        ...

    def bill(self) -> Bill:
        """Return what is charged so far."""
        ...

    def verdict(self) -> Verdict:
        """Return what the clients did wrong."""
        ...

    def credits(self) -> Credits:
        """Return what the accounts of the platform have, and how it came to that."""
        ...

    def play(self, script: Script) -> None:
        """Replace the script."""
        ...

    def reset(self) -> None:
        """Begin again."""
        ...


class Control:
    """Answers what is asked below ``/sim``.

    Args:
        simulator: What is steered.
    """

    def __init__(self, simulator: Controlled) -> None:
        self._simulator = simulator

    def answer(self, incoming: Incoming, connection: Connection) -> asyncio.Task[None] | None:
        """Answer one request at once, or return the task that does."""
        endpoint = f"{incoming.method} {incoming.path}"
        if endpoint == "POST /sim/clock":
            answering = self._move_clock(incoming, connection)
            return asyncio.get_running_loop().create_task(answering)
        actions = {
            "GET /sim/bill": self._bill,
            "GET /sim/clock": self._clock,
            "GET /sim/credits": self._credits,
            "GET /sim/verdict": self._verdict,
            "GET /sim/requests": self._requests,
            "POST /sim/script": self._script,
            "POST /sim/reset": self._reset,
        }
        status, value = self._act(actions.get(endpoint), incoming)
        connection.send(status, JSON, msgspec.json.encode(value))
        return None

    def _act(
        self, action: Callable[[Incoming], object] | None, incoming: Incoming
    ) -> tuple[int, object]:
        if action is None:
            return 404, _error(f"{incoming.method} {incoming.path} is none of {ENDPOINTS}")
        try:
            return 200, action(incoming)
        except ScriptError as error:
            return error.status, _error(error.message)

    def _bill(self, incoming: Incoming) -> object:
        bill = self._simulator.bill()
        if parse_qs(incoming.query).get("lines") == ["0"]:
            return msgspec.structs.replace(bill, lines=())
        return bill

    def _credits(self, incoming: Incoming) -> object:
        del incoming
        return self._simulator.credits().shown()

    def _requests(self, incoming: Incoming) -> object:
        del incoming
        return {"requests": [request.shown() for request in self._simulator.requests]}

    def _verdict(self, incoming: Incoming) -> object:
        del incoming
        return self._simulator.verdict()

    def _clock(self, incoming: Incoming) -> object:
        del incoming
        clock = self._simulator.clock
        return {"now": rfc3339(clock.now()), "passed_seconds": clock.monotonic()}

    async def _move_clock(self, incoming: Incoming, connection: Connection) -> None:
        status, value = 200, object()
        try:
            wanted = msgspec.json.decode(incoming.body, type=Advance)
        except msgspec.DecodeError as error:
            status, value = 400, _error(f'{error}; send {{"advance_seconds": 1.5}}')
        else:
            if await advance(self._simulator.clock, wanted.advance_seconds):
                value = self._clock(incoming)
            else:
                status, value = (
                    409,
                    _error('the clock is real; a script with clock = "virtual" moves'),
                )
        connection.send(status, JSON, msgspec.json.encode(value))

    def _script(self, incoming: Incoming) -> object:
        is_toml = "toml" in (incoming.header("content-type") or "")
        text = incoming.body.decode("utf-8", "replace")
        self._simulator.play(parse_script(text, form="toml" if is_toml else "json"))
        return {"ok": True}

    def _reset(self, incoming: Incoming) -> object:
        del incoming
        self._simulator.reset()
        return {"ok": True}


def _error(message: str) -> Mapping[str, object]:
    return {"error": {"message": message}}
