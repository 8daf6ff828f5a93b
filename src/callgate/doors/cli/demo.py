"""``callgate demo``: ordinary agents behind the gate, offline, and three books that must agree."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from callgate.config import environment, load
from callgate.doors.app import http_app
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.receipt import render
from callgate.doors.cli.screen import dollars, out, print_json, tell
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

[models.smart]
use = ["openai:gpt-5.5"]

[models.careful]
use = ["anthropic:claude-sonnet-5"]

[agents.demo]
models = ["smart", "careful"]

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


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """The demo's providers and gate, while they run."""

    simulator: Simulator
    gate: Gate
    url: str
    key: str
    folder: Path


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    folder: Annotated[
        Path | None, typer.Option(help="Keep settings and store here, to look at afterwards.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Run three agents behind the gate, offline and without a key, and compare the books."""
    programs = _programs()
    with tempfile.TemporaryDirectory(prefix="callgate-demo-") as temporary:
        kept = folder or Path(temporary)
        kept.mkdir(parents=True, exist_ok=True)
        outcomes = run_loop(_demo(programs, kept))
    if json:
        print_json(outcomes)
    else:
        _compare(outcomes)
        if folder is not None:
            tell(
                f"callgate: settings and store are in {escape(str(folder))}; callgate calls --config {escape(str(folder))}/callgate.toml"
            )
    if not all(o.agrees and o.holds and o.exit_status == 0 for o in outcomes):
        raise typer.Exit(1)


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


async def _demo(programs: Path, folder: Path) -> list[Outcome]:
    async with _stage(folder) as stage:
        tell(
            f"[bold]1[/bold] simulated OpenAI and Anthropic providers at [cyan]{stage.simulator.url}[/cyan]"
        )
        tell(f"[bold]2[/bold] the gate at [cyan]{stage.url}[/cyan], on SQLite")
        return [
            await _play(stage, programs, program, number)
            for number, program in enumerate(PROGRAMS, start=3)
        ]


@asynccontextmanager
async def _stage(folder: Path) -> AsyncGenerator[Stage]:
    """Start the providers and the gate."""
    script = folder / "simulator.toml"
    script.write_text(SCRIPT.format(), encoding="utf-8")
    async with Simulator(script=script, seed=7) as simulator:
        config = folder / "callgate.toml"
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
            yield Stage(simulator=simulator, gate=gate, url=server.url, key=key, folder=folder)
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


async def _play(stage: Stage, programs: Path, program: Program, number: int) -> Outcome:
    """Run one program through ``callgate run``, and read the three books."""
    command = [
        "callgate",
        "run",
        "--type",
        program.task_type,
        "--",
        "python",
        f"examples/{program.file}",
    ]
    tell(f"\n[bold]{number}[/bold] {program.title}\n  [dim]$ {escape(' '.join(command))}[/dim]")
    billed_before = stage.simulator.bill().total_nano_usd
    receipt_file = stage.folder / f"{program.task_type}.json"
    status = await _run_program(stage, programs / program.file, program, receipt_file)
    if not receipt_file.exists():
        msg = f"callgate run ended with {status} and left no receipt"
        raise Misconfigured(msg)
    receipt = msgspec.json.decode(receipt_file.read_bytes(), type=Receipt)
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
        "--receipt", "json", "--receipt-file", os.fspath(receipt_file),
        "--", sys.executable, os.fspath(path),
        env=environ,
    )  # fmt: skip
    return await child.wait()


def _compare(outcomes: list[Outcome]) -> None:
    """Print the three books side by side."""
    out().print("\n[bold]the books, to the nano-dollar[/bold]")
    for outcome in outcomes:
        agree = "[green]agree[/green]" if outcome.agrees else "[red]DIFFER[/red]"
        held = "" if outcome.holds else "  [red]OVER BUDGET[/red]"
        out().print(
            f"  {outcome.program:20}  receipt {dollars(outcome.receipt.spent_nano_usd):>14}"
            f"  ledger {dollars(outcome.ledger_nano_usd):>14}"
            f"  providers' bill {dollars(outcome.bill_nano_usd):>14}  {agree}{held}"
        )
