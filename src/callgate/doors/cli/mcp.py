"""``callgate mcp``: MCP servers, found in a registry, added to the settings, and looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.markup import escape

from callgate.clock import SystemClock
from callgate.config import FILE_NAME, environment, find
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.named_gate import named_gate
from callgate.doors.cli.registry import FILL_IN, OFFICIAL, Registry, Server, table_of
from callgate.doors.cli.screen import Column, print_json, print_table, tell
from callgate.doors.cli.settings import ConfigOption, JsonOption, settings_of
from callgate.doors.cli.tables import add_table, remove_table
from callgate.errors import Misconfigured
from callgate.gate.servers import ServerState, log_in, look_at_servers

mcp = typer.Typer(help="MCP servers whose tools agents may call.", no_args_is_help=True)

RegistryOption = Annotated[str, typer.Option("--registry", metavar="URL", help="Which registry.")]

FOUND: Final = (Column("name"), Column("version"), Column("as"), Column("description", rank=1))
STATES: Final = (
    Column("server"),
    Column("status"),
    Column("MCP", rank=2),
    Column("tools", right=True),
    Column("age", right=True, rank=3),
    Column("told", rank=1),
)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(mcp, name="mcp")


@mcp.command("search")
def search(
    text: Annotated[str, typer.Argument(help="A part of a name.")],
    registry: RegistryOption = OFFICIAL,
    json: JsonOption = False,
) -> None:
    """Search the registry of MCP servers."""
    found = Registry(registry).search(text)
    if json:
        print_json([entry.server for entry in found])
        return
    rows = [
        (entry.server.name, entry.server.version, _kinds(entry.server), entry.server.description)
        for entry in found
    ]
    print_table(FOUND, [tuple(map(_visible, row)) for row in rows])
    tell("callgate: anybody may publish there; look at a server before you add it")


@mcp.command("add", context_settings={"ignore_unknown_options": True})
def add(
    name: Annotated[
        str,
        typer.Argument(help="A name of the registry, such as io.github.ann/weather, or your own."),
    ],
    command: Annotated[
        list[str] | None, typer.Argument(help="The program that is the server, after --.")
    ] = None,
    *,
    as_name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="What to call it in the settings.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Where it is, if not a program.")] = None,
    version: Annotated[str, typer.Option(help="Which version of the registry's.")] = "latest",
    kind: Annotated[
        str | None, typer.Option(help="npm, pypi, oci, nuget or remote, where several are.")
    ] = None,
    registry: RegistryOption = OFFICIAL,
    config: ConfigOption = None,
) -> None:
    """Add a server to the settings file; its tools are then for whom the settings name."""
    path = _file(config)
    table: dict[str, Any]
    if command:
        table = {"command": command[0], "args": command[1:]}
    elif url is not None:
        table = {"url": url}
    else:
        table = table_of(Registry(registry).find(name, version).server, kind=kind)
    called = as_name or name.rpartition("/")[2].replace(".", "_")
    added = add_table(path, "mcp", called, table)
    tell(f"callgate: added to {escape(str(path))}:\n\n{escape(added)}")
    if FILL_IN in added:
        tell(f"[yellow]callgate:[/yellow] say what stands at {FILL_IN}")
    tell(
        f'callgate: name its tools for an agent, such as tools = ["{escape(called)}.*"], then callgate reload'
    )


@mcp.command("remove")
def remove(
    name: Annotated[str, typer.Argument(help="What the settings call it.")],
    config: ConfigOption = None,
) -> None:
    """Take a server out of the settings file."""
    path = _file(config)
    remove_table(path, "mcp", name)
    tell(f"callgate: [mcp.{escape(name)}] is out of {escape(str(path))}; callgate reload ends it")


@mcp.command("list")
def list_servers(json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show the servers of the gate at CALLGATE_URL; without one, start each, look at it and end it."""
    environ = environment()
    if environ.get("CALLGATE_URL"):
        _show(run_loop(named_gate(environ).servers()), json=json)
    else:
        settings = settings_of(config, environ)
        _show(run_loop(look_at_servers(settings, environ, SystemClock())), json=json)


@mcp.command("login")
def login(
    name: Annotated[str, typer.Argument(help="What the settings call it.")],
    config: ConfigOption = None,
) -> None:
    """Get a token for a server with oauth: shows an address where a person agrees, and waits."""
    environ = environment()
    settings = settings_of(config, environ)
    tools = run_loop(log_in(name, settings, environ, SystemClock(), show=_show_address))
    tell(f"callgate: {escape(name)} may be used: {tools} tools")


async def _show_address(address: str) -> None:
    tell(f"callgate: agree here, on this machine: {escape(_visible(address))}")


@mcp.command("restart")
def restart(
    name: Annotated[str, typer.Argument(help="What the settings call it.")],
    json: JsonOption = False,
) -> None:
    """End a server of the gate at CALLGATE_URL and start it anew; calls under way are lost."""
    _show([run_loop(named_gate(environment()).restart_server(name))], json=json)


def _show(states: Sequence[ServerState], *, json: bool) -> None:
    if json:
        print_json(states)
        return
    if not states:
        tell("callgate: the settings name no MCP server; callgate mcp add writes one into them")
        return
    print_table(STATES, [_row(state) for state in states])
    for state in states:
        for tool, reason in state.unusable.items():
            tell(
                f"[yellow]callgate:[/yellow] {escape(f'{state.name}: {tool} is not offered: {reason}')}"
            )


def _row(state: ServerState) -> tuple[str, ...]:
    age = "" if state.list_age_seconds is None else f"{state.list_age_seconds:.0f}s"
    return (
        state.name,
        state.status,
        state.protocol_version or "",
        str(state.tools),
        age,
        _visible(state.failure or ""),
    )


def _kinds(server: Server) -> str:
    kinds = [package.registry_type for package in server.packages]
    return ", ".join([*kinds, *(remote.type for remote in server.remotes)])


def _visible(text: str) -> str:
    """Return what a stranger has written, without what moves a cursor."""
    return "".join(c if c.isprintable() else " " for c in text)


def _file(config: Path | None) -> Path:
    path = config if config is not None else find(Path.cwd())
    if path is None or not path.is_file():
        msg = f"there is no {FILE_NAME} here or above; callgate init writes one"
        raise Misconfigured(msg)
    return path
