"""``callgate demo``: ordinary agents behind the gate, offline, and three books that must agree."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import sys
import tempfile
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from callgate.config import FILE_NAME, environment, load
from callgate.doors.app import http_app
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.receipt import render
from callgate.doors.cli.run import NO_GATE
from callgate.doors.cli.screen import Column, dollars, out, print_json, print_table, tell
from callgate.doors.cli.settings import JsonOption
from callgate.doors.server import Server
from callgate.errors import Misconfigured
from callgate.gate import Gate
from callgate.keys import digest, new_key
from callgate.observe.receipt import Receipt
from callgate.store import Key
from callgate.testing.simulator import Simulator

BESIDE_THE_SOURCE = Path(__file__).resolve().parents[4] / "examples"
IN_THE_PACKAGE = Path(__file__).resolve().parents[2] / "examples"
"""Where the example agents are: in a checkout, and in an installed package."""

AGENT = "demo"

SETTINGS = """\
[gate]
store = "sqlite:callgate.db"

[providers.openai]
api = "openai"
base_url = "{openai}"
key = "env:OPENAI_API_KEY"

[providers.anthropic]
api = "anthropic"
base_url = "{anthropic}"
key = "env:ANTHROPIC_API_KEY"

[agents.demo]
models = ["openai:gpt-5.5", "anthropic:claude-sonnet-5"]

[tasks.research]
budget = "$1"
timeout = "5m"

[tasks.notes]
budget = "$1"
timeout = "5m"

[tasks.runaway]
budget = "$0.25"
timeout = "5m"
"""

SCRIPT = """\
[[rules]]
match = {{ api = "openai", text = "harbours", last = "user" }}

[[rules.steps]]
answer = {{ tool_calls = [
  {{ name = "web_search", arguments = {{ query = "port of Hamburg" }} }},
  {{ name = "web_search", arguments = {{ query = "port of Rotterdam" }} }},
], usage = {{ cache_read_tokens = 1024 }} }}

[[rules]]
match = {{ api = "openai", text = "three sentences" }}

[[rules.steps]]
answer = {{ text = "Rotterdam is the larger port. Hamburg lies further inland. Both are busy." }}
pace = {{ event_seconds = 0.02 }}

[[rules]]
match = {{ api = "anthropic", text = "release", last = "user" }}

[[rules.steps]]
answer = {{ tool_calls = [
  {{ name = "file_note", arguments = {{ heading = "Release", text = "On Thursday, after the tests." }} }},
], usage = {{ cache_write_tokens = 2048 }} }}

[[rules]]
match = {{ api = "anthropic", text = "Read it back" }}

[[rules.steps]]
answer = {{ text = "The release is on Thursday, after the tests.", usage = {{ cache_read_tokens = 2048 }} }}
pace = {{ event_seconds = 0.02 }}

[[rules]]
match = {{ api = "openai", text = "quite sure" }}

[[rules.steps]]
answer = {{ words = 150, usage = {{ reasoning_tokens = 120 }} }}
pace = {{ headers_seconds = 0.05 }}
times = 1000000
"""


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """One example agent."""

    file: str
    task_type: str
    title: str


PROGRAMS = (
    Program(
        file="research_openai.py",
        task_type="research",
        title="a research agent on the official OpenAI SDK",
    ),
    Program(
        file="notes_anthropic.py",
        task_type="notes",
        title="a note-taking agent on the official Anthropic SDK",
    ),
    Program(
        file="runaway.py",
        task_type="runaway",
        title="an agent gone wrong: 20 calls at a time, every error caught and tried again",
    ),
)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the three books say about one program, in nano-dollars."""

    program: str
    exit_status: int
    receipt: Receipt
    ledger_nano_usd: int
    bill_nano_usd: int

    @property
    def agrees(self) -> bool:
        """Whether receipt, ledger and the providers' bill are the same to the nano-dollar."""
        return self.receipt.spent_nano_usd == self.ledger_nano_usd == self.bill_nano_usd

    @property
    def holds(self) -> bool:
        """Whether the budget held."""
        budget = self.receipt.budget_nano_usd
        return budget is None or self.bill_nano_usd <= budget


