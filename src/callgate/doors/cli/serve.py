"""``callgate serve``: the gate as a long-running process."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from callgate.config import environment
from callgate.config.policies import Settings
from callgate.doors.app import http_app
from callgate.doors.cli.draining import drain
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.screen import complain, tell
from callgate.doors.cli.settings import ConfigOption, describe, settings_of
from callgate.doors.server import Server
from callgate.errors import CallgateError, Misconfigured
from callgate.gate import Gate

COLLECT_AFTER_OBJECTS = 20_000
"""More new objects than gone ones before the collector looks; Python's own number is 700."""

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
        asked = _listen_to_signals(gate, environ)
        await server.start()
        await gate.announce(server.url)
        tell(
            f"[bold]callgate[/bold] serves at [cyan]{server.url}[/cyan]  settings: {escape(describe(settings))}  pid: {os.getpid()}"
        )
        _spare_what_stays()
        async with gate.watching():
            await asked.stop.wait()
            tell(
                f"callgate: no new calls; open ones may finish, for at most {settings.gate.drain_seconds:.0f} s"
                " (asked again: no longer)"
            )
            await drain(server, hurry=asked.stop_now)
    finally:
        await gate.close()


def _spare_what_stays() -> None:
    """Keep the garbage collector from what lives as long as the process, and let it come less often.

    A call makes some hundred objects and leaves no cycle among them, so that nearly all that the
    collector does is look: a twentieth of the CPU of a call, and much of what the slowest wait.

    Source: the documentation of ``gc.freeze``.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER_OBJECTS, *gc.get_threshold()[1:])


class Asked(msgspec.Struct):
    """What signals have asked for."""

    stop: asyncio.Event
    stop_now: asyncio.Event
    reloads: set[asyncio.Task[None]]
    """Those under way; the loop itself would forget them."""


def _listen_to_signals(gate: Gate, environ: Mapping[str, str]) -> Asked:
    loop = asyncio.get_running_loop()
    asked = Asked(stop=asyncio.Event(), stop_now=asyncio.Event(), reloads=set())

    def stop() -> None:
        (asked.stop_now if asked.stop.is_set() else asked.stop).set()

    def reload() -> None:
        task = loop.create_task(_reload(gate, environ))
        asked.reloads.add(task)
        task.add_done_callback(asked.reloads.discard)

    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGINT, stop)
    loop.add_signal_handler(signal.SIGHUP, reload)
    return asked


async def _reload(gate: Gate, environ: Mapping[str, str]) -> None:
    """Read the settings again; a file that cannot be used keeps the old ones, and says so."""
    path: Path | None = gate.settings.path
    error: str | None = None
    try:
        if path is None:
            msg = "this gate runs on the built-in settings; there is no file to reload"
            raise Misconfigured(msg)
        old, new = gate.settings, settings_of(path, environ)
        await gate.reload(new)
    except CallgateError as problem:
        error = problem.message
        complain(f"the settings are not reloaded, the old ones hold: {problem.message}")
    else:
        tell(f"callgate: settings reloaded from {escape(str(path))}")
        if (old.gate.host, old.gate.port) != (new.gate.host, new.gate.port):
            tell("callgate: another [gate] host or port holds after a restart")
    await gate.store.set_reload(gate.clock.now(), error)
