"""``callgate access``: who may use what, and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from callgate.config import environment
from callgate.config.policies import Settings
from callgate.doors.cli.books import has_store, open_books
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.screen import Column, print_json, print_table, tell
from callgate.doors.cli.settings import ConfigOption, JsonOption, settings_of
from callgate.errors import Unknown
from callgate.gate.access import Access, access
from callgate.gate.inventory import inventory
from callgate.pipeline.identify import task_policy
from callgate.store import Pinned

ONE: Final = (
    Column("name"),
    Column("kind", rank=3),
    Column("may"),
    Column("effect", rank=1),
    Column("from", rank=4),
    Column("why"),
)


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("access")(show_access)


def show_access(
    agent: Annotated[
        str | None, typer.Argument(help="One agent, with the reason for each; all if left out.")
    ] = None,
    type: Annotated[
        str | None, typer.Option(help="As a task of this type has it, which may be narrower.")
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show who may use which model and call which tool."""
    settings = settings_of(config, environment())
    agents = _agents(settings, agent)
    if type is not None:
        task_policy(settings, type)
    tools = inventory(settings, run_loop(_pins(settings, config)))
    found = access(settings, agents, tools, task_type=type)
    if json:
        print_json([_page(each) for each in found])
    elif len(agents) == 1:
        print_table(ONE, [_line(each) for each in found])
    else:
        _print_matrix(agents, found)


async def _pins(settings: Settings, config: Path | None) -> Sequence[Pinned]:
    """Return what gates have seen of the tools of others; nothing where none has run yet."""
    if not has_store(settings):
        return ()
    async with open_books(config) as (_, store):
        return store.pins()


def _agents(settings: Settings, agent: str | None) -> list[str]:
    if agent is None:
        return sorted(settings.agents)
    if agent not in settings.agents:
        known = ", ".join(sorted(settings.agents)) or "none"
        msg = f"the settings name no agent {agent!r}; they name: {known}"
        raise Unknown(msg)
    return [agent]


def _print_matrix(agents: Sequence[str], found: Sequence[Access]) -> None:
    by_name: dict[tuple[str, str], dict[str, Access]] = {}
    for each in found:
        by_name.setdefault((each.kind, each.name), {})[each.agent] = each
    columns = (Column("name"), Column("kind"), Column("effect"), *map(Column, agents))
    rows = [
        (name, kind, _effect(row[agents[0]]), *(row[agent].verdict for agent in agents))
        for (kind, name), row in by_name.items()
    ]
    print_table(columns, rows)
    if any(each.verdict == "if" for each in found):
        tell("if: some calls, by their arguments; callgate access AGENT tells which, and why")


def _effect(found: Access) -> str:
    return "" if found.offered is None else found.offered.effect


def _line(found: Access) -> tuple[str, ...]:
    why = found.why if found.fix is None else f"{found.why}; {found.fix}"
    told = [why, *(f"if {each.text}" for each in found.conditions if found.is_allowed)]
    source = "" if found.offered is None else found.offered.source
    return (found.name, found.kind, found.verdict, _effect(found), source, ", ".join(told))


def _page(found: Access) -> dict[str, object]:
    offered = found.offered
    return {
        "agent": found.agent,
        "kind": found.kind,
        "name": found.name,
        "may": found.verdict,
        "why": found.why,
        "fix": found.fix,
        "conditions": [{"rule": each.place, "when": each.text} for each in found.conditions],
        "effect": None if offered is None else offered.effect,
        "from": None if offered is None else offered.source,
        "state": None if offered is None else offered.state,
    }
