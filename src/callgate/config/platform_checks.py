"""Names in the settings of platforms and servers that stand for two things, or for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final

from callgate.config.lines import Lines, Path
from callgate.config.loose_ends import GLOB
from callgate.config.page import Page, named_tables, strings
from callgate.config.problems import Problem, dotted, shown

OWN: Final = ("python", "http")
"""What the audit log calls the toolsets of functions, and of interfaces over HTTP."""


def platform_problems(page: Page, lines: Lines) -> Iterator[Problem]:
    """Report names that stand for two things, and tools of a platform that it does not name."""
    for section in ("mcp", "platforms"):
        yield from _taken(section, page, lines)
    for name, table in named_tables(page, "platforms"):
        yield from _twice(name, table, lines)
        yield from _strays(name, table, page, lines)


def _taken(section: str, page: Page, lines: Lines) -> Iterator[Problem]:
    """Report names that rows and limits would take for somebody else."""
    others = {name: f"[providers.{name}]" for name, _ in named_tables(page, "providers")}
    others |= dict.fromkeys(OWN, "the tools of the settings themselves")
    if section == "platforms":
        others |= {name: f"[mcp.{name}]" for name, _ in named_tables(page, "mcp")}
    for name, _ in named_tables(page, section):
        if name in others:
            path = (section, name)
            yield Problem(
                line=lines.of(path),
                key=dotted(path),
                found=f"the name of {others[name]} too",
                allowed="a name of its own, by which the audit log and limits tell it apart",
                remedy="call one of them something else",
            )


def _twice(name: str, table: Page, lines: Lines) -> Iterator[Problem]:
    """Report a tool whose name another one has."""
    seen: dict[str, str] = {}
    for index, written in strings(table, "tools"):
        slug = written.rpartition("/")[2]
        if slug not in seen:
            seen[slug] = written
            continue
        path = ("platforms", name, "tools", index)
        yield Problem(
            line=lines.of(path),
            key=dotted(path),
            found=shown(written),
            allowed=f"each name once: {seen[slug]!r} is called {name}.{slug} already",
            remedy="remove it, or name it under a platform of another name",
        )


def _strays(platform: str, table: Page, page: Page, lines: Lines) -> Iterator[Problem]:
    """Report what names a tool of the platform which nobody looks up."""
    known = [f"{platform}.{written.rpartition('/')[2]}" for _, written in strings(table, "tools")]
    for path, name in _used(page):
        if name.startswith(f"{platform}.") and name not in known and not GLOB & set(name):
            near = get_close_matches(name, known, n=1)
            yield Problem(
                line=lines.of(path),
                key=dotted(path),
                found=shown(name),
                allowed=", ".join(known),
                nearest=near[0] if near else None,
                remedy=f"name it in tools of [platforms.{platform}] too, or correct it",
            )


def _used(page: Page) -> Iterator[tuple[Path, str]]:
    """Yield every name of a tool that settings are made for, or an agent may call."""
    for name, _ in named_tables(page, "tools"):
        yield ("tools", name), name
    for agent, table in named_tables(page, "agents"):
        for index, pattern in strings(table, "tools"):
            yield ("agents", agent, "tools", index), pattern
