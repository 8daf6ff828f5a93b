"""``callgate spend reconcile``: the ledger held against a provider's export, and why they differ."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.markup import escape

from callgate.doors.cli.books import open_books
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.screen import Column, out, print_json, print_table, tell
from callgate.doors.cli.settings import ConfigOption, JsonOption
from callgate.errors import Misconfigured
from callgate.money import Money
from callgate.observe.difference import Reason, Tolerance, counted
from callgate.observe.exports import Export
from callgate.observe.exports.reading import read_export
from callgate.observe.reconcile import Compared, Reconciliation, providers_of, reconcile
from callgate.observe.sides import NOTHING, TOKENS, Amounts

DIFFERS: Final = 1
"""Exit status where there is a difference that no reason accounts for."""

TOLERANCE: Final = Tolerance(share=Decimal("0.005"))

PERCENT: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%?")

COLUMNS: Final = (
    Column("day (UTC)"),
    Column("model"),
    Column("requests", right=True, rank=4),
    Column("export", right=True, rank=3),
    Column("tokens", right=True, rank=2),
    Column("export", right=True, rank=1),
    Column("cost", right=True),
    Column("export", right=True),
    Column("difference", right=True),
    Column(""),
)

WORDS: Final = {
    "requests": "request",
    "input_tokens": "input token",
    "cache_read_tokens": "cache read token",
    "cache_write_tokens": "cache write token",
    "output_tokens": "output token",
}

UNKNOWN: Final = "not told"
"""What stands where an export does not tell a field; it is not zero."""


def percent(typed: str) -> Tolerance:
    """Return a share that somebody typed, such as ``1%``."""
    found = PERCENT.fullmatch(typed.strip())
    share = Decimal(found[1]) / 100 if found else Decimal(2)
    if share > 1:
        msg = f"{typed!r} is not a share from 0% to 100%; write it like 0.5%"
        raise typer.BadParameter(msg)
    return Tolerance(share=share)


def reconcile_spending(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="The export, CSV or JSON; usage and costs may be two files. - reads one from the input.",
        ),
    ],
    *,
    provider: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Of the settings; those at the API's own address if left out."
        ),
    ] = None,
    tolerance: Annotated[
        Tolerance | None,
        typer.Option(
            parser=percent, metavar="SHARE", help="What is no difference, nor is a cent. 0.5%"
        ),
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Compare the ledger with a provider's usage or cost export, and tell why they differ.

    The exit status is 1 where a difference is left that no reason accounts for.
    """
    export = read_export((str(file), _read(file)) for file in files)
    found = run_loop(_reconcile(export, provider or [], tolerance or TOLERANCE, config))
    if json:
        print_json(_page(found))
    else:
        _print(found)
    if found.is_open:
        raise typer.Exit(DIFFERS)


def _read(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror}"
        raise Misconfigured(msg) from error


async def _reconcile(
    export: Export, names: Sequence[str], tolerance: Tolerance, config: Path | None
) -> Reconciliation:
    async with open_books(config) as (settings, store):
        providers = providers_of(settings, export, names)
        return reconcile(export, store, settings, providers=providers, tolerance=tolerance)


def _print(found: Reconciliation) -> None:
    for warning in found.export.warnings:
        tell(f"[yellow]callgate:[/yellow] {escape(warning)}")
    if found.rows:
        print_table(COLUMNS, [*(_line(row, found.told) for row in found.rows), _total(found)])
    for row in found.rows:
        for text in _explained(row, found.told):
            out().print(escape(text), soft_wrap=True)
    days = found.export.days
    what = f"{' and '.join(found.export.formats)}, {days[0]} to {days[-1]}"
    providers = ", ".join(found.providers)
    opened = sum(row.is_open for row in found.rows)
    if opened:
        some = "1 difference" if opened == 1 else f"{opened:,} differences"
        tell(f"[red]callgate:[/red] {some} left to look at between {providers} and {escape(what)}")
    else:
        tell(f"callgate: {providers} and {escape(what)} agree, or every difference has its reason")


