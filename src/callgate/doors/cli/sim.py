"""``callgate sim``: simulated providers, for demos, tests and drills without a key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.screen import tell
from callgate.errors import Misconfigured
from callgate.testing.simulator import serve as serve_simulator
from callgate.testing.simulator.clock import CLOCKS, Mode


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sim)


def sim(
    script: Annotated[
        Path | None,
        typer.Argument(help="What it answers and where it fails; see docs/simulator.md."),
    ] = None,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free port.")] = 4181,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    clock: Annotated[
        Mode | None,
        typer.Option(help="virtual stands until POST /sim/clock moves it; default: the script's."),
    ] = None,
) -> None:
    """Run simulated OpenAI, Anthropic and Gemini providers, with their bill at /sim/bill."""
    given = None if clock is None else CLOCKS[clock]()
    try:
        run_loop(serve_simulator(host, port, script, seed, clock=given, on_ready=_ready))
    except KeyboardInterrupt:
        tell("callgate sim: stopped")
    except OSError as error:
        msg = f"cannot listen at {host}:{port}: {error.strerror}; --port 0 takes a free port"
        raise Misconfigured(msg) from error


def _ready(url: str) -> None:
    tell(f"[bold]callgate sim[/bold] serves at [cyan]{url}[/cyan]")
    tell(f"  OPENAI_BASE_URL={url}/v1  ANTHROPIC_BASE_URL={url}  GOOGLE_GEMINI_BASE_URL={url}")
    tell(f"  bill: {url}/sim/bill  verdict: {url}/sim/verdict")
