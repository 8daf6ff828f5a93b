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
    from callgate.tools.functions import ToolError, tool
    from callgate.tools.signatures import IdempotencyKey, ToolContext

__version__ = "0.1.0"

_HOMES = {
    "CallgateError": "callgate.errors",
    "Failed": "callgate.errors",
    "GateDoor": "callgate.doors.python",
    "IdempotencyKey": "callgate.tools.signatures",
    "Misconfigured": "callgate.errors",
    "ModelReply": "callgate.doors.python",
    "Money": "callgate.money",
    "OverBudget": "callgate.errors",
    "Receipt": "callgate.observe.receipt",
    "Refused": "callgate.errors",
    "TaskDoor": "callgate.doors.python",
    "ToolContext": "callgate.tools.signatures",
    "ToolError": "callgate.tools.functions",
    "Usage": "callgate.call",
    "open_gate": "callgate.doors.python",
    "tool": "callgate.tools.functions",
}

__all__ = [
    "CallgateError",
    "Failed",
    "GateDoor",
    "IdempotencyKey",
    "Misconfigured",
    "ModelReply",
    "Money",
    "OverBudget",
    "Receipt",
    "Refused",
    "TaskDoor",
    "ToolContext",
    "ToolError",
    "Usage",
    "open_gate",
    "tool",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that ``import callgate`` costs little."""
    if name not in _HOMES:
        msg = f"module 'callgate' has no attribute {name!r}"
        raise AttributeError(msg)
    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
