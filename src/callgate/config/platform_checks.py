"""Names in the settings of platforms that stand for two things."""

from __future__ import annotations

from collections.abc import Iterator

from callgate.config.lines import Lines
from callgate.config.page import Page, named_tables, strings
from callgate.config.problems import Problem, dotted, shown


def platform_problems(page: Page, lines: Lines) -> Iterator[Problem]:
    """Report names that stand for two things."""
    servers = {name for name, _ in named_tables(page, "mcp")}
    for name, table in named_tables(page, "platforms"):
        if name in servers:
            yield _taken(name, lines)
        yield from _twice(name, table, lines)


def _taken(name: str, lines: Lines) -> Problem:
    path = ("platforms", name)
    return Problem(
        line=lines.of(path),
        key=dotted(path),
        found=f"the name of [mcp.{name}] too",
        allowed=f"a name of its own, as both have tools that are called {name}.TOOL",
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
