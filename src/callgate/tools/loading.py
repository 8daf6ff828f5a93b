"""Finds the function that the settings name as ``module:function``."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from callgate.errors import Misconfigured
from callgate.redact import redact


def load_function(place: str, *, tool: str, base: Path) -> Callable[..., Any]:
    """Return the function of a place such as ``my_tools:search``.

    A module is imported once in a process: one that has changed is used after a restart.

    Args:
        place: The module and its function.
        tool: The tool that it is for, as messages name it.
        base: The folder in which modules are looked for first.

    Raises:
        Misconfigured: There is no such module or function, or the module cannot be imported.
    """
    module_name, _, name = place.partition(":")
    module = _import(module_name, tool=tool, base=base)
    found: Callable[..., Any] | None = getattr(module, name, None)
    if callable(found) and not isinstance(found, type):
        return found
    named = [each for each, value in vars(module).items() if inspect.isfunction(value)]
    near = get_close_matches(name, named, n=1)
    perhaps = f"; did you mean {near[0]!r}" if near else ""
    flaw = "is no function" if name in vars(module) else "is not there"
    at = getattr(module, "__file__", None) or module_name
    msg = f"[tools.{tool}] python = {place!r}: {name!r} {flaw} in {at}{perhaps}"
    raise Misconfigured(msg)


def _import(name: str, *, tool: str, base: Path) -> ModuleType:
    folder = str(base)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return import_module(name)
    except (Exception, SystemExit) as error:
        kind = type(error).__name__
        fix = f"modules are looked for in {folder} and where Python looks for packages"
        msg = f"[tools.{tool}] python: the module {name!r} cannot be imported: {kind}: {redact(str(error))}; {fix}"
        raise Misconfigured(msg) from error
