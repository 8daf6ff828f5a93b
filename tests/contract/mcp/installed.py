"""Real MCP servers, installed once into ``.venvs`` from the versions and hashes of ``requirements/mcp-servers``."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[3]
PINS: Final = ROOT / "requirements" / "mcp-servers"

REQUIRE: Final = "CALLGATE_REQUIRE"
"""The environment variable that names what must not be skipped: ``mcp-python``, ``mcp-node``."""


ASKED_AGAIN_SECONDS: Final = 600.0
"""How long after an installation failed nobody waits for it to fail again."""


def python_servers(name: str) -> Path:
    """Return where the programs of a file of requirements are; an older server needs older packages."""
    pins = PINS / f"{name}.txt"

    def install(folder: Path) -> None:
        run([sys.executable, "-m", "venv", str(folder)])
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(pins)])

    return once("mcp-python", pins, install) / "bin"


def node_servers() -> Path:
    """Return the folder in which ``npx`` finds the servers in JavaScript."""
    if shutil.which("npm") is None:
        skip("mcp-node", "there is no npm on this machine")

    def install(folder: Path) -> None:
        folder.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(PINS / name, folder)
        # No script of a package runs: what is started is the server, by the test.
        quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1")
        run(["npm", "ci", *quiet, "--prefix", str(folder)])

    return once("mcp-node", PINS / "package-lock.json", install)


def once(kind: str, pins: Path, install: Callable[[Path], None]) -> Path:
    """Install what a file pins, if no test has before."""
    venvs = ROOT / ".venvs"
    venvs.mkdir(exist_ok=True)
    folder = venvs / f"{pins.stem}-{sha256(pins.read_bytes()).hexdigest()[:12]}"
    with (venvs / f"{pins.stem}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            failed = folder.with_suffix(".failed")
            if failed.exists() and time.time() - failed.stat().st_mtime < ASKED_AGAIN_SECONDS:
                skip(kind, failed.read_text())
            shutil.rmtree(folder, ignore_errors=True)
            try:
                install(folder)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                told = (error.stderr or b"it took too long").decode()[-300:]
                failed.write_text(f"{pins.name} cannot be installed: {told}")
                skip(kind, failed.read_text())
            (folder / "done").touch()
    return folder


def run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=300)


def skip(kind: str, told: str) -> None:
    """Skip a test, unless what it needs is required."""
    if kind in os.environ.get(REQUIRE, "").split(","):
        pytest.fail(f"{told}, and {REQUIRE} requires it")
    pytest.skip(told)
