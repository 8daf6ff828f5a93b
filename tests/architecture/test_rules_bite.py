"""Each contract and each ban of pyproject.toml fails on code that breaks it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import PACKAGE, ROOT

BIN = Path(sys.executable).parent

BROKEN_CONTRACTS = {
    "layers": ("store/__init__.py", "from callgate.pipeline.stage import Stage"),
    "doors": ("doors/openai_api.py", "from callgate.doors.anthropic_api import __doc__ as other"),
    "stages": ("pipeline/permission.py", "from callgate.pipeline.route import Route"),
    "providers": ("doors/openai_api.py", "from callgate.providers import Provider"),
    "sockets": ("pipeline/admit.py", "import socket"),
    "cycles": ("money.py", "from callgate.task import Task"),
}

BANNED = {
    "import time\n\nNOW = time.time()\n": "store/sqlite.py",
    "import asyncio\n\nWAIT = asyncio.sleep\n": "pipeline/retry.py",
    "from datetime import datetime\n\nNOW = datetime.now\n": "observe/receipt.py",
    "import os\n\nHOME = os.environ\n": "gate/roads.py",
    "import random\n\nNOISE = random.random\n": "pipeline/retry.py",
    "import openai\n\nCLIENT = openai\n": "providers/openai.py",
}


@pytest.mark.slow
@pytest.mark.parametrize("contract", sorted(BROKEN_CONTRACTS))
def test_a_broken_contract_is_found(contract: str, tmp_path: Path) -> None:
    module, line = BROKEN_CONTRACTS[contract]
    copy = tmp_path / "callgate"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / module).write_text(f"{(copy / module).read_text(encoding='utf-8')}\n{line}\n")
    command = [str(BIN / "lint-imports"), "--no-logo", "--no-cache", str(ROOT / "pyproject.toml")]
    run = subprocess.run(
        [*command, "--contract", contract],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, run.stdout + run.stderr
    assert "1 broken" in run.stdout


@pytest.mark.parametrize("source", BANNED)
def test_a_banned_name_is_found_outside_the_file_that_may_use_it(source: str) -> None:
    assert "TID251" in linted(source, f"src/callgate/{BANNED[source]}")


def test_the_clock_may_read_the_time() -> None:
    assert "TID251" not in linted("import time\n\nNOW = time.time()\n", "src/callgate/clock.py")


def test_a_function_that_branches_too_much_is_found() -> None:
    branches = "".join(f"    if x == {n}:\n        return {n}\n" for n in range(8))
    assert "C901" in linted(
        f"def f(x: int) -> int:\n{branches}    return x\n", "src/callgate/gate/roads.py"
    )


def linted(source: str, name: str) -> str:
    """Return what ruff says about ``source``, if it stood in the file ``name``."""
    command = [str(BIN / "ruff"), "check", "--no-cache", "--output-format", "concise"]
    run = subprocess.run(
        [*command, "--stdin-filename", name, "-"],
        cwd=ROOT,
        input=source,
        capture_output=True,
        text=True,
        check=False,
    )
    return run.stdout
