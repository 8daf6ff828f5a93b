"""``callgate reload``: let a changed settings file hold, in every gate of this machine."""

from __future__ import annotations

import os
import platform
import signal
from pathlib import Path

import typer

from callgate.clock import Clock, SystemClock
from callgate.config.problems import InvalidSettings
from callgate.doors.cli.books import open_books
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.screen import complain, tell
from callgate.doors.cli.settings import ConfigOption
from callgate.errors import Misconfigured
from callgate.store import GateRow, Store
from callgate.store.owners import find_place, process_started

ANSWER_SECONDS = 10.0
LOOK_EVERY_SECONDS = 0.05


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(reload)


def reload(config: ConfigOption = None) -> None:
    """Tell the running gates to read their settings again, and wait for what they say.

    The file is checked first, so a mistake in it is told here and reaches no gate.
    """
    try:
        run_loop(_reload(config, SystemClock()))
    except InvalidSettings as error:
        msg = f"{error.message}\nNothing was reloaded: running gates keep the settings they have."
        raise Misconfigured(msg) from error


async def _reload(config: Path | None, clock: Clock) -> None:
    async with open_books(config) as (settings, store):
        here = [gate for gate in store.gates() if _is_served_here(gate)]
        if not here:
            msg = (
                f"no callgate serve with the store {settings.gate.store} runs on this machine"
                " (another [gate] store takes a restart, not a reload)"
            )
            raise Misconfigured(msg)
        asked_at = clock.now()
        for gate in here:
            _ask(gate)
        answered = await _answers(store, {gate.id for gate in here}, asked_at, clock)
    _tell(here, answered)


def _is_served_here(gate: GateRow) -> bool:
    """Whether a gate is a ``callgate serve`` that a signal from here reaches, and nothing else.

    A gate inside another program has no address; a reload is not for it, and a signal would be
    that program's.
    """
    if gate.url is None:
        return False
    if gate.place is None:
        return gate.host == platform.node()
    return gate.place == find_place() and process_started(gate.pid) == gate.pid_started


def _ask(gate: GateRow) -> None:
    try:
        os.kill(gate.pid, signal.SIGHUP)
    except ProcessLookupError:
        complain(f"the gate with pid {gate.pid} has just ended")
    except PermissionError:
        complain(
            f"the gate with pid {gate.pid} is another user's; run callgate reload as that user"
        )


def _tell(here: list[GateRow], answered: list[GateRow]) -> None:
    """Say what became of each gate.

    Raises:
        Misconfigured: One of them keeps its old settings, or did not answer.
    """
    silent = {gate.pid for gate in here} - {gate.pid for gate in answered}
    refused = [gate for gate in answered if gate.reload_error is not None]
    for gate in answered:
        if gate.reload_error is None:
            tell(f"callgate: the gate at {gate.url} (pid {gate.pid}) has the new settings")
    lines = [
        f"the gate at {gate.url} (pid {gate.pid}) keeps its old settings: {gate.reload_error}"
        for gate in refused
    ]
    lines += [f"pid {pid} did not answer within {ANSWER_SECONDS:.0f} s" for pid in sorted(silent)]
    if lines:
        raise Misconfigured("\n".join(lines))


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
