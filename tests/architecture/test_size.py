"""Nothing grows past what one person reads in one sitting."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.source import ROOT, parsed, python_files

LONGEST_FILE = 500
LONGEST_CODEC = 800
LONGEST_FUNCTION = 40
MOST_PARAMETERS = 8
VAGUE_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"})
ALLOWLIST = Path(__file__).with_name("size_allowlist.txt")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def body_lines(function: Function) -> int:
    """Return the lines from `def` to the end, without the docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def parameters(function: Function) -> int:
    """Return how many parameters a caller may give; options of a command line are not counted."""
    every = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return sum(
        argument.arg not in {"self", "cls"} and not is_option(argument) for argument in every
    )


def is_option(argument: ast.arg) -> bool:
    """Return whether a person gives this by name on a command line, never another function."""
    annotation = "" if argument.annotation is None else ast.unparse(argument.annotation)
    return "typer.Option(" in annotation or "typer.Argument(" in annotation


def findings(name: str, source: str) -> Iterator[str]:
    """Yield what is too large or badly named in one file."""
    path = Path(name)
    longest = LONGEST_CODEC if "callgate/wire/" in name else LONGEST_FILE
    lines = source.count("\n")
    if lines > longest:
        yield f"{name}: {lines} lines, at most {longest}"
    if path.stem in VAGUE_NAMES or path.parent.name in VAGUE_NAMES:
        yield f"{name}: the name does not say what it holds"
    if path.stem.endswith(("_v2", "_v3", "_new", "_old")):
        yield f"{name}: there is one version of everything"
    for node in ast.walk(parsed(source)):
        if isinstance(node, Function):
            if body_lines(node) > LONGEST_FUNCTION:
                yield f"{name}:{node.name}: {body_lines(node)} lines, at most {LONGEST_FUNCTION}"
            if parameters(node) > MOST_PARAMETERS:
                yield f"{name}:{node.name}: {parameters(node)} parameters, at most {MOST_PARAMETERS}"


def allowed() -> set[str]:
    """Return the findings that are known."""
    lines = ALLOWLIST.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def test_files_functions_and_signatures_stay_small() -> None:
    found: set[str] = set()
    for path in python_files():
        found.update(findings(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")))
    assert sorted(found - allowed()) == [], "make it smaller; the allowlist only shrinks"
    assert sorted(allowed() - found) == [], "no longer needed: take it out of the allowlist"


def test_a_file_that_is_too_long_is_found() -> None:
    assert list(findings("src/callgate/task.py", "#\n" * 501)) == [
        "src/callgate/task.py: 501 lines, at most 500"
    ]
    assert list(findings("src/callgate/wire/gemini.py", "#\n" * 800)) == []


def test_a_function_is_measured_without_its_docstring() -> None:
    text = 'def f() -> None:\n    """One.\n\n    Two.\n    """\n'
    assert list(findings("a.py", text + "    x = 1\n" * 39)) == []
    assert list(findings("a.py", text + "    x = 1\n" * 40)) == ["a.py:f: 41 lines, at most 40"]


def test_a_method_with_nine_parameters_is_found() -> None:
    text = "class A:\n    async def f(self, a, b, c, *, d, e, f, g, h{}): ...\n"
    assert list(findings("a.py", text.format(""))) == []
    assert list(findings("a.py", text.format(", i"))) == ["a.py:f: 9 parameters, at most 8"]
    assert list(findings("a.py", text.format(", i: Annotated[str, typer.Option()]"))) == []


def test_a_file_with_a_vague_name_is_found() -> None:
    assert len(list(findings("src/callgate/store/utils.py", ""))) == 1
    assert len(list(findings("src/callgate/common/money.py", ""))) == 1
    assert len(list(findings("src/callgate/limiter_v2.py", ""))) == 1


def test_the_tests_are_measured_too() -> None:
    assert Path(__file__) in python_files()
