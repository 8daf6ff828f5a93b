"""Settings: ``callgate.toml`` becomes typed, frozen policies; the only reader of the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from callgate.config.policies import (
    AgentPolicy,
    GatePolicy,
    ProviderPolicy,
    Settings,
    TaskPolicy,
)
from callgate.config.starter import starter
from callgate.config.values import parse_duration
from callgate.errors import Misconfigured
from callgate.money import Money
from callgate.task import DEFAULT_TYPE

__all__ = [
    "FILE_NAME", "builtin", "environment", "find", "json_schema", "load", "parse_duration", "starter",
]  # fmt: skip

FILE_NAME = "callgate.toml"

KNOWN_KEYS = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
"""The usual variables of the providers' own SDKs."""

BASE_URL_VARIABLES = {"openai": "OPENAI_BASE_URL", "anthropic": "ANTHROPIC_BASE_URL"}

BUILTIN_BUDGET = Money.dollars("1")
BUILTIN_TIMEOUT_SECONDS = 30 * 60.0


def environment() -> Mapping[str, str]:
    """Return the environment that the process was started with."""
    return dict(os.environ)


def find(start: Path) -> Path | None:
    """Return ``callgate.toml`` of a folder, or of the nearest one above that has it."""
    for folder in (start, *start.parents):
        path = folder / FILE_NAME
        if path.is_file():
            return path
    return None


def load(path: Path, *, environ: Mapping[str, str]) -> Settings:
    """Return what a settings file says.

    Args:
        path: The file.
        environ: The environment; references to it are checked for their form only.

    Raises:
        InvalidSettings: The file has mistakes; every one is listed with its line.
        Misconfigured: The file cannot be read.
    """
    del environ
    # The checker of types is heavy, and a command that loads no file goes without it.
    from callgate.config.loading import read_settings  # noqa: PLC0415

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {error}; callgate init writes one"
        raise Misconfigured(msg) from error
    return read_settings(text, path.resolve())


def builtin(environ: Mapping[str, str]) -> Settings:
    """Return the settings that hold where there is no file.

    Providers are those whose usual key is in the environment; every model of theirs may be used,
    under a budget and a timeout for each task.
    """
    from callgate.config.loading import base_url  # noqa: PLC0415 (as in load)

    providers = {
        name: ProviderPolicy(
            name=name,
            api="openai" if name == "openai" else "anthropic",
            base_url=base_url(name, environ.get(BASE_URL_VARIABLES[name]) or None),
            key=f"env:{variable}",
            price_source=name,
        )
        for name, variable in KNOWN_KEYS.items()
        if environ.get(variable)
    }
    task = TaskPolicy(
        type=DEFAULT_TYPE, budget=BUILTIN_BUDGET, timeout_seconds=BUILTIN_TIMEOUT_SECONDS
    )
    return Settings(
        path=None,
        gate=GatePolicy(store=f"sqlite:{_state_folder(environ) / 'callgate.db'}"),
        providers=providers,
        models={},
        agents={"default": AgentPolicy(name="default", models=("*",))},
        tasks={DEFAULT_TYPE: task},
        prices={},
    )


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of ``callgate.toml``, for editors."""
    from callgate.config import schema  # noqa: PLC0415 (as in load)

    return schema.json_schema()


def _state_folder(environ: Mapping[str, str]) -> Path:
    """Return where a program keeps what it must not lose.

    Source: XDG Base Directory Specification, ``XDG_STATE_HOME``.
    """
    home = environ.get("XDG_STATE_HOME")
    base = Path(home) if home else Path(environ.get("HOME") or "~").expanduser() / ".local/state"
    return base / "callgate"
