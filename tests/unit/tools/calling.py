"""How a test calls a tool: one attempt, as the road makes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from callgate.call import Progress, Tool, ToolResult
from callgate.redact import Secret
from callgate.tools import Invocation, Toolset
from callgate.tools.functions import Function, Functions

CANARY = 'canary/5f"3e+key'
"""A credential that no text may hold; it looks different in JSON, in a URL and in base64."""

NOTHING = Tool(name="t", description="-", input_schema={}, toolset="http", remote_name="t")


def invocation(
    tool: Tool,
    arguments: Mapping[str, Any],
    *,
    credential: str | None = None,
    on_progress: Progress | None = None,
) -> Invocation:
    """Return an attempt that was admitted."""
    return Invocation(
        tool=tool,
        arguments=arguments,
        call_id="call_1",
        task_id="t1",
        idempotency_key="key_1",
        timeout_seconds=10.0,
        credential=None if credential is None else Secret(credential),
        on_progress=on_progress,
    )


async def call(toolset: Toolset, **arguments: Any) -> ToolResult:
    """Call the only tool of a toolset."""
    (tool,) = toolset.tools()
    return await toolset.call(invocation(tool, arguments))


def toolset_of(function: Any) -> Functions:
    """Return a toolset of one function."""
    return Functions(Function(function))
