"""From the text of a settings file to policies, or to every mistake in it at once."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ValidationError

from callgate.call import Candidate
from callgate.config.addresses import (
    VERSIONED_FORMATS,
    api_version_in,
    aws_region_in,
    base_url,
)
from callgate.config.condition_checks import condition_problems, conditions_of
from callgate.config.limits import limit_problems, limits_of
from callgate.config.lines import Lines
from callgate.config.loose_ends import loose_ends, split_name
from callgate.config.mcp_checks import mcp_problems
from callgate.config.mcp_resolving import mcp_policy
from callgate.config.mistakes import planned_problems, schema_problem, syntax_problem
from callgate.config.page import Page
from callgate.config.platform_checks import platform_problems
from callgate.config.platform_resolving import platform_policy
from callgate.config.policies import (
    PRICE_FILE,
    RETRY_WAIT_SECONDS,
    AgentPolicy,
    GatePolicy,
    PricePolicy,
    ProviderPolicy,
    RoutePolicy,
    Settings,
    TaskPolicy,
)
from callgate.config.problems import InvalidSettings, Problem
from callgate.config.provider_checks import provider_problems
from callgate.config.schema import (
    AgentTable,
    File,
    GateTable,
    ModelTable,
    PriceTable,
    ProviderTable,
    TaskTable,
)
from callgate.config.servers import PLAIN, find_server
from callgate.config.tool_checks import tool_problems
from callgate.config.tool_resolving import tool_policy
from callgate.config.values import full_name
from callgate.config.zones import zone_problems
from callgate.errors import Misconfigured
from callgate.task import DEFAULT_TYPE


def read_settings(text: str, path: Path) -> Settings:
    """Return the settings that a file's text says.

    Raises:
        InvalidSettings: It has mistakes; all are listed.
    """
    try:
        # The parser tells the line of a mistake only where another line follows.
        page = tomllib.loads(text + "\n")
    except tomllib.TOMLDecodeError as error:
        raise InvalidSettings(path, [syntax_problem(error, text)]) from error
    except RecursionError as error:
        msg = f"{path} cannot be read: its lists and tables are nested too deeply"
        raise Misconfigured(msg) from error
    lines = Lines(text)
    problems = [
        *planned_problems(page, lines),
        *loose_ends(page, lines),
        *limit_problems(page, lines),
        *zone_problems(page, lines),
        *provider_problems(page, lines),
        *tool_problems(page, lines),
        *platform_problems(page, lines),
        *condition_problems(page, lines),
        *mcp_problems(page, lines),
    ]
    file, found = _checked(page, lines)
    named = {problem.key for problem in problems}
    problems += [problem for problem in found if problem.key not in named]
    if file is None or problems:
        raise InvalidSettings(path, _ordered(problems))
    return resolve(file, path)


def _checked(page: Page, lines: Lines) -> tuple[File | None, list[Problem]]:
    """Return the file as its schema has it, or what the schema does not accept."""
    try:
        return File.model_validate(page), []
    except ValidationError as error:
        return None, [schema_problem(entry, lines) for entry in error.errors(include_url=False)]


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
        tools={name: tool_policy(name, table, path) for name, table in file.tools.items()},
        platforms={
            name: platform_policy(name, table, path) for name, table in file.platforms.items()
        },
        mcp={name: mcp_policy(name, table, path) for name, table in file.mcp.items()},
        prices={":".join(split_name(name)): _price(table) for name, table in file.prices.items()},
        price_file=path.parent / PRICE_FILE,
        limits=limits_of(file),
        alert_at=file.caps.alert_at,
    )


def _ordered(problems: list[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: (problem.line or 0, problem.key))


def _gate(table: GateTable, path: Path) -> GatePolicy:
    store = table.store
    if store.startswith("sqlite:"):
        store = f"sqlite:{(path.parent / store.removeprefix('sqlite:')).resolve()}"
    return GatePolicy(
        store=store,
        host=table.host,
        port=table.port,
        hosts=tuple(host.lower() for host in table.hosts),
        max_body_bytes=table.max_body_bytes,
        on_disconnect=table.on_disconnect,
        drain_seconds=table.drain,
        timezone=table.timezone,
        require_task=table.require_task,
        require_user=table.require_user,
    )


def _provider(name: str, table: ProviderTable, path: Path) -> ProviderPolicy:
    found = find_server(table.server, table.base_url) if table.api == "openai" else None
    server = found or PLAIN
    url = table.base_url or (None if found is None else found.base_url)
    aws_region = table.aws_region or aws_region_in(url)
    return ProviderPolicy(
        name=name,
        api=table.api,
        base_url=base_url(table.api, url, aws_region=aws_region),
        key=table.keys[0] if table.keys else table.key,
        more_keys=tuple(table.keys[1:]) if table.keys else (),
        region=table.region,
        price_source=table.price_source or (table.api if found is None else found.price_source),
        reported_cost=table.reported_cost,
        formats=VERSIONED_FORMATS if api_version_in(url) else server.formats,
        limit_field=table.limit_field or server.limit_field,
        models_lack=tuple((name, tuple(each)) for name, each in table.models_lack.items()),
        lacks=server.lacks,
        tool_ids=server.tool_ids,
        thinking_field=server.thinking_field,
        api_version=api_version_in(url),
        aws_profile=table.aws_profile,
        aws_region=aws_region,
        credit=table.credit,
        low_balance=table.low_balance,
        ca_file=None if table.ca_file is None else path.parent / table.ca_file,
        proxy=table.proxy,
        connect_timeout_seconds=table.connect_timeout,
        first_byte_timeout_seconds=table.first_byte_timeout,
        read_timeout_seconds=table.read_timeout,
        first_token_timeout_seconds=table.first_token_timeout,
        total_timeout_seconds=table.total_timeout,
    )


def _route(name: str, table: ModelTable) -> RoutePolicy:
    use = tuple(Candidate(provider=provider, model=model) for provider, model in table.use)
    return RoutePolicy(
        name=name,
        use=use,
        allow_loss=tuple(table.allow_loss),
        prefer=table.prefer,
        escalate=tuple(table.escalate),
    )


def _agent(name: str, table: AgentTable) -> AgentPolicy:
    return AgentPolicy(
        name=name,
        key=table.key,
        models=tuple(map(full_name, table.models)),
        tools=tuple(table.tools),
        conditions=conditions_of("agents", name, table.when),
        task_type=table.task_type,
    )


def _task(name: str, table: TaskTable) -> TaskPolicy:
    return TaskPolicy(
        type=name,
        models=None if table.models is None else tuple(map(full_name, table.models)),
        tools=None if table.tools is None else tuple(table.tools),
        conditions=conditions_of("tasks", name, table.when),
        budget=table.budget,
        timeout_seconds=table.timeout,
        retries=table.retries,
        max_retries=table.max_retries,
        urgency=table.urgency,
        prefer=table.prefer,
        regions=tuple(table.regions),
        max_retry_wait_seconds=table.max_retry_wait or RETRY_WAIT_SECONDS[table.urgency],
        max_output_tokens=table.max_output_tokens,
        max_input_tokens=table.max_input_tokens,
        max_wait_seconds=table.max_wait,
        bound=table.bound,
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
