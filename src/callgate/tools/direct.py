"""The tools that the settings themselves describe: functions of Python, and interfaces over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from callgate.config.policies import Settings
from callgate.errors import Misconfigured
from callgate.tools import Toolset
from callgate.tools.functions import Function, Functions
from callgate.tools.http import HttpTools
from callgate.tools.loading import load_function


def direct_toolsets(
    settings: Settings, own: Sequence[Callable[..., Any]] = ()
) -> tuple[Toolset, ...]:
    """Return the toolsets of the tools that settings describe.

    Args:
        settings: The settings.
        own: Functions that the program itself brings along.

    Raises:
        Misconfigured: A function is not there, or is none that an agent could call, or two tools
            have one name.
    """
    base = settings.path.parent if settings.path else Path.cwd()
    functions = [
        Function(load_function(policy.python, tool=name, base=base), policy=policy)
        for name, policy in settings.tools.items()
        if policy.python is not None
    ]
    for function in map(Function, own):
        _refuse_second(function, settings, functions)
        functions.append(function)
    over_http = [policy for policy in settings.tools.values() if policy.http is not None]
    return Functions(*functions), HttpTools(over_http)


def _refuse_second(function: Function, settings: Settings, others: Sequence[Function]) -> None:
    name = function.tool.name
    if name in settings.tools or name in {other.tool.name for other in others}:
        fix = f"give one of them another name: @tool(name=…) at {function.where}"
        msg = f"two tools are called {name!r}: {function.where}, and another; {fix}"
        raise Misconfigured(msg)
