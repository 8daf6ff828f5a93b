"""Which settings a command uses, and how it says so."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from callgate.config import KNOWN_KEYS, builtin, find, load
from callgate.config.policies import Settings

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="The settings; callgate.toml here or above if left out."
    ),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def settings_of(config: Path | None, environ: Mapping[str, str]) -> Settings:
    """Return the settings of a file, of ``callgate.toml`` here or above, or the built-in ones.

    Raises:
        Misconfigured: The file cannot be used; the message lists every mistake.
    """
    path = config if config is not None else find(Path.cwd())
    return builtin(environ) if path is None else load(path, environ=environ)


def describe(settings: Settings) -> str:
    """Return where the settings came from."""
    if settings.path is not None:
        return str(settings.path)
    variables = " nor ".join(chain.from_iterable(KNOWN_KEYS.values()))
    names = ", ".join(settings.providers) or f"none, as neither {variables} is set"
    return f"built in (no callgate.toml here or above); providers: {names}"


def referenced_variables(settings: Settings) -> frozenset[str]:
    """Return every environment variable that a secret reference of the settings names."""
    references = [key for provider in settings.providers.values() for key in provider.keys]
    references += [agent.key for agent in settings.agents.values()]
    references += [tool.key for tool in settings.tools.values()]
    references += [platform.key for platform in settings.platforms.values()]
    references += [each for server in settings.mcp.values() for each in server.references]
    named = [reference for reference in references if reference and reference.startswith("env:")]
    return frozenset(reference.removeprefix("env:") for reference in named)
