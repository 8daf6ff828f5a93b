"""``callgate tools``: which there are, and whether they are what somebody has accepted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.markup import escape

from callgate.clock import SystemClock
from callgate.config import environment
from callgate.config.policies import Settings
from callgate.doors.cli import tool_import
from callgate.doors.cli.books import has_store, open_books
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.screen import Column, dollars, print_json, print_table, tell
from callgate.doors.cli.settings import ConfigOption, JsonOption, settings_of
from callgate.doors.cli.tool_changes import WHAT, changes, print_changes
from callgate.errors import Misconfigured, Unknown
from callgate.gate.access import access
from callgate.gate.inventory import Offered, inventory, locked
from callgate.gate.listing import differing, lock_now
from callgate.gate.lock import LOCK_NAME, lock_beside, written
from callgate.store import Pinned

COLUMNS: Final = (
    Column("tool"),
    Column("effect"),
    Column("cost", right=True, rank=2),
    Column("from", rank=3),
    Column("state", rank=1),
    Column("who", rank=4),
)

PATIENCE_SECONDS: Final = 60.0
"""How long servers may take to start and to list their tools."""

DIFFERS: Final = 1
"""Exit status where something is not as it was accepted."""

tools = typer.Typer(help="The tools that agents call, and what was accepted of them.", no_args_is_help=True)  # fmt: skip

ToolsetArgument = Annotated[
    str | None, typer.Argument(help="One server or platform; all if left out.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    tool_import.add_to(tools)
    app.add_typer(tools, name="tools")


@tools.command("list")
def list_tools(
    toolset: ToolsetArgument = None, json: JsonOption = False, config: ConfigOption = None
) -> None:
    """List tools with what they do, cost and are, and who may call them."""
    settings = settings_of(config, environment())
    found = [
        each
        for each in inventory(settings, run_loop(_pins(settings, config)))
        if toolset in {None, each.pinned and each.pinned.toolset}
    ]
    callers = _callers(settings, found)
    if json:
        print_json([_page(each, callers[each.name]) for each in found])
    elif found:
        print_table(COLUMNS, [_line(each, callers[each.name]) for each in found])
    else:
        tell("callgate: no tool yet; those of servers are known once a gate has run with them")


@tools.command("diff")
def diff_tools(
    toolset: ToolsetArgument = None, json: JsonOption = False, config: ConfigOption = None
) -> None:
    """Show what is not as it was accepted; the exit status is 1 if anything is not."""
    settings = settings_of(config, environment())
    pins = [each for each in run_loop(_pins(settings, config)) if toolset in {None, each.toolset}]
    _show(_differing(settings, pins), json=json)


@tools.command("accept")
def accept_tools(
    toolset: Annotated[str, typer.Argument(help="The server or platform.")],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[TOOL]...", help="All that wait if left out.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Accept tools as they are now, and show what that changes."""
    run_loop(_accept(toolset, names or [], config))


@tools.command("lock")
def lock_tools(
    check: Annotated[
        bool, typer.Option("--check", help="Compare only; the exit status is 1 if they differ.")
    ] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Start every server, and write what their tools are into a lock file, or compare with it."""
    environ = environment()
    settings = settings_of(config, environ)
    if settings.path is None:
        msg = "there is no settings file that a lock could stand beside; callgate init writes one"
        raise Misconfigured(msg)
    now = run_loop(lock_now(settings, environ=environ, patience_seconds=PATIENCE_SECONDS))
    found = differing(lock_beside(settings), now)
    path = settings.path.with_name(LOCK_NAME)
    if check:
        _show(found, json=json)
        return
    for each in found:
        print_changes(each)
    path.write_text(written(now), encoding="utf-8")
    tell(f"callgate: {escape(str(path))} is written; it is accepted once it is committed")


def _show(found: Sequence[Pinned], *, json: bool) -> None:
    if json:
        print_json([_difference(each) for each in found])
    else:
        for each in found:
            print_changes(each)
        if not found:
            tell("callgate: every tool of others is what was accepted")
    if found:
        raise typer.Exit(DIFFERS)


async def _accept(toolset: str, names: Sequence[str], config: Path | None) -> None:
    async with open_books(config) as (settings, store):
        if lock_beside(settings) is not None:
            msg = f"{LOCK_NAME} says what is accepted; callgate tools lock writes it anew, to be committed"
            raise Misconfigured(msg)
        pins = store.pins(toolset)
        waiting = [each for each in pins if each.state != "accepted"]
        _require_there(toolset, names, pins)
        chosen = [each for each in waiting if not names or each.tool in names]
        for each in chosen:
            print_changes(each)
        digests = {each.tool: None if each.seen is None else each.seen.digest for each in chosen}
        taken = await store.accept_tools(toolset, digests, SystemClock().now())
    for each in chosen:
        done = "is forgotten" if each.seen is None else "is accepted"
        if each.tool not in taken:
            done = "has changed again, and is not accepted"
        tell(f"callgate: {escape(each.name)} {done}")
    if not chosen:
        tell(f"callgate: nothing of {escape(toolset)} waits for anybody")


def _require_there(toolset: str, names: Sequence[str], pins: Sequence[Pinned]) -> None:
    known = [each.tool for each in pins]
    missing = [name for name in names if name not in known]
    if missing or not known:
        what = f"no tool {', '.join(missing)}" if known else "no tools yet"
        listing = f"; it has: {', '.join(known)}" if known else ""
        msg = f"gates have seen {what} of {toolset!r}{listing}"
        raise Unknown(msg)


async def _pins(settings: Settings, config: Path | None) -> Sequence[Pinned]:
    """Return what gates have seen of the tools of others; nothing where none has run yet."""
    if not has_store(settings):
        return ()
    async with open_books(config) as (_, store):
        return store.pins()


def _differing(settings: Settings, pins: Sequence[Pinned]) -> list[Pinned]:
    lock = lock_beside(settings)
    return [each for each in (locked(lock, one) for one in pins) if each.state != "accepted"]


def _callers(settings: Settings, found: Sequence[Offered]) -> dict[str, list[str]]:
    """Return the agents that may call each tool; those with conditions with a mark."""
    callers: dict[str, list[str]] = {each.name: [] for each in found}
    for each in access(settings, sorted(settings.agents), found, task_type=None):
        if each.offered is not None and each.is_allowed:
            callers[each.name].append(each.agent + (" (if)" if each.conditions else ""))
    return callers


def _line(offered: Offered, callers: Sequence[str]) -> tuple[str, ...]:
    state = "" if offered.state == "ours" else offered.state
    cost = dollars(None if offered.cost is None else offered.cost.nano)
    return (
        offered.name,
        offered.effect,
        cost,
        offered.source,
        state,
        ", ".join(callers) or "nobody",
    )


def _page(offered: Offered, callers: Sequence[str]) -> dict[str, object]:
    return {
        "name": offered.name,
        "effect": offered.effect,
        "cost_nano_usd": None if offered.cost is None else offered.cost.nano,
        "from": offered.source,
        "state": offered.state,
        "agents": [each.removesuffix(" (if)") for each in callers],
    }


def _difference(pinned: Pinned) -> dict[str, object]:
    return {
        "toolset": pinned.toolset,
        "tool": pinned.tool,
        "name": pinned.name,
        "state": pinned.state,
        "message": f"{pinned.name} {WHAT[pinned.state]}",
        "changes": list(changes(pinned)),
    }
