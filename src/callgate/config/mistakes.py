"""Mistakes in one setting at a time: what the file's grammar and its schema find."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel

from callgate.config.lines import Lines, Path
from callgate.config.page import Page, as_table, named_tables
from callgate.config.planned import ALLOWED, PLANNED, REMEDY, value_to_come
from callgate.config.problems import Problem, dotted, shown
from callgate.config.schema import File

NOT_SHOWN: Final = "something that is not shown, as it may hold a key"

SINGLE: Final = frozenset({"gate", "limits", "caps"})
"""Sections that are one table; the others hold a table for each name."""

ALLOWED_BY_TYPE: Final[Mapping[str, str]] = {
    "bool_type": "true or false",
    "dict_type": "a table",
    "greater_than_equal": "at least {ge}",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "less_than_equal": "at most {le}",
    "list_type": "a list, in brackets",
    "literal_error": "{expected}",
    "model_type": "a table",
    "string_type": "text, in quotes",
    "too_short": "a list of at least one",
}
"""What may stand where pydantic found something else, by the type of its error."""


def syntax_problem(error: tomllib.TOMLDecodeError, text: str) -> Problem:
    """Return what is wrong with a file that is not TOML."""
    told, _, place = str(error).removesuffix(")").rpartition(" (at ")
    found = re.match(r"line (\d+)", place)
    line = int(found[1]) if found else text.rstrip("\n").count("\n") + 1
    where = "" if found else ", where the file ends"
    return Problem(
        line=line, key="(syntax)", found=told + where, allowed="TOML 1.0; see https://toml.io"
    )


def planned_problems(page: Page, lines: Lines) -> Iterator[Problem]:
    """Report every setting that the design has and this version does not enforce."""
    for path, key, value in _settings(page):
        # An empty list allows nothing, which is what holds.
        if key in PLANNED.get(path[0] if path else "", ()) and value != []:
            at = (*path, key)
            found = "a section" if isinstance(value, dict) else shown(value)
            yield Problem(
                line=lines.of(at), key=dotted(at), found=found, allowed=ALLOWED, remedy=REMEDY
            )


def schema_problem(entry: Any, lines: Lines) -> Problem:
    """Turn one of pydantic's errors into one of ours."""
    # A wrong key of a table is told as a part of its path.
    path: Path = tuple(part for part in entry["loc"] if part != "[key]")
    if entry["type"] == "extra_forbidden":
        return _unknown_setting(path, lines)
    if entry["type"] == "missing":
        return _missing_setting(path, lines)
    if entry["type"] == "string_pattern_mismatch":
        return _bad_name(path, lines)
    context = entry.get("ctx", {})
    said = ALLOWED_BY_TYPE.get(entry["type"])
    *_, key = path
    to_come = value_to_come(str(key), entry["input"])
    return Problem(
        line=lines.of(path),
        key=dotted(path),
        found=NOT_SHOWN if context.get("secret") else shown(entry["input"]),
        allowed=str(entry["msg"]) if said is None else said.format_map(context),
        nearest=_nearest_choice(entry),
        remedy=None if to_come is None else f"this version does not have {to_come} yet",
    )


def _settings(page: Page) -> Iterator[tuple[tuple[str, ...], str, object]]:
    """Yield the table, the key and the value of every section and of every setting in one."""
    for section, value in page.items():
        yield (), section, value
        if section in SINGLE:
            yield from (((section,), *setting) for setting in as_table(value).items())
        for name, table in named_tables(page, section):
            yield from (((section, name), *setting) for setting in table.items())


def _unknown_setting(path: Path, lines: Lines) -> Problem:
    *around, key = path
    names = list(_table_at(tuple(around)).model_fields)
    near = get_close_matches(str(key), names, n=1)
    return Problem(
        line=lines.of(path),
        key=dotted(path),
        found="an unknown setting",
        allowed=", ".join(names),
        nearest=near[0] if near else None,
    )


def _missing_setting(path: Path, lines: Lines) -> Problem:
    *table, key = path
    field = _table_at(tuple(table)).model_fields[str(key)]
    choices = ", ".join(repr(choice) for choice in get_args(field.annotation))
    return Problem(
        line=lines.of(path),
        key=dotted(path),
        found="nothing",
        allowed=f"{field.description} {choices}".strip(),
        remedy=f"add {key} to [{dotted(tuple(table))}]",
    )


def _table_at(path: Path) -> type[BaseModel]:
    """Return what a place of the file may hold; names of tables that users choose lead no deeper."""
    table: type[BaseModel] = File
    parts = iter(path)
    for part in parts:
        field = table.model_fields.get(str(part))
        if field is not None:
            table = _table_in(field.annotation) or table
            if get_origin(field.annotation) is dict:
                next(parts, None)
    return table


def _table_in(annotation: object) -> type[BaseModel] | None:
    """Return the table that a setting holds, or holds by name; None where it holds a value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_table_in, get_args(annotation))), None)


def _bad_name(path: Path, lines: Lines) -> Problem:
    section, *_, name = path
    routes = section == "models"
    return Problem(
        line=lines.of(path),
        key=dotted(path),
        found=f"the name {name!r}",
        allowed="a name without spaces, *, ? and brackets"
        if routes
        else "a name of letters, digits, dots, hyphens and underscores",
    )


def _nearest_choice(entry: Any) -> str | None:
    expected = str(entry.get("ctx", {}).get("expected", ""))
    names = [name.strip(" '") for name in expected.replace(" or ", ", ").split(",")]
    near = get_close_matches(str(entry["input"]), names, n=1)
    return near[0] if near else None
