"""How a receipt looks to a person, and how it is written down."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from callgate.doors.cli.screen import WIDE, dollars, dollars_of, err
from callgate.observe.difference import attempts
from callgate.observe.receipt import ModelLine, Receipt, Refused, ToolLine

LONGEST_REASON: Final = 400
"""Characters of a refusal that a receipt shows."""

INDENT: Final = (0, 0, 0, 2)
NAMES: Final = 10
"""Columns of the names at the left: the longest, and two spaces."""


def write_text(receipt: Receipt, path: Path | None) -> None:
    """Write a receipt for a person, to a file or to standard error."""
    if path is None:
        err().print(render(receipt))
        return
    with path.open("w", encoding="utf-8") as file:
        Console(file=file, width=WIDE).print(render(receipt))


def write_json(receipt: Receipt, path: Path | None) -> None:
    """Write a receipt for a program, to a file or to standard error."""
    text = msgspec.json.format(msgspec.json.encode(receipt), indent=2).decode() + "\n"
    if path is None:
        sys.stderr.write(text)
    else:
        path.write_text(text, encoding="utf-8")


def render(receipt: Receipt) -> RenderableType:
    """Return a receipt as rich shows it."""
    parts: list[RenderableType] = [_title(receipt)]
    parts += [
        Text.from_markup(f"  [dim]{name:{NAMES}}[/dim]{value}") for name, value in _facts(receipt)
    ]
    if receipt.models:
        parts.append(Padding(_models(receipt.models), INDENT, expand=False))
    if receipt.tools:
        parts.append(Padding(_tools(receipt.tools), INDENT, expand=False))
    reasons = [_reason("refused", group, "red") for group in receipt.refused]
    reasons += [_reason("failed", group, "yellow") for group in receipt.failed]
    parts += [Padding(reason, INDENT, expand=False) for reason in reasons]
    return Group(*parts)


def _title(receipt: Receipt) -> Text:
    who = f"agent {receipt.agent}" + (f", user {receipt.user}" if receipt.user else "")
    return Text.from_markup(
        f"[bold]callgate receipt[/bold]  {escape(receipt.task_id)}  ({escape(receipt.task_type)}, {escape(who)})"
    )


def _facts(receipt: Receipt) -> Iterator[tuple[str, str]]:
    yield "spent", _spent(receipt)
    yield "calls", _calls(receipt)
    if receipt.held_nano_usd:
        yield "held", f"{dollars(receipt.held_nano_usd)} by calls that are still open"
    if receipt.unknown_costs:
        yield "unknown", f"what {attempts(receipt.unknown_costs)} cost, which is in no sum"
    if receipt.p50_seconds is not None and receipt.p99_seconds is not None:
        yield "latency", f"p50 {receipt.p50_seconds:.3f} s, p99 {receipt.p99_seconds:.3f} s"
    if receipt.counted:
        yield "counted", f"{receipt.counted} attempts held a count of tokens, which is an estimate"
    if receipt.resent:
        yield (
            "resent",
            f"{receipt.resent} calls were tries of the client's own library, after others",
        )
    if receipt.limited:
        yield "limited", f"{receipt.limited} replies ended at an output limit that the gate set"
    if receipt.settings == "built in":
        yield "settings", "built in, as there is no callgate.toml here or above"


def _spent(receipt: Receipt) -> str:
    spent = dollars_of(receipt.spent_nano_usd, unknown_costs=receipt.unknown_costs)
    spent += " (partly estimated)" if receipt.estimated else ""
    if receipt.budget_nano_usd is None:
        return f"{spent}, no budget"
    share = receipt.spent_nano_usd / receipt.budget_nano_usd if receipt.budget_nano_usd else 1.0
    colour = "green" if share < 0.8 else "yellow" if share < 1 else "red"  # noqa: PLR2004 (shares)
    return f"[{colour}]{spent}[/{colour}] of {dollars(receipt.budget_nano_usd)} ({share:.1%})"


def _calls(receipt: Receipt) -> str:
    refused = sum(group.count for group in receipt.refused)
    failed = sum(group.count for group in receipt.failed)
    told = [f"{receipt.ok:,} ok"]
    if refused:
        told.append(f"[red]{refused:,} refused[/red]")
    if failed:
        told.append(f"[yellow]{failed:,} failed[/yellow]")
    if still_open := receipt.calls - receipt.ok - refused - failed:
        told.append(f"{still_open:,} still open")
    return f"{receipt.calls:,}: " + ", ".join(told)


def _models(models: tuple[ModelLine, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("model", overflow="fold")
    for column in ("calls", "attempts", "tokens in", "tokens out", "cost"):
        table.add_column(column, justify="right", no_wrap=True)
    for line in models:
        table.add_row(
            escape(line.model),
            f"{line.calls:,}",
            f"{line.attempts:,}",
            f"{line.input_tokens:,}",
            f"{line.output_tokens:,}",
            dollars_of(line.cost_nano_usd, unknown_costs=line.unknown_costs),
        )
    return table


def _tools(tools: tuple[ToolLine, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("tool", overflow="fold")
    for column in ("calls", "attempts", "cost", "outcome unknown"):
        table.add_column(column, justify="right", no_wrap=True)
    for line in tools:
        unknown = f"[red]{line.unknown_outcomes:,}[/red]" if line.unknown_outcomes else "0"
        cost = dollars_of(line.cost_nano_usd, unknown_costs=line.unknown_costs)
        table.add_row(escape(line.tool), f"{line.calls:,}", f"{line.attempts:,}", cost, unknown)
    return table


def _reason(word: str, group: Refused, colour: str) -> Text:
    return Text.from_markup(
        f"[{colour}]{group.count:,} {word}[/{colour}] {escape(group.code)}: {escape(group.message[:LONGEST_REASON])}"
    )
