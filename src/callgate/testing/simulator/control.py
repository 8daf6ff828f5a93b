"""The simulator's own endpoints, below ``/sim``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol
from urllib.parse import parse_qs

import msgspec

from callgate.testing.simulator.bill import Bill
from callgate.testing.simulator.connection import Connection, Incoming
from callgate.testing.simulator.journal import ReceivedRequest
from callgate.testing.simulator.script import Script, ScriptError, parse_script

JSON: Final = [("content-type", "application/json")]
ENDPOINTS: Final = "GET /sim/bill, GET /sim/requests, POST /sim/script, POST /sim/reset"


class Controlled(Protocol):
    """What the endpoints steer."""

    @property
    def requests(self) -> tuple[ReceivedRequest, ...]:
        """The latest requests."""
        ...

    def bill(self) -> Bill:
        """Return what is charged so far."""
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

    def answer(self, incoming: Incoming, connection: Connection) -> None:
        """Answer one request."""
        endpoint = f"{incoming.method} {incoming.path}"
        actions = {
            "GET /sim/bill": self._bill,
            "GET /sim/requests": self._requests,
            "POST /sim/script": self._script,
            "POST /sim/reset": self._reset,
        }
        status, value = self._act(actions.get(endpoint), incoming)
        connection.send(status, JSON, msgspec.json.encode(value))

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

    def _requests(self, incoming: Incoming) -> object:
        del incoming
        return {"requests": [request.shown() for request in self._simulator.requests]}

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