def _line(row: Compared, told: Sequence[str]) -> tuple[str, ...]:
    model = row.model or (", ".join(row.fees) if row.fees else "(all)")
    return (row.day, model, *_amounts(row.ledger, row.export, row.difference, told), _state(row))


def _total(found: Reconciliation) -> tuple[str, ...]:
    ledger = sum((row.ledger for row in found.rows), NOTHING)
    export = sum((row.export for row in found.rows), NOTHING)
    difference = sum((row.difference for row in found.rows), NOTHING)
    return ("total", "", *_amounts(ledger, export, difference, found.told), "")


def _amounts(
    ledger: Amounts, export: Amounts, difference: Amounts, told: Sequence[str]
) -> tuple[str, ...]:
    has_cost = "cost_nano" in told
    return (
        f"{ledger.requests:,}",
        f"{export.requests:,}" if "requests" in told else UNKNOWN,
        f"{ledger.tokens:,}",
        f"{export.tokens:,}" if "input_tokens" in told else UNKNOWN,
        str(Money(ledger.cost_nano)),
        str(Money(export.cost_nano)) if has_cost else UNKNOWN,
        _signed(difference.cost_nano) if has_cost else f"{difference.tokens:+,} tokens",
    )


def _signed(nano: int) -> str:
    return f"+{Money(nano)}" if nano > 0 else str(Money(nano))


def _state(row: Compared) -> str:
    if row.is_open:
        return "differs"
    return "explained" if row.reasons else "agrees"


def _explained(row: Compared, told: Sequence[str]) -> Iterator[str]:
    """Yield what differs on a day, and why."""
    if not row.reasons:
        return
    parts = [_part(row.difference, name) for name in WORDS if name in told]
    parts += [_signed(row.difference.cost_nano)] if "cost_nano" in told else []
    names = ", ".join(name for name in row.ledger_names if name != row.model)
    also = f" (in the ledger {names})" if names and row.model else ""
    what = ", ".join(part for part in parts if part)
    yield f"\n{row.day} {row.model or '(all)'}{also}: the export less the ledger is {what}"
    for reason in row.reasons:
        yield f"  {'?' if reason.accounts_for == NOTHING else '='} {reason.text}"


def _part(difference: Amounts, name: str) -> str:
    count: int = getattr(difference, name)
    return f"{'+' if count > 0 else ''}{counted(count, WORDS[name])}" if count else ""


def _page(found: Reconciliation) -> dict[str, object]:
    export = found.export
    return {
        "api": export.api,
        "formats": export.formats,
        "providers": found.providers,
        "first_day": export.days[0],
        "last_day": export.days[-1],
        "is_whole": export.is_whole,
        "tolerance": f"{(found.tolerance.share * 100).normalize():f}%",
        "warnings": export.warnings,
        "is_open": found.is_open,
        "rows": [_row_page(row, found.told) for row in found.rows],
    }


def _row_page(row: Compared, told: Sequence[str]) -> dict[str, object]:
    every = ("requests", *TOKENS, "cost_nano")
    return {
        "day": row.day,
        "model": row.model,
        "ledger_models": row.ledger_names,
        "fees": row.fees,
        "ledger": _fields(row.ledger, every),
        "export": _fields(row.export, told),
        "difference": _fields(row.difference, told),
        "left": _fields(row.left, told),
        "is_open": row.is_open,
        "reasons": [_reason_page(reason) for reason in row.reasons],
    }


def _fields(amounts: Amounts, told: Sequence[str]) -> dict[str, int | None]:
    """Return amounts as JSON shows them; what an export does not tell is null, not zero."""
    return {
        f"{name}_usd" if name == "cost_nano" else name: getattr(amounts, name)
        if name in told
        else None
        for name in Amounts.__struct_fields__
    }


def _reason_page(reason: Reason) -> dict[str, object]:
    return {
        "kind": reason.kind,
        "text": reason.text,
        "accounts_for": _fields(reason.accounts_for, Amounts.__struct_fields__),
    }
