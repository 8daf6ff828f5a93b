"""``callgate ledger``: whether the money adds up, and holds that are freed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.markup import escape

from callgate.call import Candidate
from callgate.clock import rfc3339
from callgate.doors.cli.amounts import money
from callgate.doors.cli.books import open_books
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.screen import Column, dollars, moment, print_json, print_table, tell
from callgate.doors.cli.settings import ConfigOption, JsonOption
from callgate.errors import Misconfigured, Unknown
from callgate.money import Money
from callgate.store import CallEnd, Hold, Imbalance, Raised, Settlement, Store
from callgate.store.overruns import told_of
from callgate.store.writes import GATE_DIED

DIFFERS: Final = 1
"""Exit status where the ledger does not add up."""

DIFFERENCES: Final = (
    Column("scope"),
    Column("window"),
    Column("spent", right=True),
    Column("by its attempts", right=True),
    Column("held", right=True),
    Column("by its attempts", right=True),
    Column("calls", right=True),
    Column("by its attempts", right=True),
)

HOLDS: Final = (
    Column("attempt"),
    Column("task", rank=2),
    Column("model", rank=3),
    Column("sent (UTC)", rank=1),
    Column("held", right=True),
    Column("gate"),
)

ledger = typer.Typer(help="What may be spent, is held and was spent.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(ledger, name="ledger")


@ledger.command()
def verify(json: JsonOption = False, config: ConfigOption = None) -> None:
    """Add up every scope's attempts again, and compare; exit status 1 where they differ."""
    found = run_loop(_verify(config))
    if json:
        print_json([_imbalance_page(each) for each in found])
    elif found:
        print_table(DIFFERENCES, [_imbalance_line(each) for each in found])
    if found:
        tell(f"[red]callgate:[/red] {len(found):,} scopes do not add up; please report it as a bug")
        raise typer.Exit(DIFFERS)
    tell("callgate: every scope has spent and holds what its attempts add up to")


async def _verify(config: Path | None) -> list[Imbalance]:
    async with open_books(config) as (_, store):
        return list(store.verify())


@ledger.command("holds")
def list_holds(json: JsonOption = False, config: ConfigOption = None) -> None:
    """List the attempts that hold money now, and the gates that will settle them."""
    found = run_loop(_holds(config))
    if json:
        print_json([_hold_page(hold) for hold in found])
    elif found:
        print_table(HOLDS, [_hold_line(hold) for hold in found])
    else:
        tell("callgate: no attempt runs, and nothing is held")


async def _holds(config: Path | None) -> list[Hold]:
    async with open_books(config) as (_, store):
        return list(store.holds())


