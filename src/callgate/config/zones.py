"""The time zone in which days and months begin, which each machine must know by itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import Final
from zoneinfo import available_timezones

from callgate.config.lines import Lines, Path
from callgate.config.page import Page, as_table
from callgate.config.problems import Problem, dotted, shown
from callgate.config.values import parse_zone

PLACE: Final[Path] = ("gate", "timezone")
INSTALL: Final = 'install them: the package tzdata of your system, or "pip install tzdata"'


def zone_problems(page: Page, lines: Lines) -> Iterator[Problem]:
    """Report a time zone that this machine does not know."""
    found = as_table(page.get("gate")).get("timezone")
    if not isinstance(found, str):
        return
    try:
        parse_zone(found)
    except ValueError:
        known = available_timezones()
        yield Problem(
            line=lines.of(PLACE),
            key=dotted(PLACE),
            found=shown(found) if known else f"{shown(found)}, and no time zones on this machine",
            allowed='a time zone of the IANA list, such as "Europe/Berlin", or "UTC"',
            nearest=_nearest(found, known),
            remedy=None if known else INSTALL,
        )


def _nearest(found: str, known: Collection[str]) -> str | None:
    """Return the zone that was meant: people often write the city alone."""
    full = {name.rpartition("/")[2].casefold(): name for name in sorted(known, reverse=True)}
    full |= {name.casefold(): name for name in known}
    near = get_close_matches(found.casefold(), full, n=1)
    return full[near[0]] if near else None
