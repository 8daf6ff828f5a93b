"""``callgate tools import``: drafts of settings, from what others say of their interfaces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from callgate.config.openapi.drafting import Draft, draft
from callgate.doors.cli.openapi_source import read_document
from callgate.doors.cli.screen import tell
from callgate.errors import Misconfigured

imports = typer.Typer(help="Draft settings of tools, to be cut down by hand.", no_args_is_help=True)


def add_to(tools: typer.Typer) -> None:
    """Add the commands below ``callgate tools``."""
    imports.callback()(_import)
    tools.add_typer(imports, name="import")


def _import() -> None:
    """Draft settings of tools, to be cut down by hand."""


@imports.command("openapi")
def import_openapi(
    source: Annotated[
        str, typer.Argument(metavar="FILE|URL", help="A document of OpenAPI 3, in JSON or YAML.")
    ],
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Only these: a glob for names, operation ids, or 'GET /path*'; may be repeated.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where to write it; standard output if left out.")
    ] = None,
) -> None:
    """Draft tools over HTTP from an OpenAPI document."""
    drafted = draft(read_document(source), only=only or (), source=source)
    _tell_about(drafted)
    if not drafted.tools:
        msg = f"no tool can be made of {source}" + (
            f" that matches {', '.join(only)}" if only else ""
        )
        raise Misconfigured(msg)
    if out is None:
        typer.echo(drafted.text)
        return
    _write(drafted.text, out)
    tell(
        f"callgate: wrote {len(drafted.tools)} tools to [cyan]{escape(str(out))}[/cyan]; delete what no "
        "agent needs, then put the rest into your settings"
    )


def _tell_about(drafted: Draft) -> None:
    for left_out in drafted.left_out:
        tell(f"[yellow]callgate:[/yellow] left out {escape(left_out)}")


def _write(text: str, path: Path) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        msg = f"{path} exists already; name another file, as somebody may have worked on this one"
        raise Misconfigured(msg) from error
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}"
        raise Misconfigured(msg) from error
