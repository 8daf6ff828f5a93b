"""From the text of a settings file to policies, or to every mistake in it at once."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError

from callgate.call import Candidate
from callgate.config.lines import Lines
from callgate.config.planned import ALLOWED, PLANNED, REMEDY
from callgate.config.policies import (
    AgentPolicy,
    GatePolicy,
    PricePolicy,
    ProviderPolicy,
    RoutePolicy,
    Settings,
    TaskPolicy,
)
from callgate.config.problems import InvalidSettings, Problem
from callgate.config.schema import (
    AgentTable,
    File,
    GateTable,
    ModelTable,
    PriceTable,
    ProviderTable,
    TaskTable,
)
from callgate.task import DEFAULT_TYPE

TABLES: Final[Mapping[str, type[BaseModel]]] = {
    "gate": GateTable,
    "providers": ProviderTable,
    "models": ModelTable,
    "agents": AgentTable,
    "tasks": TaskTable,
    "prices": PriceTable,
}
BASE_URLS: Final = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
}
LONGEST_FOUND = 80


def read_settings(text: str, path: Path) -> Settings:
    """Return the settings that a file's text says.

    Raises:
        InvalidSettings: It has mistakes; all are listed.
    """
    try:
        page = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettings(path, [_syntax_problem(error)]) from error
    lines = Lines(text)
    planned = list(_planned(page, lines))
    try:
        file = File.model_validate(page)
    except ValidationError as error:
        named = {problem.key for problem in planned}
        found = [_problem(entry, lines) for entry in error.errors(include_url=False)]
        problems = planned + [problem for problem in found if problem.key not in named]
        raise InvalidSettings(path, _ordered(problems)) from None
    problems = planned + list(_loose_ends(file, lines))
    if problems:
        raise InvalidSettings(path, _ordered(problems))
    return resolve(file, path)


def resolve(file: File, path: Path) -> Settings:
    """Return policies with every default filled in."""
    tasks = {name: _task(name, table) for name, table in file.tasks.items()}
    tasks.setdefault(DEFAULT_TYPE, TaskPolicy(type=DEFAULT_TYPE))
    return Settings(
        path=path,
        gate=_gate(file.gate, path),
        providers={name: _provider(name, table, path) for name, table in file.providers.items()},
        models={name: _route(name, table) for name, table in file.models.items()},
        agents={name: _agent(name, table) for name, table in file.agents.items()},
        tasks=tasks,
        prices={_price_name(name): _price(table) for name, table in file.prices.items()},
    )


def _ordered(problems: list[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: (problem.line or 0, problem.key))


def _syntax_problem(error: tomllib.TOMLDecodeError) -> Problem:
    message, _, place = str(error).partition(" (at ")
    words = place.replace(",", "").rstrip(")").split()
    line = int(words[1]) if words[:1] == ["line"] and words[1].isdecimal() else None
    return Problem(
        line=line, key="(syntax)", found=message, allowed="TOML 1.0; see https://toml.io"
    )


def _planned(page: Mapping[str, Any], lines: Lines) -> Iterator[Problem]:
    """Report every setting that the design has and this version does not enforce."""
    for name in page:
        if name in PLANNED[""]:
            yield _not_yet((name,), page[name], lines)
    for section, names in PLANNED.items():
        tables = page.get(section)
        for table_name, table in tables.items() if isinstance(tables, dict) else ():
            for key, value in table.items() if isinstance(table, dict) else ():
                # An empty list allows nothing, which is what holds.
                if key in names and value != []:
                    yield _not_yet((section, table_name, key), value, lines)


def _not_yet(path: tuple[str, ...], value: object, lines: Lines) -> Problem:
    shown = "a section" if isinstance(value, dict) else _shown(value)
    return Problem(
        line=lines.of(path), key=_dotted(path), found=shown, allowed=ALLOWED, remedy=REMEDY
    )


def _problem(entry: Any, lines: Lines) -> Problem:
    """Turn one of pydantic's errors into one of ours."""
    path: tuple[str | int, ...] = tuple(entry["loc"])
    if entry["type"] == "extra_forbidden":
        return _unknown_key(path, lines)
    if entry["type"] == "missing":
        return Problem(
            line=lines.of(path),
            key=_dotted(path),
            found="nothing",
            allowed=_description(path),
            remedy=f"add {path[-1]} to [{_dotted(path[:-1])}]",
        )
    found = entry["input"]
    said = str(entry["msg"]).removeprefix("Value error, ")
    hidden = said.startswith("(hidden)")
    return Problem(
        line=lines.of(path),
        key=_dotted(path),
        found="something that is not shown, as it may be a key" if hidden else _shown(found),
        allowed=said.removeprefix("(hidden) "),
        nearest=_near_literal(entry, found),
    )


def _unknown_key(path: tuple[str | int, ...], lines: Lines) -> Problem:
    table = TABLES.get(str(path[0])) if len(path) > 1 else File
    names = list((table or File).model_fields)
    near = get_close_matches(str(path[-1]), names, n=1)
    return Problem(
        line=lines.of(path),
        key=_dotted(path),
        found="an unknown setting",
        allowed=", ".join(names),
        nearest=near[0] if near else None,
    )


def _near_literal(entry: Any, found: object) -> str | None:
    expected = str(entry.get("ctx", {}).get("expected", ""))
    names = [name.strip(" '") for name in expected.replace(" or ", ", ").split(",")]
    near = get_close_matches(str(found), names, n=1)
    return near[0] if near else None


