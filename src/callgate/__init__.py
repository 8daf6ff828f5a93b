"""Production infrastructure for AI agents: every model call and tool call goes through one gate."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callgate.call import Usage
    from callgate.doors.python import GateDoor, ModelReply, TaskDoor, open_gate
    from callgate.errors import CallgateError, Failed, Misconfigured, OverBudget, Refused
    from callgate.money import Money
    from callgate.observe.receipt import Receipt

__version__ = "0.1.0"

_HOMES = {
    "CallgateError": "callgate.errors",
    "Failed": "callgate.errors",
    "GateDoor": "callgate.doors.python",
    "Misconfigured": "callgate.errors",
    "ModelReply": "callgate.doors.python",
    "Money": "callgate.money",
    "OverBudget": "callgate.errors",
    "Receipt": "callgate.observe.receipt",
    "Refused": "callgate.errors",
    "TaskDoor": "callgate.doors.python",
    "Usage": "callgate.call",
    "open_gate": "callgate.doors.python",
}

__all__ = [
    "CallgateError",
    "Failed",
    "GateDoor",
    "Misconfigured",
    "ModelReply",
    "Money",
    "OverBudget",
    "Receipt",
    "Refused",
    "TaskDoor",
    "Usage",
    "open_gate",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that ``import callgate`` costs little."""
    if name not in _HOMES:
        msg = f"module 'callgate' has no attribute {name!r}"
        raise AttributeError(msg)
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
