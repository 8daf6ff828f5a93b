"""The documentation does what it says: its examples run, in an empty folder with an empty home."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Example, examples, examples_in, pages
from tests.docs.runner import Mismatch, run

RUNNING = [page for page in pages() if any("run" in example.marks for example in examples(page))]


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNNING, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_examples_of_a_page_run_in_their_order(page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    for example in examples(page):
        if "run" in example.marks:
            run(example, folder)


def test_every_example_is_run_or_marked_as_a_sample() -> None:
    every = [example for page in pages() for example in examples(page)]
    unmarked = [example.place for example in every if not {"run", "sample"} & set(example.marks)]
    assert unmarked == [], "write ```console run, or ```console sample if it cannot run"


def example_of(text: str) -> Example:
    (found,) = examples_in(text, page="page.md")
    return found


def test_a_command_that_prints_something_else_is_found(tmp_path: Path) -> None:
    with pytest.raises(Mismatch, match=r"page\.md:1: `echo one` printed\none"):
        run(example_of("```console run\n$ echo one\ntwo\n```\n"), tmp_path)


def test_dots_stand_for_anything(tmp_path: Path) -> None:
    run(
        example_of("```console run\n$ echo took 12 ms, all well\ntook ... ms, all well\n```\n"),
        tmp_path,
    )


def test_a_command_that_fails_is_found_wherever_it_stands(tmp_path: Path) -> None:
    with pytest.raises(Mismatch, match="ended with 3, not 0"):
        run(example_of("```console run\n$ exit 3\n$ echo well\n```\n"), tmp_path)


def test_a_status_that_the_page_names_is_demanded(tmp_path: Path) -> None:
    run(example_of("```console run exit=3\n$ exit 3\n```\n"), tmp_path)
    with pytest.raises(Mismatch, match="ended with 0, not 3"):
        run(example_of("```console run exit=3\n$ echo well\n```\n"), tmp_path)


def test_an_example_sees_no_key_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    run(example_of("```console run\n$ echo [$OPENAI_API_KEY]\n[]\n```\n"), tmp_path)


def test_a_program_that_raises_is_found(tmp_path: Path) -> None:
    with pytest.raises(Mismatch, match="ValueError: no"):
        run(example_of("```python run\nraise ValueError('no')\n```\n"), tmp_path)
