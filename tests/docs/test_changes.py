"""Notes for the change log are where and how `changes/README.md` says."""

from __future__ import annotations

import re
import tomllib

from tests.docs.pages import ROOT

CHANGES = ROOT / "changes"


def test_every_note_is_named_after_an_issue_and_a_type() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    types = "|".join(one["directory"] for one in settings["tool"]["towncrier"]["type"])
    name = re.compile(rf"(?:\d+|\+[\w-]+)\.(?:{types})(?:\.\d+)?\.md")
    notes = [path.name for path in CHANGES.iterdir() if path.name != "README.md"]
    assert [note for note in notes if not name.fullmatch(note)] == []


def test_every_note_is_a_short_text_for_users() -> None:
    notes = [path for path in CHANGES.glob("*.md") if path.name != "README.md"]
    assert [
        path.name for path in notes if not 20 <= len(path.read_text(encoding="utf-8")) <= 600
    ] == []
