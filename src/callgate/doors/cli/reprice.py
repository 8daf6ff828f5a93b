"""``callgate prices reprice``: what history would cost at the prices of now; with --apply, costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

import msgspec
import typer
from rich.progress import Progress

from callgate.clock import rfc3339
from callgate.config.policies import Settings
from callgate.doors.cli.amounts import instant
from callgate.doors.cli.books import open_books
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.screen import Column, dollars, err, moment, print_json, print_table, tell
from callgate.doors.cli.settings import ConfigOption, JsonOption
from callgate.money import Money
from callgate.pricing.repricing import KEPT, Repricer, WhyKept
from callgate.pricing.snapshot import NO_LIST
from callgate.pricing.table import PriceTable, own_list
from callgate.store import PastAttempt, Repricing, Store

READ_AT_ONCE: Final = 1_000
WRITTEN_AT_ONCE: Final = 100
"""Attempts of one transaction: gates wait for it."""

With = Literal["all", "snapshot", "settings"]

COLUMNS: Final = (
    Column("model"),
    Column("attempts", right=True, rank=2),
    Column("old", right=True),
    Column("new", right=True),
    Column("difference", right=True),
    Column("changed", right=True, rank=1),
    Column("of unknown cost", right=True, rank=3),
)


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Which attempts are looked at."""

    since: float
    until: float
    model: str | None


class Sum(msgspec.Struct, kw_only=True):
    """What one model's attempts add up to."""

    attempts: int = 0
    old: int = 0
    """Nano-dollars, as far as they were known."""
    new: int = 0
    changed: int = 0
    unknown: int = 0
    """Those of them whose cost was not known."""

    def add(self, anew: Repricing) -> None:
        """Count one attempt."""
        self.attempts += 1
        self.old += 0 if anew.was is None else anew.was.nano
        self.new += anew.cost.nano
        self.changed += anew.was != anew.cost
        self.unknown += anew.was is None


class Repriced(msgspec.Struct, kw_only=True):
    """History, looked at once."""

    span: Span
    sums: dict[str, Sum] = {}
    kept: Counter[WhyKept] = msgspec.field(default_factory=Counter[WhyKept])
    attempts: int = 0
    booked: int | None = None
    """How many rows were corrected; None where nobody asked for it."""

    @property
    def changed(self) -> int:
        """How many attempts cost something else."""
        return sum(one.changed for one in self.sums.values())

    @property
    def total(self) -> Sum:
        """All models together."""
        total = Sum()
        for one in self.sums.values():
            for field in Sum.__struct_fields__:
                setattr(total, field, getattr(total, field) + getattr(one, field))
        return total


def add_to(prices: typer.Typer) -> None:
    """Add the command."""
    prices.command()(reprice)