def _description(path: tuple[str | int, ...]) -> str:
    table = TABLES.get(str(path[0]))
    field = None if table is None else table.model_fields.get(str(path[-1]))
    if field is None:
        return "a value"
    choices = ", ".join(map(repr, get_args(field.annotation)))
    return f"{field.description} {choices}".strip()


def _loose_ends(file: File, lines: Lines) -> Iterator[Problem]:
    """Report names that lead nowhere."""
    for name, route in file.models.items():
        yield from _loose_route(name, route, file, lines)
    for name, agent in file.agents.items():
        yield from _loose_agent(name, agent, file, lines)
    for name in file.prices:
        provider = _price_name(name).partition(":")[0]
        if provider not in file.providers:
            yield _no_such(("prices", name), provider, list(file.providers), "providers", lines)


def _loose_route(name: str, route: ModelTable, file: File, lines: Lines) -> Iterator[Problem]:
    for index, (provider, _) in enumerate(route.use):
        if provider not in file.providers:
            path = ("models", name, "use", index)
            yield _no_such(path, provider, list(file.providers), "providers", lines)


def _loose_agent(name: str, agent: AgentTable, file: File, lines: Lines) -> Iterator[Problem]:
    types = [*file.tasks, DEFAULT_TYPE]
    if agent.task_type not in types:
        yield _no_such(("agents", name, "task_type"), agent.task_type, types, "tasks", lines)
    known = [*file.models, *(f"{provider}:*" for provider in file.providers)]
    for index, pattern in enumerate(agent.models):
        if not _leads_somewhere(pattern, file):
            yield _no_such(("agents", name, "models", index), pattern, known, "models", lines)


def _leads_somewhere(pattern: str, file: File) -> bool:
    """Whether a permission can ever match: a glob may, a full name needs its provider."""
    if set(pattern) & set("*?["):
        return True
    provider, separator, _ = pattern.replace("/", ":", 1).partition(":")
    return pattern in file.models or (bool(separator) and provider in file.providers)


def _no_such(
    path: tuple[str | int, ...], found: str, known: list[str], section: str, lines: Lines
) -> Problem:
    near = get_close_matches(found, known, n=1)
    return Problem(
        line=lines.of(path),
        key=_dotted(path),
        found=repr(found),
        allowed=", ".join(known) or f"nothing yet: there is no [{section}.NAME]",
        nearest=near[0] if near else None,
        remedy=f"add it under [{section}], or correct the name",
    )


def _gate(table: GateTable, path: Path) -> GatePolicy:
    file = (path.parent / table.store.removeprefix("sqlite:")).resolve()
    return GatePolicy(
        store=f"sqlite:{file}",
        host=table.host,
        port=table.port,
        timezone=table.timezone,
        max_body_bytes=table.max_body_bytes,
        on_disconnect=table.on_disconnect,
        drain_seconds=table.drain,
        require_task=table.require_task,
        require_user=table.require_user,
    )


def _provider(name: str, table: ProviderTable, path: Path) -> ProviderPolicy:
    return ProviderPolicy(
        name=name,
        api=table.api,
        base_url=base_url(table.api, table.base_url),
        key=table.key,
        price_source=table.price_source or table.api,
        limit_field=table.limit_field,
        ca_file=None if table.ca_file is None else path.parent / table.ca_file,
        proxy=table.proxy,
        connect_timeout_seconds=table.connect_timeout,
        first_byte_timeout_seconds=table.first_byte_timeout,
        read_timeout_seconds=table.read_timeout,
    )


def base_url(api: str, url: str | None) -> str:
    """Return where an api is served: OpenAI's ends in ``/v1``, Anthropic's does not."""
    if url is None:
        return BASE_URLS[api]
    url = url.rstrip("/")
    return url.removesuffix("/v1") if api == "anthropic" else url


def _route(name: str, table: ModelTable) -> RoutePolicy:
    use = tuple(Candidate(provider=provider, model=model) for provider, model in table.use)
    return RoutePolicy(name=name, use=use)


def _agent(name: str, table: AgentTable) -> AgentPolicy:
    models = tuple(_full(pattern) for pattern in table.models)
    return AgentPolicy(name=name, key=table.key, models=models, task_type=table.task_type)


def _full(pattern: str) -> str:
    """Return ``provider/model`` as ``provider:model``; a route's name stays."""
    return pattern.replace("/", ":", 1) if ":" not in pattern else pattern


def _task(name: str, table: TaskTable) -> TaskPolicy:
    return TaskPolicy(
        type=name,
        budget=table.budget,
        timeout_seconds=table.timeout,
        retries=table.retries,
        max_retries=table.max_retries,
        max_output_tokens=table.max_output_tokens,
        max_input_tokens=table.max_input_tokens,
    )


def _price(table: PriceTable) -> PricePolicy:
    return PricePolicy(
        input_femto=table.input,
        output_femto=table.output,
        cache_read_femto=table.cache_read,
        cache_write_femto=table.cache_write,
        cache_write_long_femto=table.cache_write_long,
        reasoning_femto=table.reasoning,
        context_window=table.context_window,
    )


def _price_name(name: str) -> str:
    return name if ":" in name else name.replace("/", ":", 1)


def _dotted(path: tuple[str | int, ...]) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else _quoted(part) for part in path]
    return ".".join(parts).replace(".[", "[")


def _quoted(part: str) -> str:
    return part if part.replace("-", "").replace("_", "").isalnum() else f'"{part}"'


def _shown(value: object) -> str:
    return repr(value)[:LONGEST_FOUND]
