"""``callgate spend bounds``: what was held against what it did cost, by task type and model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import msgspec
import typer
from rich.markup import escape

from callgate.clock import rfc3339
from callgate.doors.cli.amounts import period
from callgate.doors.cli.books import open_books
from callgate.doors.cli.loop import run_loop
from callgate.doors.cli.screen import Column, dollars, moment, print_json, print_table, tell
from callgate.doors.cli.settings import ConfigOption, JsonOption
from callgate.observe.forecast import DAY_SECONDS
from callgate.observe.loose import Loose, loose
from callgate.store import Bounded

LOOKED_BACK_DAYS: Final = 30

COLUMNS: Final = (
    Column("type"),
    Column("model"),
    Column("attempts", right=True, rank=4),
    Column("held", right=True, rank=2),
    Column("cost", right=True, rank=1),
    Column("share", right=True),
    Column("tokens a byte", right=True, rank=6),
    Column("most in", right=True, rank=5),
    Column("p50 out", right=True, rank=9),
    Column("p95 out", right=True, rank=8),
    Column("most out", right=True),
    Column("out limit", right=True),
    Column("counted", right=True, rank=7),
    Column("above", right=True, rank=3),
)


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """All that is shown."""

    since: float
    until: float
    zone: ZoneInfo
    rows: Sequence[Bounded]
    loose: Sequence[Loose]


def show_bounds(
    *,
    since: Annotated[
        str | None, typer.Option(metavar="D", help="A day, a time or 7d; 30 days ago.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="D", help="The same; a day belongs to it. Now.")
    ] = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show how much of what was held for calls they did cost, and which limits could be lower."""
    fit = run_loop(_fit(since, until, config))
    if json:
        print_json(_page(fit))
    elif fit.rows:
        print_table(COLUMNS, map(_line, fit.rows))
        for each in fit.loose:
            tell(f"callgate: {_hint(each)}")
    else:
        tell(f"callgate: nothing was held under a budget since {moment(fit.since, fit.zone)}")


async def _fit(since: str | None, until: str | None, config: Path | None) -> Fit:
    async with open_books(config) as (settings, store):
        now, zone = store.clock.now(), ZoneInfo(settings.gate.timezone)
        lately = now - LOOKED_BACK_DAYS * DAY_SECONDS
        first, last = period(since, until, now=now, zone=zone, otherwise=lately)
        rows = store.bounded(since=first, until=last)
        lower = list(loose(rows, settings.tasks))
        return Fit(since=first, until=last, zone=zone, rows=rows, loose=lower)


def _line(row: Bounded) -> tuple[str, ...]:
    return (
        row.task_type,
        row.model,
        f"{row.attempts:,}",
        dollars(row.reserved.nano),
        dollars(row.cost.nano),
        f"{_share(row):.1%}",
        f"{_tokens_a_byte(row):.2f}",
        f"{row.most_input_tokens:,}",
        f"{row.p50_output_tokens:,}",
        f"{row.p95_output_tokens:,}",
        f"{row.most_output_tokens:,}",
        f"{row.output_tokens_limit:,}",
        f"{row.counted:,}" if row.counted else "",
        f"{row.passed:,}" if row.passed else "",
    )


def _hint(each: Loose) -> str:
    what = "reply" if each.setting == "max_output_tokens" else "input"
    return (
        f"tasks.{escape(each.task_type)}: {each.setting} is {each.tokens:,}, and no {what} of "
        f"{each.attempts:,} had more than {each.most_tokens:,} tokens: "
        f"{each.setting} = {each.enough_tokens} would hold less"
    )


def _share(row: Bounded) -> float:
    return row.cost.nano / row.reserved.nano


def _tokens_a_byte(row: Bounded) -> float:
    return row.input_tokens / row.request_bytes


def _page(fit: Fit) -> dict[str, object]:
    return {
        "since_at": rfc3339(fit.since),
        "until_at": rfc3339(fit.until),
        "rows": [_row_page(row) for row in fit.rows],
        "hints": [_hint_page(each) for each in fit.loose],
    }


def _row_page(row: Bounded) -> dict[str, object]:
    return {
        "task_type": row.task_type,
        "model": row.model,
        "attempts": row.attempts,
        "counted": row.counted,
        "above": row.passed,
        "held_nano_usd": row.reserved.nano,
        "cost_nano_usd": row.cost.nano,
        "request_bytes": row.request_bytes,
        "input_tokens": row.input_tokens,
        "max_input_tokens": row.most_input_tokens,
        "p50_output_tokens": row.p50_output_tokens,
        "p95_output_tokens": row.p95_output_tokens,
        "max_output_tokens": row.most_output_tokens,
        "output_limit_tokens": row.output_tokens_limit,
    }


def _hint_page(each: Loose) -> dict[str, object]:
    return {
        "task_type": each.task_type,
        "setting": each.setting,
        "tokens": each.tokens,
        "max_tokens": each.most_tokens,
        "enough_tokens": each.enough_tokens,
        "attempts": each.attempts,
    }
