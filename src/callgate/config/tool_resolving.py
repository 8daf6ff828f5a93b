"""From the tables of tools to their policies."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from callgate.call import Witness
from callgate.config.tool_policies import (
    DOLLAR,
    FROM_THE_QUERY,
    HttpPolicy,
    Method,
    Parameter,
    Place,
    ToolPolicy,
)
from callgate.config.tools import CheckTable, HttpTable, ParameterTable, ToolTable

IN_PATH: Final = re.compile(r"\{([^{}]*)\}")


def tool_policy(name: str, table: ToolTable, path: Path) -> ToolPolicy:
    """Return what the settings say of a tool.

    Args:
        name: What agents call it.
        table: What stands there.
        path: The settings file.
    """
    return ToolPolicy(
        name=name,
        python=table.python,
        http=None if table.http is None else _http(table.http, path),
        description=table.description,
        effect=table.effect,
        is_idempotent=table.idempotent,
        key=table.key,
        cost=table.cost,
        timeout_seconds=table.timeout,
        max_bytes=table.max_bytes,
        once=table.once,
        once_in=table.once_in,
        repeats=table.repeats,
        error_is_unknown=None if table.on_error is None else table.on_error == "unknown",
        check=None if table.check is None else _check(table.check),
    )


def _check(table: CheckTable) -> Witness:
    return Witness(
        tool=table.tool,
        arguments=table.arguments,
        done=table.done,
        certain_after_seconds=table.certain_after,
    )


def place_of(name: str, *, url: str, method: Method) -> Place:
    """Return where a parameter goes whose table does not say it."""
    if name in IN_PATH.findall(url):
        return "path"
    return "query" if method in FROM_THE_QUERY else "json"


def _http(table: HttpTable, path: Path) -> HttpPolicy:
    parameters = (_parameter(name, one, table) for name, one in table.parameters.items())
    return HttpPolicy(
        method=table.method,
        url=table.url,
        parameters=tuple(parameters),
        auth=table.auth,
        idempotency_header=table.idempotency_header,
        returns=table.returns,
        pick=table.pick,
        fails_when=table.fails_when,
        error_message=table.error_message,
        errors=table.errors,
        cost_from=table.cost_from,
        cost_unit=table.cost_unit or DOLLAR,
        ca_file=None if table.ca_file is None else path.parent / table.ca_file,
        proxy=table.proxy,
    )


def _parameter(name: str, table: ParameterTable, http: HttpTable) -> Parameter:
    sent_as = table.name or name
    return Parameter(
        name=name,
        place=table.place or place_of(sent_as, url=http.url, method=http.method),
        sent_as=sent_as,
        schema=table.schema_part,
        is_optional=table.optional,
        value=table.value,
    )
