"""``callgate reload``: let a changed settings file hold, in every gate of this machine."""

from __future__ import annotations

import os
import signal
import socket

import typer

from callgate.clock import Clock, SystemClock
from callgate.doors.cli.books import open_books
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.screen import tell
from callgate.doors.cli.settings import ConfigOption
from callgate.errors import Misconfigured
from callgate.store import GateRow, Store

ANSWER_SECONDS = 10.0
LOOK_EVERY_SECONDS = 0.05


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(reload)


def reload(config: ConfigOption = None) -> None:
    """Tell the running gates to read their settings again, and wait for what they say.

    The file is checked first, so a mistake in it is told here and reaches no gate.
    """
    run_loop(_reload(config, SystemClock()))


async def _reload(config: ConfigOption, clock: Clock) -> None:
    async with open_books(config) as (settings, store):
        here = [gate for gate in store.gates() if gate.host == socket.gethostname()]
        if not here:
            msg = f"no gate that uses {settings.gate.store} runs on this machine; callgate serve starts one"
            raise Misconfigured(msg)
        asked_at = clock.now()
        for gate in here:
            os.kill(gate.pid, signal.SIGHUP)
        answered = await _answers(store, {gate.id for gate in here}, asked_at, clock)
    refused = [gate for gate in answered if gate.reload_error is not None]
    silent = len(here) - len(answered)
    if refused or silent:
        told = "; ".join(f"pid {gate.pid}: {gate.reload_error}" for gate in refused)
        msg = f"{len(refused)} of {len(here)} gates kept their old settings, {silent} did not answer in {ANSWER_SECONDS:.0f} s. {told}"
        raise Misconfigured(msg)
    for gate in answered:
        tell(
            f"callgate: the gate at {gate.url or 'no address'} (pid {gate.pid}) has the new settings"
        )


async def _answers(store: Store, ids: set[str], asked_at: float, clock: Clock) -> list[GateRow]:
    until = clock.monotonic() + ANSWER_SECONDS
    answered: list[GateRow] = []
    while len(answered) < len(ids) and clock.monotonic() < until:
        await clock.sleep(LOOK_EVERY_SECONDS)
        answered = [
            gate
            for gate in store.gates()
            if gate.id in ids and gate.reloaded_at is not None and gate.reloaded_at >= asked_at
        ]
    return answered
