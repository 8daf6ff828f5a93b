"""``callgate run``: any program, unedited, behind the gate."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from callgate.call import Caller, Claims
from callgate.config import environment, parse_duration
from callgate.config.policies import Settings
from callgate.doors.app import http_app
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.receipt import render
from callgate.doors.cli.screen import complain, err, tell
from callgate.doors.cli.settings import ConfigOption, describe, settings_of
from callgate.doors.server import Server
from callgate.errors import CallgateError, Misconfigured
from callgate.gate import Gate
from callgate.money import Money
from callgate.observe.receipt import Receipt, make_receipt

NO_GATE = 125
"""Exit status when the gate could not start; the same that ``env`` and ``timeout`` use."""

NOT_EXECUTABLE = 126
NOT_FOUND = 127
KILLED_BY_SIGNAL = 128
"""Added to the number of a signal that ended the child, as shells do."""

GATE_ANSWERS_SECONDS = 10.0

ALWAYS_TAKEN_OUT = ("ANTHROPIC_AUTH_TOKEN", "GOOGLE_API_KEY")
"""Variables that an SDK prefers to the one that the gate sets, so that it would go round it."""

FORWARDED = ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2")


class ReceiptForm(StrEnum):
    """How the receipt is written."""

    text = "text"
    json = "json"


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What ``callgate run`` was asked for."""

    command: list[str]
    agent: str | None
    type: str | None
    user: str | None
    task: str | None
    budget: Money | None
    timeout_seconds: float | None
    config: Path | None


class Opened(msgspec.Struct, kw_only=True):
    """A task at a gate: what the child needs, and what the receipt says."""

    url: str
    key: str
    task_id: str
    hidden: frozenset[str]
    """Variables that hold real keys; the child does not get them."""
    receipt: Receipt | None = None
    """Known when the gate's context has been left."""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(run)


