"""``callgate credit``: what is left where calls are paid for in advance, and how long it lasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import typer
from rich.markup import escape

from callgate.clock import rfc3339
from callgate.doors.cli.amounts import money
from callgate.doors.cli.books import open_books
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.screen import Column, dollars, moment, print_json, print_table, tell
from callgate.doors.cli.settings import ConfigOption, JsonOption
from callgate.errors import Unknown
from callgate.observe.credit import Account, Credit, accounts_of, credits_of
from callgate.store import Balance

COLUMNS: Final = (
    Column("account"),
    Column("left", right=True),
    Column("told by", rank=1),
    Column("at (UTC)", rank=2),
    Column("spent since", right=True, rank=3),
    Column("last 24 h", right=True, rank=4),
    Column("runs out (UTC)"),
)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        invoke_without_command=True, help="What is left where calls are paid for in advance."
    )
    group.callback()(listing)
    group.command("set")(set_credit)
    app.add_typer(group, name="credit")


def listing(context: typer.Context, json: JsonOption = False, config: ConfigOption = None) -> None:
    """List every account that is paid in advance, with what is left and how long it lasts."""
    if context.invoked_subcommand is None:
        run_loop(_list(json, config))


def set_credit(
    account: Annotated[
        str, typer.Argument(help="A line of the list, such as provider:openai.", show_default=False)
    ],
    amount: Annotated[str, typer.Argument(help="What it has now, in dollars.", show_default=False)],
    config: ConfigOption = None,
) -> None:
    """Say what an account has now, such as after it was topped up."""
    run_loop(_set(account, amount, config))


async def _list(json: bool, config: ConfigOption) -> None:
    async with open_books(config) as (settings, store):
        found = await credits_of(accounts_of(settings), store)
    if json:
        print_json([_page(credit) for credit in found])
    elif found:
        print_table(COLUMNS, [_line(credit) for credit in found])
    else:
        tell(
            "callgate: no account is paid in advance; a platform under \\[platforms] is, and a provider"
            " whose table has credit"
        )


async def _set(account: str, amount: str, config: ConfigOption) -> None:
    left = money(amount)
    async with open_books(config) as (settings, store):
        known = accounts_of(settings)
        if account not in {each.name for each in known}:
            raise _unknown(account, known)
        now = store.clock.now()
        await store.note_balance(
            Balance(account=account, left=left, source="operator", seen_at=now)
        )
    tell(f"callgate: {escape(account)} has {left}; what calls cost from now on is taken off")


def _unknown(account: str, known: Sequence[Account]) -> Unknown:
    names = ", ".join(each.name for each in known) or "none"
    msg = f"{account!r} is no account that is paid in advance; there are: {names}"
    return Unknown(msg)


def _line(credit: Credit) -> tuple[str, ...]:
    balance, left = credit.balance, credit.left
    return (
        credit.account.name,
        "unknown" if left is None else dollars(left.nano),
        "" if balance is None else balance.source,
        "" if balance is None else moment(balance.seen_at),
        dollars(credit.spent.nano),
        dollars(credit.last_day.nano),
        "" if credit.runs_out_at is None else moment(credit.runs_out_at)[:16],
    )


def _page(credit: Credit) -> dict[str, object]:
    balance, left, runs_out_at = credit.balance, credit.left, credit.runs_out_at
    return {
        "account": credit.account.name,
        "left_nano_usd": None if left is None else left.nano,
        "low_nano_usd": None if credit.account.low is None else credit.account.low.nano,
        "is_low": credit.is_low,
        "source": None if balance is None else balance.source,
        "seen_at": None if balance is None else rfc3339(balance.seen_at),
        "seen_nano_usd": None if balance is None else balance.left.nano,
        "spent_since_nano_usd": credit.spent.nano,
        "last_day_nano_usd": credit.last_day.nano,
        "runs_out_at": None if runs_out_at is None else rfc3339(runs_out_at),
    }
