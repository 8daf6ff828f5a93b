"""``callgate init``, ``version`` and ``config schema``: the first commands of a new user."""

from __future__ import annotations

import platform
import sqlite3
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

import callgate
from callgate.config import json_schema, starter
from callgate.doors.cli.screen import print_json, tell
from callgate.doors.cli.settings import JsonOption
from callgate.errors import Misconfigured

config = typer.Typer(help="The settings file.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(init)
    app.command()(version)
    app.add_typer(config, name="config")


def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("callgate.toml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write a commented settings file with safe defaults."""
    if path.exists() and not force:
        msg = f"{path} exists already; --force overwrites it"
        raise Misconfigured(msg)
    try:
        path.write_text(starter(), encoding="utf-8")
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}"
        raise Misconfigured(msg) from error
    tell(
        f"wrote [cyan]{escape(str(path))}[/cyan]. Put your provider's key into the environment; then"
    )
    tell("  [bold]callgate run -- python your_agent.py[/bold]  runs your agent behind the gate")
    tell("  [bold]callgate serve[/bold]                        is a gate for many agents")


def version(json: JsonOption = False) -> None:
    """Print the version, and what it runs on."""
    page = {
        "callgate": callgate.__version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "platform": platform.platform(),
    }
    if json:
        print_json(page)
    else:
        typer.echo(
            f"callgate {page['callgate']} (Python {page['python']}, SQLite {page['sqlite']})"
        )


@config.command()
def schema() -> None:
    """Print the JSON schema of callgate.toml, for editors."""
    print_json(json_schema())
