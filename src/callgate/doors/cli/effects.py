"""``callgate effects``: what tools did to the world, and what nobody knows whether they did."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final

import typer
from rich.markup import escape

from callgate.clock import rfc3339
from callgate.config import environment
from callgate.doors.cli.books import open_books
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.screen import Column, moment, print_json, print_table, tell
from callgate.doors.cli.settings import ConfigOption, JsonOption
from callgate.errors import Misconfigured, Unknown
from callgate.gate import Gate
from callgate.store import Action, ActionState, Decision

COLUMNS: Final = (
    Column("effect"),
    Column("state"),
    Column("tool"),
    Column("arguments", rank=1),
    Column("task", rank=3),
    Column("user", rank=4),
    Column("since (UTC)", rank=2),
    Column("tries", right=True, rank=5),
    Column("said by", rank=6),
)

LONGEST_SHOWN: Final = 60
"""Characters of the arguments that a line of the table shows."""

STATES: Final[dict[ActionState, str]] = {"not_done": "not done"}
"""States that are told in other words."""


class Outcome(StrEnum):
    """What somebody may say of an effect."""

    DONE = "done"
    NOT_DONE = "not-done"


Effect = Annotated[
    str, typer.Argument(help="The id of an effect, as it is listed.", show_default=False)
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        invoke_without_command=True, help="What tools did to the world, and what nobody knows."
    )
    group.callback()(listing)
    group.command("resolve")(resolve)
    group.command("check")(check)
    app.add_typer(group, name="effects")


def listing(
    context: typer.Context,
    only_open: Annotated[
        bool, typer.Option("--open", help="Only those of which nobody knows.")
    ] = False,
    task: Annotated[str | None, typer.Option(help="Only those of this task.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many.")] = 50,
    *,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List what tools were asked to do once: what is unknown first, then the newest."""
    if context.invoked_subcommand is None:
        found = run_loop(_list(task, limit, config, only_open=only_open))
        _show(found, json=json)


def resolve(
    effect: Effect,
    outcome: Annotated[Outcome, typer.Argument(help="What is the case, as you have found out.")],
    note: Annotated[str, typer.Option(help="How you know, for whoever looks later.")] = "",
    by: Annotated[
        str | None, typer.Option(help="Who says it; the user of this machine if left out.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Say whether a tool has done what nobody knew; the next call of it goes by that."""
    run_loop(_resolve(effect, outcome, note, by or _user(), config))


def check(effect: Effect, config: ConfigOption = None) -> None:
    """Ask the tool that knows whether it was done, as the settings say, and go by its answer."""
    run_loop(_check(effect, config))


async def _check(effect: str, config: ConfigOption) -> None:
    environ = environment()
    async with open_books(config) as (settings, store):
        action = store.find_action(effect)
    if action is None:
        msg = f"there is no effect {effect!r} in this store; callgate effects lists them"
        raise Unknown(msg)
    if action.check is None:
        fix = f'set check under [tools."{action.tool}"] in callgate.toml, for calls from then on'
        msg = f"nothing says how to find out whether {action.tool} has done it; {fix}"
        raise Misconfigured(msg)
    gate = await Gate.open(settings, environ=environ)
    try:
        finding = await gate.look_ups.find_out(action, action.check)
    finally:
        await gate.close()
    tell(
        f"callgate: {escape(finding.told)}; the effect is {STATES.get(finding.action.state, finding.action.state)}"
    )


async def _list(
    task: str | None, limit: int, config: ConfigOption, *, only_open: bool
) -> Sequence[Action]:
    async with open_books(config) as (_, store):
        return store.actions(limit=limit, only_open=only_open, task_id=task)


def _show(found: Sequence[Action], *, json: bool) -> None:
    if json:
        print_json([_page(action) for action in found])
    elif found:
        print_table(COLUMNS, [_line(action) for action in found])
        if any(action.state == "unknown" for action in found):
            tell(
                "callgate: find out what is unknown, then: callgate effects resolve EFFECT done|not-done"
            )
    else:
        tell("callgate: no effect is listed; a tool that only reads, or is idempotent, has none")


async def _resolve(effect: str, outcome: Outcome, note: str, by: str, config: ConfigOption) -> None:
    async with open_books(config) as (_, store):
        done = outcome is Outcome.DONE
        decision = Decision(
            action_id=effect,
            state="done" if done else "not_done",
            by=by,
            at=store.clock.now(),
            note=note,
        )
        action = await store.decide(decision)
    then = "is told so" if done else "does it"
    tell(
        f"callgate: {escape(action.tool)} has {'' if done else 'not '}done it, says {escape(by)}; "
        f"the next call of task {escape(action.task_id)} for it {then}"
    )


if sys.platform == "win32":

    def _user() -> str:
        """Return who is logged in."""
        return os.getlogin()
else:
    import pwd

    def _user() -> str:
        """Return whose process this is."""
        return pwd.getpwuid(os.getuid()).pw_name


def _line(action: Action) -> tuple[str, ...]:
    arguments = action.arguments or "not kept"
    return (
        action.id,
        STATES.get(action.state, action.state),
        action.tool if action.n == 1 else f"{action.tool} (time {action.n})",
        arguments if len(arguments) <= LONGEST_SHOWN else f"{arguments[:LONGEST_SHOWN]}…",
        action.task_id,
        action.user or "",
        moment(action.since),
        str(action.attempts),
        action.decided_by or "",
    )


def _page(action: Action) -> dict[str, object]:
    return {
        "id": action.id,
        "state": action.state,
        "tool": action.tool,
        "scope": action.scope,
        "n": action.n,
        "task": action.task_id,
        "agent": action.agent,
        "user": action.user,
        "arguments": action.arguments,
        "call": action.call_id,
        "attempts": action.attempts,
        "since": rfc3339(action.since),
        "ended_at": None if action.ended_at is None else rfc3339(action.ended_at),
        "decided_by": action.decided_by,
        "note": action.note,
    }