def reprice(
    since: Annotated[
        str | None, typer.Option(metavar="T", help="A day, a time, or 7d back; the beginning.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="T", help="As --since; now.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Only this one: provider:model, or the model alone.")
    ] = None,
    *,
    by: Annotated[
        With, typer.Option("--with", help="Which prices: the list's, those of [prices], or both.")
    ] = "all",
    apply: Annotated[
        bool, typer.Option("--apply", help="Correct the rows, and what is spent everywhere.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Tell what past attempts would cost at the prices of now; with --apply, book it.

    A row keeps what it was first booked at, and a cost that nobody knows stays unknown.
    """
    found = run_loop(_reprice((since, until, model), by, apply, yes, config))
    if json:
        print_json(_page(found))
    else:
        _print(found)


async def _reprice(
    asked: tuple[str | None, str | None, str | None],
    by: With,
    apply: bool,
    yes: bool,
    config: Path | None,
) -> Repriced:
    async with open_books(config) as (settings, store):
        span = _span(asked, settings, store)
        repricer = Repricer(_prices(settings, by), settings.providers)
        found = _look(store, span, repricer)
        if not apply or not found.changed:
            return found
        total = found.total
        question = f"Book {dollars(total.new)} instead of {dollars(total.old)} for {found.changed:,} attempts?"
        if not yes:
            typer.confirm(question, abort=True, err=True)
        found.booked = await _book(store, span, repricer, found.attempts)
        return found


def _span(
    asked: tuple[str | None, str | None, str | None], settings: Settings, store: Store
) -> Span:
    since, until, model = asked
    now, zone = store.clock.now(), ZoneInfo(settings.gate.timezone)
    first = 0.0 if since is None else instant(since, now=now, zone=zone, ahead=False, is_end=False)
    last = now if until is None else instant(until, now=now, zone=zone, ahead=False, is_end=True)
    if first >= last:
        msg = f"--since {moment(first, zone)} is not before --until {moment(last, zone)}"
        raise typer.BadParameter(msg)
    return Span(since=first, until=last, model=model)


def _prices(settings: Settings, by: With) -> PriceTable:
    if by == "settings":
        return PriceTable(settings.prices, NO_LIST)
    return PriceTable({} if by == "snapshot" else settings.prices, own_list(settings))


def _look(store: Store, span: Span, repricer: Repricer) -> Repriced:
    found = Repriced(span=span)
    for batch in _batches(store, span):
        for attempt in batch:
            found.attempts += 1
            anew = repricer.price(attempt)
            if isinstance(anew, Repricing):
                found.sums.setdefault(attempt.candidate.name, Sum()).add(anew)
            else:
                found.kept[anew] += 1
    return found


async def _book(store: Store, span: Span, repricer: Repricer, attempts: int) -> int:
    """Correct what differs, a few rows at once, so that gates never wait for long."""
    booked = 0
    with _progress(attempts) as advance:
        for batch in _batches(store, span):
            anew = map(repricer.price, batch)
            wanted = [one for one in anew if isinstance(one, Repricing) and one.was != one.cost]
            for start in range(0, len(wanted), WRITTEN_AT_ONCE):
                booked += await store.reprice(wanted[start : start + WRITTEN_AT_ONCE])
            advance(len(batch))
    return booked


def _batches(store: Store, span: Span) -> Iterator[Sequence[PastAttempt]]:
    after = 0
    while True:
        batch = store.past_attempts(
            after=after, since=span.since, until=span.until, model=span.model, limit=READ_AT_ONCE
        )
        if not batch:
            return
        yield batch
        after = batch[-1].seq


@contextmanager
def _progress(attempts: int) -> Generator[Callable[[int], None]]:
    """Show a bar on a terminal, and nothing elsewhere."""
    with Progress(console=err(), transient=True, disable=not err().is_terminal) as progress:
        bar = progress.add_task("booking", total=attempts)
        yield lambda more: progress.advance(bar, more)


def _print(found: Repriced) -> None:
    if not found.attempts:
        tell("callgate: no attempt of a model in that time")
        return
    if found.sums:
        rows = [_line(name, one) for name, one in sorted(found.sums.items())]
        print_table(COLUMNS, [*rows, _line("total", found.total)])
    for why, times in found.kept.most_common():
        tell(f"callgate: {times:,} attempts stay as they are: {KEPT[why]}")
    if found.booked is not None:
        tell(
            f"callgate: {found.booked:,} attempts are booked anew; callgate ledger verify proves the books"
        )
    elif found.changed:
        tell("callgate: nothing was changed; --apply books it")
    else:
        tell("callgate: every attempt costs what it is booked at")


def _line(name: str, one: Sum) -> tuple[str, ...]:
    more = one.new - one.old
    return (
        name,
        f"{one.attempts:,}",
        dollars(one.old),
        dollars(one.new),
        f"{'+' if more > 0 else ''}{Money(more)}" if more else "",
        f"{one.changed:,}",
        f"{one.unknown:,}" if one.unknown else "",
    )


def _page(found: Repriced) -> dict[str, object]:
    return {
        "since_at": rfc3339(found.span.since),
        "until_at": rfc3339(found.span.until),
        "models": [_sum_page(name, one) for name, one in sorted(found.sums.items())],
        "total": _sum_page(None, found.total),
        "kept": [
            {"why": why, "attempts": times, "means": KEPT[why]}
            for why, times in found.kept.most_common()
        ],
        "booked": found.booked,
    }


def _sum_page(name: str | None, one: Sum) -> dict[str, object]:
    return {
        "model": name,
        "attempts": one.attempts,
        "old_nano_usd": one.old,
        "new_nano_usd": one.new,
        "difference_nano_usd": one.new - one.old,
        "changed": one.changed,
        "unknown_before": one.unknown,
    }
