"""``callgate serve``: the gate as a long-running process."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from callgate.config import environment
from callgate.config.policies import Settings
from callgate.doors.app import http_app
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.screen import complain, tell
from callgate.doors.cli.settings import ConfigOption, describe, settings_of
from callgate.doors.server import Server
from callgate.errors import CallgateError, Misconfigured
from callgate.gate import Gate

log = logging.getLogger("callgate")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def serve(
    config: ConfigOption = None,
    host: Annotated[
        str | None, typer.Option(help="Where to listen; [gate] host if left out.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="0 takes a free port; [gate] port if left out.")
    ] = None,
) -> None:
    """Run the gate until it is told to stop: SIGTERM drains, SIGHUP reloads the settings."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    environ = environment()
    settings = settings_of(config, environ)
    run_loop(
        _serve(
            settings,
            environ,
            host or settings.gate.host,
            settings.gate.port if port is None else port,
        )
    )


async def _serve(settings: Settings, environ: Mapping[str, str], host: str, port: int) -> None:
    gate = await Gate.open(settings, environ=environ)
    try:
        server = Server(
            http_app(gate), host=host, port=port, drain_seconds=settings.gate.drain_seconds
        )
        await server.start()
        await gate.announce(server.url)
        tell(
            f"[bold]callgate[/bold] serves at [cyan]{server.url}[/cyan]  settings: {describe(settings)}  pid: {os.getpid()}"
        )
        stop = asyncio.Event()
        reloads: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)

        def reload() -> None:
            task = loop.create_task(_reload(gate, environ))
            reloads.add(task)
            task.add_done_callback(reloads.discard)

        loop.add_signal_handler(signal.SIGHUP, reload)
        await stop.wait()
        tell("callgate: no new calls; those in flight may finish")
        await server.stop()
    finally:
        await gate.close()


async def _reload(gate: Gate, environ: Mapping[str, str]) -> None:
    """Read the settings again; a file that cannot be used keeps the old ones, and says so."""
    path: Path | None = gate.settings.path
    error: str | None = None
    try:
        if path is None:
            msg = "this gate runs on the built-in settings; there is no file to reload"
            raise Misconfigured(msg)
        await gate.reload(settings_of(path, environ))
    except CallgateError as problem:
        error = problem.message
        complain(f"the settings are not reloaded, the old ones hold: {problem.message}")
    else:
        tell(f"callgate: settings reloaded from {path}")
    await gate.store.set_reload(gate.clock.now(), error)
