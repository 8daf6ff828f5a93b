"""``callgate breakers``: who is not asked for now, and the two things that a person does about it."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Final

import typer
from rich.markup import escape

from callgate.clock import rfc3339
from callgate.doors.cli.books import open_books
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.screen import Column, moment, print_json, print_table, tell
from callgate.doors.cli.settings import ConfigOption, JsonOption
from callgate.errors import Unknown
from callgate.store import Block

COLUMNS: Final = (
    Column("not asked"),
    Column("kind"),
    Column("since (UTC)", rank=2),
    Column("tried again (UTC)", rank=1),
    Column("times", right=True, rank=3),
    Column("why"),
)

Subject = Annotated[
    str,
    typer.Argument(help="A provider, provider:model, or a line of the list.", show_default=False),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(invoke_without_command=True, help="Who is not asked for now, and why.")
    group.callback()(listing)
    group.command("open")(open_breaker)
    group.command("close")(close_breaker)
    app.add_typer(group, name="breakers")


def listing(context: typer.Context, json: JsonOption = False, config: ConfigOption = None) -> None:
    """List the providers, models and keys that are not asked for now, and why."""
    if context.invoked_subcommand is None:
        run_loop(_list(json, config))


def open_breaker(
    subject: Subject,
    reason: Annotated[str, typer.Option(help="What refusals will say.")] = "closed by hand",
    config: ConfigOption = None,
) -> None:
    """Let nobody ask a provider or a model any more, until it is closed again."""
    run_loop(_open(subject, reason, config))


def close_breaker(subject: Subject, config: ConfigOption = None) -> None:
    """Let a provider, a model or a key be asked again."""
    run_loop(_close(subject, config))


async def _list(json: bool, config: ConfigOption) -> None:
    async with open_books(config) as (_, store):
        blocks = store.blocks()
    if json:
        print_json([_page(block) for block in blocks])
    elif blocks:
        print_table(COLUMNS, [_line(block) for block in blocks])
    else:
        tell("callgate: everybody is asked")


async def _open(subject: str, reason: str, config: ConfigOption) -> None:
    async with open_books(config) as (settings, store):
        provider = subject.partition(":")[0]
        if provider not in settings.providers:
            near = get_close_matches(provider, settings.providers, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            msg = f"the settings name no provider {provider!r}{hint}"
            raise Unknown(msg)
        now = store.clock.now()
        await store.block(Block(subject=subject, kind="operator", reason=reason, since=now))
    tell(
        f"callgate: {escape(subject)} is not asked any more, within a second in every gate of this"
        f" store; callgate breakers close {escape(subject)} lets it be asked again"
    )


async def _close(subject: str, config: ConfigOption) -> None:
    async with open_books(config) as (_, store):
        if not await store.unblock(subject):
            msg = f"{subject!r} is not blocked; callgate breakers lists who is"
            raise Unknown(msg)
    tell(f"callgate: {escape(subject)} is asked again, within a second in every gate of this store")


def _line(block: Block) -> tuple[str, ...]:
    again = "when closed" if block.until is None else moment(block.until)
    return (block.subject, block.kind, moment(block.since), again, str(block.times), block.reason)


def _page(block: Block) -> dict[str, object]:
    return {
        "subject": block.subject,
        "kind": block.kind,
        "reason": block.reason,
        "times": block.times,
        "since": rfc3339(block.since),
        "until": None if block.until is None else rfc3339(block.until),
    }
