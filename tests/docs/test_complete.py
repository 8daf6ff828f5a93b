"""Nothing that a user meets is left out of the documentation, and nothing in it is gone."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from typer.core import TyperGroup
from typer.main import get_command

import callgate
from callgate.doors.cli.app import make_app
from callgate.doors.tool_errors import HINTS
from callgate.pipeline import ORDER, Execute
from tests.docs.pages import ROOT, pages

DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
NOT_ROOMS = frozenset({"__pycache__", "py.typed"})


def everything() -> str:
    """Return every page, one after the other."""
    return "\n".join(page.read_text(encoding="utf-8") for page in pages())


def section(title: str) -> str:
    """Return a section of docs/design.md."""
    return DESIGN.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_tour_names_every_stage_in_the_order_of_the_road() -> None:
    told = re.findall(r"^\| `(\w+)` \|", section("The road"), re.MULTILINE)
    assert told == [stage.__name__.lower() for stage in (*ORDER, Execute)]


def test_the_tour_names_every_room_of_the_house() -> None:
    listing = section("The house").partition("```\n")[2].partition("```")[0]
    told = {
        name
        for line in listing.splitlines()[1:]
        for name in line.strip().partition("  ")[0].split()
    }
    rooms = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in (ROOT / "src" / "callgate").iterdir()
        if path.name not in NOT_ROOMS
    }
    assert told == rooms


@pytest.mark.parametrize("name", callgate.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    assert re.search(rf"`(?:callgate\.)?{name}\b", everything()), f"no page tells what {name} is"


def test_the_written_pages_say_what_the_code_says() -> None:
    check = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_every_setting_has_a_meaning() -> None:
    settings = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `.*$", settings, re.MULTILINE)
    assert rows
    assert [row for row in rows if row.endswith("|  |")] == []


def test_every_command_is_documented() -> None:
    text = everything()
    assert [name for name in command_names() if f"`callgate {name}" not in text] == []


def command_names() -> list[str]:
    """Return every command as it is typed, such as ``keys create``."""
    group = get_command(make_app())
    assert isinstance(group, TyperGroup)
    names: list[str] = []
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            names += [f"{name} {inner}" for inner in command.commands]
        else:
            names.append(name)
    return names


def test_every_code_that_a_program_may_look_at_is_on_its_page() -> None:
    source = ROOT / "src" / "callgate"
    told = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    codes = {
        code
        for path in source.rglob("*.py")
        if "testing" not in path.parts
        for code in re.findall(r'\bcode="([a-z_]+)"', path.read_text(encoding="utf-8"))
    }
    assert sorted(code for code in codes if f"`{code}`" not in told) == []


def test_every_kind_of_a_tools_error_is_on_the_page_of_tools() -> None:
    page = (ROOT / "docs" / "tools.md").read_text(encoding="utf-8")
    assert [kind for kind in HINTS if f"`{kind}`" not in page] == []
