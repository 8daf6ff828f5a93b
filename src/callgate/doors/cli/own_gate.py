"""A gate of its own, which a run starts and ends with."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Mapping
from typing import Final

from rich.markup import escape

from callgate.call import Caller, Claims
from callgate.config.policies import Settings
from callgate.doors.app import http_app
from callgate.doors.cli.draining import drain
from callgate.doors.cli.running import Ended, Entry, Wanted, Work
from callgate.doors.cli.screen import complain, tell
from callgate.doors.cli.settings import describe, referenced_variables, settings_of
from callgate.doors.server import Server
from callgate.errors import CallgateError, Misconfigured
from callgate.gate import Gate
from callgate.observe.receipt import Receipt, make_receipt
from callgate.task import Task

HURRYING: Final = (signal.SIGINT, signal.SIGTERM)
"""Signals that mean: wait no longer, once the program has ended."""

PATIENCE_SECONDS: Final = 1.0
"""After this long without a word, the one who waits is told what for."""


async def work_at_own_gate(wanted: Wanted, environ: Mapping[str, str], work: Work) -> Ended:
    """Start a gate, do the work at it, and end both when every call is settled.

    Raises:
        CallgateError: The gate cannot start, or refuses such a task; no work was done.
    """
    # An agent's key that is missing, a caller that is unknown: nothing that a run depends on.
    logging.getLogger("callgate").setLevel(logging.ERROR)
    settings = settings_of(wanted.config, environ)
    caller = Caller(agent=_agent(settings, wanted.agent))
    gate = await Gate.open(settings, environ=environ)
    try:
        server = Server(
            http_app(gate), host="127.0.0.1", port=0, drain_seconds=settings.gate.drain_seconds
        )
        await server.start()
        async with gate.watching():
            try:
                task = await _make_task(gate, caller, wanted)
                key = await gate.create_task_key(task)
                _introduce(settings, task, wanted)
                entry = Entry(url=server.url, key=key, hidden=referenced_variables(settings))
                status = await work(entry)
            finally:
                await _stop(server, settings.gate.drain_seconds)
        return Ended(exit_status=status, receipt=await _end(gate, task))
    finally:
        await gate.close()


async def _make_task(gate: Gate, caller: Caller, wanted: Wanted) -> Task:
    return await gate.create_task(
        caller,
        Claims(task_id=wanted.task_id, task_type=wanted.type, user=wanted.user),
        budget=wanted.budget,
        timeout_seconds=wanted.timeout_seconds,
        models=wanted.models,
        tools=wanted.tools,
    )


def _introduce(settings: Settings, task: Task, wanted: Wanted) -> None:
    """Say what the one who typed the command might not expect."""
    if settings.path is None:
        tell(f"callgate: settings {escape(describe(settings))}")
    if wanted.budget is not None and wanted.budget != task.budget:
        tell(
            f"callgate: the task's budget is {task.budget}: --budget may only lower the one of its type"
            f" ({escape(_where(settings, task))}), and a task that goes on keeps its own"
        )


def _where(settings: Settings, task: Task) -> str:
    if settings.path is None:
        return "built in; callgate init writes a file where you can raise it"
    return f"{settings.path.name}, [tasks.{task.type}]"


async def _stop(server: Server, drain_seconds: float) -> None:
    """Let the calls that are still open finish, and say so when that takes a while."""
    loop, hurry = asyncio.get_running_loop(), asyncio.Event()
    notice = loop.call_later(PATIENCE_SECONDS, _ask_for_patience, drain_seconds)
    for number in HURRYING:
        loop.add_signal_handler(number, hurry.set)
    try:
        await drain(server, hurry=hurry)
    finally:
        notice.cancel()
        for number in HURRYING:
            loop.remove_signal_handler(number)


def _ask_for_patience(drain_seconds: float) -> None:
    tell(
        f"callgate: waits for calls that are still open, at most {drain_seconds:.0f} s"
        " (Ctrl-C breaks them off)"
    )


async def _end(gate: Gate, task: Task) -> Receipt | None:
    """End the task; the work is done, so what goes wrong now is told and changes no exit status."""
    try:
        await gate.end_task(task.id)
        return make_receipt(gate.store, task.id, settings=gate.settings)
    except CallgateError as error:
        complain(f"there is no receipt: {error.message}")
        return None


def _agent(settings: Settings, agent: str | None) -> str:
    if agent is not None:
        return agent
    if len(settings.agents) == 1:
        return next(iter(settings.agents))
    listing = ", ".join(sorted(settings.agents)) or "none"
    msg = f"say whose permissions hold: --agent NAME; the settings name: {listing}"
    raise Misconfigured(msg)
