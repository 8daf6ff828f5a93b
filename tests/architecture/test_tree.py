"""The repository names no machine, no registry, and is locked as it says."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from packaging.requirements import Requirement

from tests.architecture.source import ROOT, text_files

MACHINE_PATHS = re.compile(r"(?<![\w.:/}-])/(?:root|work|home/\w+|Users/\w+)/")
REGISTRIES = re.compile(r"pypi\.(?:org|io)|files\.pythonhosted|registry\.npmjs")
PIN = re.compile(r"^([\w.-]+)==(\S+)", re.MULTILINE)


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def lock() -> str:
    return (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_no_file_names_a_path_of_some_machine() -> None:
    found = [
        (name, hit.group()) for name, text in text_files() if (hit := MACHINE_PATHS.search(text))
    ]
    assert found == []


def test_a_path_of_some_machine_is_recognised() -> None:
    home = "/" + "home/kim/agent.py"
    assert MACHINE_PATHS.search(f"open('{home}')")
    assert not MACHINE_PATHS.search("docs/work/plan.md, https://example.org/work/1")


def test_no_file_names_a_registry() -> None:
    others = [
        (name, text) for name, text in text_files() if name != "tests/architecture/test_tree.py"
    ]
    found = [(name, hit.group()) for name, text in others if (hit := REGISTRIES.search(text))]
    assert found == []


def test_everything_that_is_required_is_locked_at_a_version_that_fits() -> None:
    settings = project()
    groups = settings["dependency-groups"].values()
    texts = [*settings["project"]["dependencies"], *(entry for group in groups for entry in group)]
    wanted = [Requirement(text) for text in texts if isinstance(text, str)]
    pins = {normal(name): version for name, version in PIN.findall(lock())}
    unfit = [
        str(one) for one in wanted if not one.specifier.contains(pins.get(normal(one.name), "0"))
    ]
    assert unfit == [], "run `make lock` and commit requirements/dev.txt"


def test_the_lock_names_hashes_and_nothing_of_where_it_was_made() -> None:
    entries = re.split(r"\n(?=\S)", lock().strip())
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    assert re.findall(r"--(?:index|extra-index|find-links|trusted)\S*|://", lock()) == []


def test_every_kind_of_file_is_read() -> None:
    names = {name for name, _ in text_files()}
    assert {"Makefile", ".ci/run", "requirements/dev.txt", "src/callgate/money.py"} <= names
