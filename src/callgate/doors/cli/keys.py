"""``callgate keys``: who may come in."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from typing import Annotated, Final

import typer
from rich.markup import escape

from callgate.call import new_id
from callgate.clock import SystemClock, rfc3339
from callgate.doors.cli.amounts import duration
from callgate.doors.cli.books import open_books
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.screen import Column, moment, print_json, print_table, tell
from callgate.doors.cli.settings import ConfigOption, JsonOption
from callgate.errors import Unknown
from callgate.keys import digest, new_key
from callgate.store import Key

KEYS: Final = (
    Column("key"),
    Column("agent"),
    Column("task", rank=3),
    Column("label", rank=4),
    Column("created (UTC)", rank=2),
    Column("expires (UTC)", rank=1),
    Column("state"),
)

keys = typer.Typer(help="The keys that agents call with.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(keys, name="keys")


@keys.command()
def create(
    agent: Annotated[str, typer.Argument(help="The agent of the settings that it is for.")],
    label: Annotated[str, typer.Option(help="What it is used for; shown in the list.")] = "",
    expires: Annotated[
        float | None,
        typer.Option(parser=duration, metavar="TIME", help="Such as 90d; never if left out."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Make a key and print it, once: only its hash is stored."""
    run_loop(_create(agent, label, expires, config))


async def _create(agent: str, label: str, expires: float | None, config: ConfigOption) -> None:
    async with open_books(config, create=True) as (settings, store):
        if agent not in settings.agents:
            near = get_close_matches(agent, settings.agents, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            known = ", ".join(sorted(settings.agents)) or "none"
            msg = f"the settings name no agent {agent!r}{hint} They name: {known}"
            raise Unknown(msg)
        key, now = new_key("agent"), SystemClock().now()
        row = Key(
            id=new_id("key"),
            digest=digest(key),
            agent=agent,
            label=label,
            created_at=now,
            expires_at=None if expires is None else now + expires,
        )
        await store.create_key(row)
    tell(f"callgate: a key for the agent [bold]{escape(agent)}[/bold] ({row.id}); it is shown once")
    sys.stdout.write(key + "\n")


@keys.command("list")
def list_keys(
    json: JsonOption = False,
    tasks: Annotated[
        bool, typer.Option("--tasks", help="The short-lived keys of tasks too.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """List the keys, without the keys themselves."""
    run_loop(_list(json, tasks, config))


async def _list(json: bool, tasks: bool, config: ConfigOption) -> None:
    async with open_books(config) as (_, store):
        every = store.keys()
    listed = [key for key in every if tasks or key.task_id is None]
    if json:
        print_json([_page(key) for key in listed])
        return
    if not listed:
        tell("callgate: no key yet; callgate keys create AGENT makes one")
        return
    now = SystemClock().now()
    print_table(KEYS, (_line(key, now) for key in listed))


@keys.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The id from callgate keys list.")],
    config: ConfigOption = None,
) -> None:
    """Revoke a key; the next call with it is refused, in every gate of this store."""
    run_loop(_revoke(key, config))


async def _revoke(key_id: str, config: ConfigOption) -> None:
    async with open_books(config) as (_, store):
        found = await store.revoke_key(key_id, SystemClock().now())
    if not found:
        msg = f"there is no key {key_id!r}; callgate keys list shows them"
        raise Unknown(msg)
    tell(f"callgate: {escape(key_id)} is revoked")


def _page(key: Key) -> dict[str, object]:
    return {
        "id": key.id,
        "agent": key.agent,
        "task_id": key.task_id,
        "label": key.label,
        "created_at": rfc3339(key.created_at),
        "expires_at": None if key.expires_at is None else rfc3339(key.expires_at),
        "revoked_at": None if key.revoked_at is None else rfc3339(key.revoked_at),
    }


def _line(key: Key, now: float) -> tuple[str, ...]:
    expired = key.expires_at is not None and key.expires_at <= now
    return (
        key.id,
        key.agent,
        key.task_id or "",
        key.label,
        moment(key.created_at),
        moment(key.expires_at),
        "revoked" if key.revoked_at is not None else "expired" if expired else "holds",
    )
