"""The tools that the settings themselves describe: functions of Python, and interfaces over HTTP."""

from __future__ import annotations

from pathlib import Path

from callgate.config.policies import Settings
from callgate.tools import Toolset
from callgate.tools.functions import Function, Functions
from callgate.tools.http import HttpTools
from callgate.tools.loading import load_function


def direct_toolsets(settings: Settings) -> tuple[Toolset, ...]:
    """Return the toolsets of the tools that settings describe.

    Raises:
        Misconfigured: A function is not there, or is none that an agent could call.
    """
    base = settings.path.parent if settings.path else Path.cwd()
    functions = [
        Function(load_function(policy.python, tool=name, base=base), policy=policy)
        for name, policy in settings.tools.items()
        if policy.python is not None
    ]
    over_http = [policy for policy in settings.tools.values() if policy.http is not None]
    return Functions(*functions), HttpTools(over_http)
