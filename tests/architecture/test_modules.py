"""What every module has, and what the package shows."""

from __future__ import annotations

import ast
import subprocess
import sys

import callgate
from tests.architecture.source import PACKAGE, ROOT, imported, python_files, tree

PUBLIC_NAMES = [
    "CallgateError",
    "Failed",
    "GateDoor",
    "IdempotencyKey",
    "Misconfigured",
    "ModelReply",
    "Money",
    "OverBudget",
    "Receipt",
    "Refused",
    "TaskDoor",
    "ToolContext",
    "ToolError",
    "Usage",
    "open_gate",
    "tool",
]
"""Everything a program may import from the package; a change is one for the users too."""


def test_the_public_names_are_exactly_these() -> None:
    assert sorted(callgate.__all__) == PUBLIC_NAMES


def test_importing_the_package_imports_nothing_else_of_it() -> None:
    code = "import sys, callgate; print([name for name in sys.modules if 'callgate.' in name])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_every_public_name_can_be_imported() -> None:
    missing = [name for name in callgate.__all__ if getattr(callgate, name, None) is None]
    assert missing == []


def test_every_module_says_in_one_line_what_it_is_for() -> None:
    silent: list[str] = []
    for path in python_files("src", "bench", "examples", "docs"):
        first = (ast.get_docstring(tree(path)) or "").partition("\n")[0]
        if not first.endswith((".", "?", ":")):
            silent.append(f"{path.relative_to(ROOT)}: {first!r}")
    assert silent == []


def test_every_package_is_typed_and_has_an_init() -> None:
    folders = {path.parent for path in python_files("src")}
    assert (PACKAGE / "py.typed").is_file()
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_nobody_replaces_a_part_by_a_mock() -> None:
    users = [
        str(path.relative_to(ROOT))
        for path in python_files()
        if any("mock" in name.split(".") for name in imported(tree(path)))
    ]
    assert users == [], "use the fakes and the simulator of callgate.testing"
