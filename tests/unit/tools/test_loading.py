"""Functions that the settings name: where they are looked for, and what is told if they are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from callgate.config.loading import read_settings
from callgate.errors import Misconfigured
from callgate.tools.direct import direct_toolsets
from callgate.tools.loading import load_function

MODULE = '''
from callgate import tool

LIMIT = 3

class Shop:
    """A shop."""

@tool(effect="read")
def search(query: str) -> str:
    """Search the web."""
    return f"found {query}"
'''


@pytest.fixture(autouse=True)
def path_of_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what a test adds to the path of imports be gone after it."""
    monkeypatch.setattr("sys.path", [*__import__("sys").path])


def write(folder: Path, name: str, text: str = MODULE) -> Path:
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def test_a_tool_of_the_settings_is_found_beside_them(tmp_path: Path) -> None:
    write(tmp_path, "beside_tools")
    text = '[tools.seek]\npython = "beside_tools:search"\ntimeout = "5s"\n'
    (python, *_) = direct_toolsets(read_settings(text, tmp_path / "callgate.toml"))
    (tool,) = python.tools()
    assert (tool.name, tool.effect, tool.timeout_seconds) == ("seek", "read", 5)
    assert tool.remote_name == "beside_tools:search"


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("found_tools:serach", r"'serach' is not there in .*found_tools.py; did you mean 'search'"),
        ("found_tools:LIMIT", "'LIMIT' is no function in"),
        ("found_tools:Shop", "'Shop' is no function in"),
        ("nowhere_tools:search", "'nowhere_tools' cannot be imported: ModuleNotFoundError"),
    ],
)
def test_a_function_that_is_not_there_is_told_with_the_place(
    tmp_path: Path, place: str, why: str
) -> None:
    write(tmp_path, "found_tools")
    with pytest.raises(Misconfigured, match=why):
        load_function(place, tool="seek", base=tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise ValueError('api_key=sk-proj-0123456789')", r"ValueError: api_key=\*\*\*"),
    ],
)
def test_a_module_that_cannot_be_imported_is_told_without_a_trace(
    tmp_path: Path, text: str, told: str
) -> None:
    name = f"broken_{abs(hash(text))}"
    write(tmp_path, name, text)
    with pytest.raises(Misconfigured, match=told) as broken:
        load_function(f"{name}:search", tool="seek", base=tmp_path)
    assert "Traceback" not in broken.value.message