BOOKS = (
    Column("agent"),
    Column("budget", right=True),
    Column("receipt", right=True),
    Column("ledger", right=True),
    Column("providers' bill", right=True),
)


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """The demo's providers and gate, while they run."""

    simulator: Simulator
    gate: Gate
    url: str
    key: str
    folder: Path
    json: bool
    """Whether standard output is for JSON alone."""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Keep settings and store there, to look at afterwards."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Run three agents behind the gate, offline and without a key, and compare the books."""
    programs = _programs()
    with tempfile.TemporaryDirectory(prefix="callgate-demo-") as temporary:
        outcomes = run_loop(_demo(programs, _made(folder or Path(temporary)), json=json))
    if json:
        print_json([_page(outcome) for outcome in outcomes])
    else:
        _compare(outcomes)
    if folder is not None:
        tell(
            f"Settings and store are in {escape(str(folder))}: callgate calls --config {escape(str(folder))}/callgate.toml"
        )
    if not all(o.agrees and o.holds and o.exit_status == 0 for o in outcomes):
        raise typer.Exit(1)


def _made(folder: Path) -> Path:
    """Return the folder, made if it was not there, in which nothing of the user's is overwritten."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = any(folder.iterdir())
    except OSError as error:
        msg = f"{folder} cannot be used: {error.strerror}"
        raise Misconfigured(msg) from error
    if taken:
        msg = f"{folder} is not empty; name a folder that the demo may fill"
        raise Misconfigured(msg)
    return folder


def _programs() -> Path:
    """Return the folder of the examples; say what is missing to run them."""
    missing = [name for name in ("openai", "anthropic") if importlib.util.find_spec(name) is None]
    if missing:
        msg = f"the demo's agents use the official SDKs: pip install {' '.join(missing)}"
        raise Misconfigured(msg)
    for folder in (BESIDE_THE_SOURCE, IN_THE_PACKAGE):
        if (folder / PROGRAMS[0].file).exists():
            return folder
    msg = f"the example agents are neither in {BESIDE_THE_SOURCE} nor in {IN_THE_PACKAGE}"
    raise Misconfigured(msg)


async def _demo(programs: Path, folder: Path, *, json: bool) -> list[Outcome]:
    tell("[bold]Three agents on the official SDKs, unedited, behind one gate.[/bold]")
    tell("The providers are simulated: nothing leaves this machine, nothing is charged.\n")
    async with _stage(folder, json=json) as stage:
        tell(f"providers  [cyan]{stage.simulator.url}[/cyan]  OpenAI and Anthropic, simulated")
        tell(f"gate       [cyan]{stage.url}[/cyan]  on SQLite")
        return [
            await _play(stage, programs, program, number=number)
            for number, program in enumerate(PROGRAMS, start=1)
        ]


@asynccontextmanager
async def _stage(folder: Path, *, json: bool) -> AsyncGenerator[Stage]:
    """Start the providers and the gate."""
    script = folder / "simulator.toml"
    script.write_text(SCRIPT.format(), encoding="utf-8")
    async with Simulator(script=script, seed=7) as simulator:
        config = folder / FILE_NAME
        config.write_text(
            SETTINGS.format(openai=simulator.openai_url, anthropic=simulator.anthropic_url),
            encoding="utf-8",
        )
        environ = {"OPENAI_API_KEY": "sim-openai-key", "ANTHROPIC_API_KEY": "sim-anthropic-key"}
        settings = load(config, environ=environ)
        gate = await Gate.open(settings, environ=environ)
        try:
            server = Server(http_app(gate), host="127.0.0.1", port=0)
            await server.start()
            key = await _agent_key(gate)
            yield Stage(
                simulator=simulator, gate=gate, url=server.url, key=key, folder=folder, json=json
            )
            await server.stop()
        finally:
            await gate.close()


async def _agent_key(gate: Gate) -> str:
    key = new_key("agent")
    row = Key(
        id="key_demo", digest=digest(key), agent=AGENT, label="demo", created_at=gate.clock.now()
    )
    await gate.store.create_key(row)
    return key


async def _play(stage: Stage, programs: Path, program: Program, *, number: int) -> Outcome:
    """Run one program through ``callgate run``, and read the three books."""
    tell(f"\n[bold]{number}  {program.title}[/bold]")
    tell(f"[dim]$ callgate run --type {program.task_type} -- python examples/{program.file}[/dim]")
    billed_before = stage.simulator.bill().total_nano_usd
    receipt_file = stage.folder / f"{program.task_type}.json"
    status = await _run_program(stage, programs / program.file, program, receipt_file)
    if status == NO_GATE:
        msg = "callgate run could not start; what it said stands above"
        raise Misconfigured(msg)
    receipt = msgspec.json.decode(receipt_file.read_bytes(), type=Receipt)
    if not stage.json:
        out().print(render(receipt))
    row = stage.gate.store.task_row(receipt.task_id)
    return Outcome(
        program=program.file,
        exit_status=status,
        receipt=receipt,
        ledger_nano_usd=-1 if row is None else row.spent.nano,
        bill_nano_usd=stage.simulator.bill().total_nano_usd - billed_before,
    )


async def _run_program(stage: Stage, path: Path, program: Program, receipt_file: Path) -> int:
    environ = {**environment(), "CALLGATE_URL": stage.url, "CALLGATE_KEY": stage.key}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "callgate", "run", "--type", program.task_type,
        "--config", os.fspath(stage.folder / FILE_NAME),
        "--receipt", "json", "--receipt-file", os.fspath(receipt_file),
        "--", sys.executable, os.fspath(path),
        env=environ, stdin=DEVNULL, stdout=sys.stderr if stage.json else None,
    )  # fmt: skip
    return await child.wait()


def _page(outcome: Outcome) -> dict[str, object]:
    return {
        "program": outcome.program,
        "exit_status": outcome.exit_status,
        "receipt": outcome.receipt,
        "ledger_nano_usd": outcome.ledger_nano_usd,
        "bill_nano_usd": outcome.bill_nano_usd,
        "books_agree": outcome.agrees,
        "budget_held": outcome.holds,
    }


def _compare(outcomes: list[Outcome]) -> None:
    """Print the three books side by side, and what they show."""
    agree = all(outcome.agrees for outcome in outcomes)
    held = all(outcome.holds for outcome in outcomes)
    out().print(
        "\n[bold green]Receipt, ledger and the providers' bill agree to the nano-dollar.[/bold green]"
        if agree
        else "\n[bold red]THE BOOKS DIFFER.[/bold red]"
    )
    print_table(BOOKS, (_book_line(outcome) for outcome in outcomes))
    if not held:
        out().print("[bold red]A BUDGET DID NOT HOLD.[/bold red]")
    command = f"{_as_typed()} run --budget 0.50 -- python your_agent.py"
    out().print(f"\nYour turn:  [bold]{escape(command)}[/bold]")


def _as_typed() -> str:
    """Return how this program can be typed again, from here."""
    program = Path(sys.argv[0]).absolute()
    if program.name != "callgate" or shutil.which("callgate") == os.fspath(program):
        return "callgate"
    return os.path.relpath(program) if program.is_relative_to(Path.cwd()) else os.fspath(program)


def _book_line(outcome: Outcome) -> tuple[str, ...]:
    budget = outcome.receipt.budget_nano_usd
    books = (outcome.receipt.spent_nano_usd, outcome.ledger_nano_usd, outcome.bill_nano_usd)
    return (outcome.program, "" if budget is None else dollars(budget), *map(dollars, books))
