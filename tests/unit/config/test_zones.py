from __future__ import annotations

import sys
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.config.files import problem_of, problems_of, read

JULY = datetime(2026, 7, 1, tzinfo=UTC)


@pytest.fixture
def no_zones(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make this a machine without a list of time zones."""
    for name in {"tzdata", "tzdata.zoneinfo", *filter(of_package, sys.modules)}:
        monkeypatch.setitem(sys.modules, name, None)
    zoneinfo.reset_tzpath(to=())
    zoneinfo.ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath()


def of_package(module: str) -> bool:
    return module.startswith("tzdata.")


@pytest.fixture
def zones_of_pip(no_zones: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make this a machine whose only time zones are those of a package from PyPI."""
    package = tmp_path / "tzdata" / "zoneinfo"
    (package / "Europe").mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").touch()
    for name in {"tzdata", *filter(of_package, sys.modules)}:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield no_zones
    for name in ("tzdata", "tzdata.zoneinfo"):
        sys.modules.pop(name, None)


def test_days_begin_where_the_file_says_or_in_utc() -> None:
    settings = read('[gate]\ntimezone = "Europe/Berlin"')
    assert JULY.astimezone(settings.gate.zone).utcoffset() == timedelta(hours=2)
    assert read("").gate.zone is UTC


@pytest.mark.parametrize(
    ("written", "nearest"),
    [
        ("Europe/Berln", "Europe/Berlin"),
        ("europe/berlin ", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("New York", "America/New_York"),
        ("UCT+", "UCT"),
        ("", None),
        ("../../../etc/passwd", None),
        ("xqxqxq", None),
    ],
)
def test_a_zone_that_there_is_not_is_told_with_the_nearest(
    written: str, nearest: str | None
) -> None:
    problem = problem_of(f'[gate]\n\ntimezone = "{written}"\n')
    assert (problem.line, problem.key, problem.nearest) == (3, "gate.timezone", nearest)
    assert problem.allowed == 'a time zone of the IANA list, such as "Europe/Berlin", or "UTC"'


def test_a_part_of_the_name_of_a_zone_is_none() -> None:
    assert problem_of('[gate]\ntimezone = "Europe"\n').found == "'Europe'"


@pytest.mark.usefixtures("zones_of_pip")
def test_a_folder_of_zones_is_none() -> None:
    assert problem_of('[gate]\ntimezone = "Europe"\n').found.startswith("'Europe'")


def test_a_zone_that_is_no_text_is_told_once() -> None:
    assert problem_of("[gate]\ntimezone = 2").allowed == "text, in quotes"


@pytest.mark.usefixtures("no_zones")
def test_a_machine_without_time_zones_says_what_to_install() -> None:
    problem = problem_of('[gate]\ntimezone = "Europe/Berlin"\n')
    assert problem.found == "'Europe/Berlin', and no time zones on this machine"
    assert (
        problem.remedy == 'install them: the package tzdata of your system, or "pip install tzdata"'
    )


@pytest.mark.usefixtures("no_zones")
def test_utc_needs_no_list_of_time_zones() -> None:
    assert read('[gate]\ntimezone = "UTC"').gate.zone is UTC


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), max_size=9)
)
def test_whatever_stands_there_is_a_zone_or_a_mistake(written: str) -> None:
    text = f'[gate]\ntimezone = "{written}"'
    assert problems_of(text) or read(text).gate.zone.utcoffset(JULY) is not None
