"""``callgate prices``: what models cost, where that is told, and how a new list is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from callgate.clock import SystemClock
from callgate.config import environment
from callgate.doors.cli import price_update, reprice
from callgate.doors.cli.priced import Priced, Prices, every_price, find_price, open_prices
from callgate.doors.cli.rates import PRICES, lines_of, page_of
from callgate.doors.cli.screen import dollars, out, print_json, print_table, tell
from callgate.doors.cli.settings import ConfigOption, JsonOption, settings_of
from callgate.errors import Unknown

prices = typer.Typer(help="What models cost, and where that is told.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    price_update.add_to(prices)
    reprice.add_to(prices)
    app.add_typer(prices, name="prices")


def _open(config: Path | None) -> Prices:
    return open_prices(settings_of(config, environment()), at=SystemClock().now())


@prices.command("list")
def list_prices(
    pattern: Annotated[
        str | None, typer.Argument(help="A part of a name, or a glob; '*' is everything.")
    ] = None,
    provider: Annotated[
        str | None, typer.Option(help="Of the settings, or whose list: openai, gemini ...")
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List prices for a million tokens: of the models that the settings name, or of all that match."""
    opened = _open(config)
    found = every_price(opened, pattern, provider)
    if json:
        print_json([page_of(one) for one in found])
        return
    if not found:
        tell("callgate: no such model; callgate prices list '*' lists all of the providers' lists")
        return
    print_table(PRICES, [line for one in found for line in lines_of(one)])
    _tell_about(opened, found)


def _tell_about(opened: Prices, found: list[Priced]) -> None:
    for fix in dict.fromkeys(one.fix for one in found if one.fix is not None):
        tell(f"[yellow]callgate:[/yellow] no price is known; to add one:\n{escape(fix)}")
    tell(f"callgate: US dollars for a million tokens, by {escape(opened.told)}")
    if opened.age is not None:
        tell(f"[yellow]callgate:[/yellow] {escape(opened.age)}")


@prices.command("show")
def show_price(
    model: Annotated[str, typer.Argument(help="A model of the settings, or provider:model.")],
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show the price of one model whole, and what a request to it holds."""
    opened = _open(config)
    found = find_price(opened, model)
    if not found:
        msg = f"nobody serves {model!r}: callgate prices list lists the models of the settings, or write it as provider:model"
        raise Unknown(msg)
    if json:
        print_json([page_of(one) for one in found])
        return
    for one in found:
        _show(one)
    _tell_about(opened, found)


def _show(one: Priced) -> None:
    price = one.price
    print_table(PRICES, lines_of(one))
    if price is None:
        return
    out().print(f"\nversion         {price.version}", highlight=False, soft_wrap=True, markup=False)
    if price.context_window is not None:
        out().print(f"context window  {price.context_window:,} tokens", highlight=False)
    if price.text_only:
        out().print("pictures and sounds cost more than this: a request with one has no price")
    if one.held is not None:
        held = one.held
        out().print(
            f"a request of 10 kB that names no output limit holds {dollars(held.total.nano)}: at most "
            f"{held.input_tokens:,} tokens in and {held.output_tokens:,} out\n",
            highlight=False,
            soft_wrap=True,
        )