@ledger.command()
def release(
    attempt: Annotated[str, typer.Argument(help="The id from callgate ledger holds.")],
    *,
    cost: Annotated[
        Money | None,
        typer.Option(parser=money, metavar="AMOUNT", help="What it did cost; what it holds."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also if its gate lives.")] = False,
    config: ConfigOption = None,
) -> None:
    """Settle an attempt that nobody else will: its hold is free, its cost is an estimate.

    A gate does this by itself for one that died, within 30 seconds.
    """
    run_loop(_release(attempt, cost, yes, force, config))


async def _release(
    attempt_id: str, cost: Money | None, yes: bool, force: bool, config: Path | None
) -> None:
    async with open_books(config) as (_, store):
        hold = _find(store, attempt_id)
        _refuse_living(hold, force=force)
        booked = hold.reserved if cost is None else cost
        told = "unknown" if booked is None else dollars(booked.nano)
        question = f"Settle {hold.model} for task {hold.task_id} at {told}, as an estimate?"
        if not yes:
            typer.confirm(question, abort=True, err=True)
        await store.settle(_settlement(hold, booked, now=store.clock.now()))
    tell(f"callgate: {escape(attempt_id)} is settled at {told}, as an estimate, and holds nothing")


def _find(store: Store, attempt_id: str) -> Hold:
    found = next((hold for hold in store.holds() if hold.attempt_id == attempt_id), None)
    if found is None:
        msg = f"no attempt {attempt_id!r} runs or holds anything; callgate ledger holds lists those that do"
        raise Unknown(msg)
    return found


def _refuse_living(hold: Hold, *, force: bool) -> None:
    if hold.owner_lives and not force:
        msg = (
            f"{hold.attempt_id} runs in {_gate(hold)}, which lives and settles it when it ends; --force"
            " settles it all the same, until that gate tells what it did cost"
        )
        raise Misconfigured(msg)


def _settlement(hold: Hold, cost: Money | None, *, now: float) -> Settlement:
    return Settlement(
        attempt_id=hold.attempt_id,
        state="unknown",
        cost=cost,
        estimated=True,
        usage=None,
        ended_at=now,
        error="released by hand",
        call=CallEnd(
            call_id=hold.call_id,
            state="failed",
            status=502,
            ended_at=now,
            # So that a gate that lives after all may still tell its real end.
            code=GATE_DIED,
            message="its attempt was settled by hand, as its gate did not; its cost is an estimate",
        ),
    )


def _gate(hold: Hold) -> str:
    owner = hold.owner
    if owner is None:
        return "a gate that is gone"
    return f"the gate {owner.id} (pid {owner.pid} on {owner.host})"


def _imbalance_line(found: Imbalance) -> tuple[str, ...]:
    return (
        found.scope,
        found.window,
        *_pair(dollars(found.spent.nano), dollars(found.attempts_spent.nano)),
        *_pair(dollars(found.held.nano), dollars(found.attempts_held.nano)),
        *_pair(f"{found.calls:,}", f"{found.attempts_calls:,}"),
    )


def _pair(ledger: str, attempts: str) -> tuple[str, str]:
    """Return two figures; the second only where it is another."""
    return ledger, "" if attempts == ledger else attempts


def _imbalance_page(found: Imbalance) -> dict[str, object]:
    return {
        "scope": found.scope,
        "window": found.window,
        "spent_nano_usd": found.spent.nano,
        "attempts_spent_nano_usd": found.attempts_spent.nano,
        "held_nano_usd": found.held.nano,
        "attempts_held_nano_usd": found.attempts_held.nano,
        "calls": found.calls,
        "attempts_calls": found.attempts_calls,
    }


def _hold_line(hold: Hold) -> tuple[str, ...]:
    gate = "gone" if hold.owner is None else f"{hold.owner.host} pid {hold.owner.pid}"
    return (
        hold.attempt_id,
        hold.task_id,
        hold.model,
        moment(hold.sent_at),
        "" if hold.reserved is None else dollars(hold.reserved.nano),
        f"{gate} ({'lives' if hold.owner_lives else 'is dead'})" if hold.owner else gate,
    )


def _hold_page(hold: Hold) -> dict[str, object]:
    return {
        "attempt_id": hold.attempt_id,
        "call_id": hold.call_id,
        "task_id": hold.task_id,
        "model": hold.model,
        "held_nano_usd": None if hold.reserved is None else hold.reserved.nano,
        "sent_at": rfc3339(hold.sent_at),
        "gate_id": None if hold.owner is None else hold.owner.id,
        "host": None if hold.owner is None else hold.owner.host,
        "pid": None if hold.owner is None else hold.owner.pid,
        "gate_lives": hold.owner_lives,
    }


@ledger.command("overruns")
def list_overruns(json: JsonOption = False, config: ConfigOption = None) -> None:
    """List the models for which more is held than their bound or count, as a bill was above it."""
    found = run_loop(_overruns(config))
    if json:
        print_json(
            [
                {
                    "model": each.candidate.name,
                    "factor_thousandths": each.thousandths,
                    "bound": "counted" if each.counted else "proven",
                }
                for each in found
            ]
        )
    elif found:
        rows = [(each.candidate.name, told_of(each)) for each in found]
        print_table((Column("model"), Column("held")), rows)
    else:
        tell("callgate: no bill was above its reservation; every model holds its own bound")


async def _overruns(config: Path | None) -> Sequence[Raised]:
    async with open_books(config) as (_, store):
        return store.overruns()


@ledger.command("forget-overrun")
def forget_overrun(
    model: Annotated[str, typer.Argument(help="provider:model; callgate alerts names it.")],
    config: ConfigOption = None,
) -> None:
    """Hold a model's own bound again, once the price is right that made a bill pass it."""
    run_loop(_forget_overrun(model, config))


async def _forget_overrun(model: str, config: Path | None) -> None:
    provider, _, name = model.partition(":")
    candidate = Candidate(provider=provider, model=name)
    async with open_books(config) as (_, store):
        by = store.overruns()
        if not await store.forget_overrun(candidate, store.clock.now()):
            others = ", ".join(dict.fromkeys(each.candidate.name for each in by)) or "none"
            msg = f"no bill of {model!r} was above its reservation; of these one was: {others}"
            raise Unknown(msg)
    tell(
        f"callgate: {escape(model)} holds its own bound again, from the next call on in every gate"
    )
