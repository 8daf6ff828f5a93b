"""Conditions of agents and task types: into policies, or what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Final

from callgate.config.conditions import VARIABLES, Condition, compiled
from callgate.config.lines import Lines
from callgate.config.page import Page, as_table, named_tables, strings
from callgate.config.problems import Problem, dotted, shown

SCOPES: Final = {"agents": "agent", "tasks": "type"}
"""Sections whose tables may have conditions, and the kind of scope that one is."""

ALLOWED: Final = (
    f"an expression in CEL that is true or false, of {', '.join(VARIABLES)}, such as"
    ' "args.amount <= 5000"; see https://cel.dev'
)

UNDECLARED: Final = re.compile(r"undeclared reference to '(\w+)")


def conditions_of(section: str, name: str, when: Mapping[str, str]) -> tuple[Condition, ...]:
    """Return the conditions of one table."""
    return tuple(
        Condition(
            table=dotted((section, name)),
            place=dotted((section, name, "when", pattern)),
            scope=f"{SCOPES[section]}:{name}",
            pattern=pattern,
            text=text,
        )
        for pattern, text in when.items()
    )


def condition_problems(page: Page, lines: Lines) -> Iterator[Problem]:
    """Report every condition that could not be decided, or would never be looked at."""
    for section in SCOPES:
        for name, table in named_tables(page, section):
            tools = [text for _, text in strings(table, "tools")]
            for pattern, text in as_table(table.get("when")).items():
                path = (section, name, "when", pattern)
                if isinstance(text, str):
                    yield from _of_text(path, text, lines)
                if (section == "agents" or "tools" in table) and not _meets(pattern, tools):
                    yield _for_nothing(path, tools, lines)


def _of_text(path: tuple[str, ...], text: str, lines: Lines) -> Iterator[Problem]:
    try:
        compiled(text)
    except ValueError as error:
        unknown = UNDECLARED.search(str(error))
        near = get_close_matches(unknown[1], VARIABLES, n=1) if unknown else []
        yield Problem(
            line=lines.of(path),
            key=dotted(path),
            found=shown(text),
            allowed=ALLOWED,
            nearest=near[0] if near else None,
            remedy=f"put right: {error}",
        )


def _meets(pattern: str, tools: list[str]) -> bool:
    """Whether a condition can be for a tool that is named: one of the two names the other."""
    return any(fnmatchcase(pattern, tool) or fnmatchcase(tool, pattern) for tool in tools)


def _for_nothing(path: tuple[str, ...], tools: list[str], lines: Lines) -> Problem:
    section, name, _, pattern = path
    near = get_close_matches(pattern, tools, n=1)
    return Problem(
        line=lines.of(path),
        key=dotted(path),
        found=f"a condition for {pattern!r}, which is none of its tools",
        allowed=", ".join(tools) or f"nothing: [{dotted((section, name))}] names no tools",
        nearest=near[0] if near else None,
        remedy=f"correct the name, or add it to tools under [{dotted((section, name))}]",
    )