def run(
    context: typer.Context,
    *,
    agent: Annotated[str | None, typer.Option(help="Whose permissions hold.")] = None,
    type: Annotated[str | None, typer.Option(help="The task type.")] = None,
    user: Annotated[str | None, typer.Option(help="The end user that it is done for.")] = None,
    task: Annotated[
        str | None, typer.Option(help="A task id of yours; goes on with what it has spent.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="US dollars; may only lower the type's budget.")
    ] = None,
    timeout: Annotated[
        str | None, typer.Option(help="Such as 10m; may only lower the type's timeout.")
    ] = None,
    receipt: Annotated[
        ReceiptForm, typer.Option(help="How the receipt is written.")
    ] = ReceiptForm.text,
    receipt_file: Annotated[
        Path | None, typer.Option(help="Where it goes; standard error if left out.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Run a program behind the gate, and end with a receipt.

    callgate run --budget 0.50 -- python your_agent.py
    """
    environ = environment()
    try:
        asked = Run(
            command=_command(context.args),
            agent=agent,
            type=type,
            user=user,
            task=task,
            budget=None if budget is None else Money.dollars(budget),
            timeout_seconds=None if timeout is None else parse_duration(timeout),
            config=config,
        )
        status, made = run_loop(_run(asked, environ))
    except (CallgateError, ValueError) as error:
        complain(str(error))
        raise typer.Exit(NO_GATE) from error
    if made is not None:
        _write(made, receipt, receipt_file)
    raise typer.Exit(status)


def _command(args: list[str]) -> list[str]:
    command = args[1:] if args[:1] == ["--"] else args
    if not command:
        msg = "say what to run: callgate run [options] -- COMMAND [ARGUMENTS]"
        raise Misconfigured(msg)
    return command


async def _run(asked: Run, environ: Mapping[str, str]) -> tuple[int, Receipt | None]:
    url = environ.get("CALLGATE_URL")
    opening = _at_gate(asked, environ, url) if url else _own_gate(asked, environ)
    async with opening as opened:
        status = await _child(asked.command, child_environment(environ, opened))
    return status, opened.receipt


def child_environment(environ: Mapping[str, str], opened: Opened) -> dict[str, str]:
    """Return the child's environment: the usual variables point at the gate, real keys are gone."""
    hidden = opened.hidden | set(ALWAYS_TAKEN_OUT)
    kept = {name: value for name, value in environ.items() if name not in hidden}
    url, key = opened.url, opened.key
    return {
        **kept,
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": key,
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": key,
        "GOOGLE_GEMINI_BASE_URL": url,
        "GEMINI_API_KEY": key,
        "CALLGATE_URL": url,
        "CALLGATE_MCP_URL": f"{url}/mcp",
        "CALLGATE_KEY": key,
    }


@asynccontextmanager
async def _own_gate(asked: Run, environ: Mapping[str, str]) -> AsyncGenerator[Opened]:
    """Start a gate for this run; it ends with it, when every call is settled."""
    settings = settings_of(asked.config, environ)
    caller = Caller(agent=_agent(settings, asked.agent))
    gate = await Gate.open(settings, environ=environ)
    try:
        server = Server(
            http_app(gate), host="127.0.0.1", port=0, drain_seconds=settings.gate.drain_seconds
        )
        await server.start()
        try:
            claims = Claims(task_id=asked.task, task_type=asked.type, user=asked.user)
            task = await gate.create_task(
                caller, claims, budget=asked.budget, timeout_seconds=asked.timeout_seconds
            )
            opened = Opened(
                url=server.url,
                key=await gate.create_task_key(task),
                task_id=task.id,
                hidden=referenced_variables(settings),
            )
            if settings.path is None:
                tell(f"callgate: settings {describe(settings)}")
            yield opened
        finally:
            await server.stop()
        await gate.end_task(task.id)
        opened.receipt = make_receipt(gate.store, task.id)
    finally:
        await gate.close()


@asynccontextmanager
async def _at_gate(asked: Run, environ: Mapping[str, str], url: str) -> AsyncGenerator[Opened]:
    """Use the gate that ``CALLGATE_URL`` names, with the agent's key in ``CALLGATE_KEY``."""
    key = environ.get("CALLGATE_KEY")
    if not key:
        msg = f"CALLGATE_URL is {url}, and CALLGATE_KEY is not set: put the agent's key there (callgate keys create AGENT)"
        raise Misconfigured(msg)
    url = url.rstrip("/")
    page = {
        "id": asked.task,
        "type": asked.type,
        "user": asked.user,
        "budget_nano_usd": None if asked.budget is None else asked.budget.nano,
        "timeout_seconds": asked.timeout_seconds,
    }
    made = await asyncio.to_thread(_ask, "POST", f"{url}/api/tasks", key, page)
    opened = Opened(url=url, key=str(made["key"]), task_id=str(made["id"]), hidden=frozenset())
    yield opened
    task_url = f"{url}/api/tasks/{opened.task_id}"
    await asyncio.to_thread(_ask, "POST", f"{task_url}/end", key, {})
    told = await asyncio.to_thread(_ask, "GET", task_url, key, None)
    opened.receipt = msgspec.convert(told, Receipt)


def _ask(method: str, url: str, key: str, page: Mapping[str, object] | None) -> dict[str, object]:
    """Ask a gate's control API."""
    body = (
        None
        if page is None
        else json.dumps({k: v for k, v in page.items() if v is not None}).encode()
    )
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    request = urllib.request.Request(url, data=body, headers=headers, method=method)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=GATE_ANSWERS_SECONDS) as response:  # noqa: S310
            answer: dict[str, object] = json.load(response)
            return answer
    except urllib.error.HTTPError as error:
        told = error.read().decode(errors="replace")
        msg = f"the gate at {url} answered {error.code}: {_sentence(told)}"
        raise Misconfigured(msg) from error
    except (OSError, ValueError) as error:
        msg = f"no gate answers at {url} ({error}); unset CALLGATE_URL to start one for this run"
        raise Misconfigured(msg) from error


def _sentence(body: str) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body[:500]


def _agent(settings: Settings, agent: str | None) -> str:
    if agent is not None:
        return agent
    if len(settings.agents) == 1:
        return next(iter(settings.agents))
    listing = ", ".join(sorted(settings.agents)) or "none"
    msg = f"say whose permissions hold: --agent NAME; the settings name: {listing}"
    raise Misconfigured(msg)


def referenced_variables(settings: Settings) -> frozenset[str]:
    """Return every environment variable that a secret reference of the settings names."""
    owners = (*settings.providers.values(), *settings.agents.values())
    references = [owner.key for owner in owners if owner.key]
    return frozenset(ref.removeprefix("env:") for ref in references if ref.startswith("env:"))


async def _child(command: list[str], environ: Mapping[str, str]) -> int:
    """Run the child to its end, passing signals on; return its exit status."""
    try:
        child = await asyncio.create_subprocess_exec(*command, env=environ)
    except FileNotFoundError:
        complain(f"there is no program {command[0]!r}")
        return NOT_FOUND
    except PermissionError:
        complain(f"{command[0]!r} cannot be executed")
        return NOT_EXECUTABLE
    loop = asyncio.get_running_loop()
    numbers = [signal.Signals[name] for name in FORWARDED]
    for number in numbers:
        loop.add_signal_handler(number, _forward, child, number)
    try:
        code = await child.wait()
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
    return KILLED_BY_SIGNAL - code if code < 0 else code


def _forward(child: asyncio.subprocess.Process, number: signal.Signals) -> None:
    # A terminal sends these to the whole foreground group, so the child has it already.
    if number in {signal.SIGINT, signal.SIGQUIT} and os.isatty(sys.stdin.fileno()):
        return
    if child.returncode is None:
        child.send_signal(number)


def _write(receipt: Receipt, form: ReceiptForm, path: Path | None) -> None:
    if form is ReceiptForm.json:
        text = msgspec.json.format(msgspec.json.encode(receipt), indent=2).decode() + "\n"
        if path is None:
            sys.stderr.write(text)
        else:
            path.write_text(text, encoding="utf-8")
        return
    if path is None:
        err().print(render(receipt))
        return
    with path.open("w", encoding="utf-8") as file:
        Console(file=file, width=120).print(render(receipt))
