"""Rows into lines: one export of a provider out of the files that somebody downloaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from callgate.call import Usage
from callgate.observe.exports import Bucket, Export, Line, unreadable
from callgate.observe.exports.formats import (
    FORMATS,
    STANDARD_TIERS,
    TOKEN_COSTS,
    TOKEN_TYPES,
    Format,
    recognise,
)
from callgate.observe.exports.rows import SHOWN, File, Row, read_rows
from callgate.observe.exports.values import day_of, days_between, femto, instant, line_item, whole

MOST_DAYS: Final = 400
"""Days that are compared at once."""

CURRENCY: Final = "usd"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What one row says."""

    format: Format
    day: str
    line: Line | None
    """None where it only says that the day is told."""


def read_export(files: Iterable[tuple[str, bytes]]) -> Export:
    """Return what some files of one provider say together.

    Args:
        files: The name and the bytes of each; usage and costs may be in files of their own.

    Raises:
        Misconfigured: One is of no known format, is broken, or holds what cannot be meant.
    """
    read = [read_rows(data, name=name) for name, data in files]
    warnings: list[str] = []
    told = [each for file in read for each in _told(file, warnings)]
    if not told:
        raise unreadable(", ".join(file.name for file in read), "it has a header and no rows")
    apis = {each.format.api for each in told}
    if len(apis) > 1:
        formats = " and ".join(sorted({each.format.name for each in told}))
        raise unreadable(", ".join(file.name for file in read), f"{formats} are of two providers")
    lines = tuple(each.line for each in told if each.line is not None)
    warnings += [
        f"{file.name} is not whole: its last page has has_more, so fetch the pages after it too"
        for file in read
        if not file.is_whole
    ]
    return Export(
        api=told[0].format.api,
        formats=tuple(dict.fromkeys(each.format.name for each in told)),
        lines=_with_quantities(lines),
        days=_days({each.day for each in told}),
        is_whole=all(file.is_whole for file in read),
        warnings=tuple(warnings),
    )


def _told(file: File, warnings: list[str]) -> Iterator[Told]:
    """Yield what a file says; a row that is there twice is said once."""
    seen: dict[frozenset[tuple[str, object]], str] = {}
    for row in file.rows:
        told = _row(row)
        if told.line is not None:
            before = seen.setdefault(frozenset(row.fields.items()), row.place)
            if before != row.place:
                warnings.append(f"{row.place} is the same as {before}, and counts once")
                continue
        yield told


def _row(row: Row) -> Told:
    known = recognise(frozenset(row.fields))
    if known is None:
        raise _unknown(row)
    day = _day(row, known)
    if not _says_more(row, known):
        return Told(format=known, day=day, line=None)
    return Told(format=known, day=day, line=_line(row, known, day))


def _unknown(row: Row) -> Exception:
    fields = ", ".join(list(row.fields)[:SHOWN]) or "none"
    known = "; ".join(f"{each.name} ({', '.join(sorted(each.recognised_by))})" for each in FORMATS)
    return unreadable(
        row.place,
        f"its format is not known. Its fields are: {fields}. Formats that are known: {known}",
    )


def _day(row: Row, known: Format) -> str:
    starts = instant(row.fields[known.starts], row.place, known.starts)
    told = None if known.ends is None else row.fields.get(known.ends)
    ends = None if told is None or known.ends is None else instant(told, row.place, known.ends)
    return day_of(starts, ends, row.place)


def _says_more(row: Row, known: Format) -> bool:
    """Whether a row has a count or an amount; days without any are told as bare times."""
    fields = (known.requests, known.all_input, known.amount, *known.buckets.values())
    return any(field is not None and row.fields.get(field) is not None for field in fields)


def _line(row: Row, known: Format, day: str) -> Line:
    tier = _text(row, known.service_tier)
    line = Line(
        place=row.place,
        day=day,
        model=_text(row, known.model),
        requests=_requests(row, known),
        usage=None if known.amount is not None else _usage(row, known),
        service_tier=None if tier is None or tier in STANDARD_TIERS else tier,
        batch=tier == "batch" or (_text(row, known.batch) or "").lower() == "true",
        owner=" of ".join(filter(None, (_text(row, field) for field in known.owners))) or None,
    )
    return line if known.amount is None else _with_cost(line, row, known, amount=known.amount)


def _text(row: Row, field: str | None) -> str | None:
    value = None if field is None else row.fields.get(field)
    return None if value is None else str(value).strip() or None


def _requests(row: Row, known: Format) -> int | None:
    value = None if known.requests is None else row.fields.get(known.requests)
    return None if value is None else whole(value, row.place, known.requests or "")


def _usage(row: Row, known: Format) -> Usage:
    counts = {
        bucket: whole(row.fields.get(field), row.place, field)
        for bucket, field in known.buckets.items()
    }
    if known.all_input is not None:
        every = whole(row.fields.get(known.all_input), row.place, known.all_input)
        cached = counts.get("cache_read_tokens", 0) + counts.get("cache_write_tokens", 0)
        if cached > every:
            raise unreadable(row.place, f"{cached:,} of {every:,} input tokens are cached")
        counts["input_tokens"] = every - cached
    return Usage(**counts)


def _with_cost(line: Line, row: Row, known: Format, *, amount: str) -> Line:
    _refuse_other_money(row, known)
    priced = msgspec.structs.replace(
        line,
        cost_femto=femto(row.fields.get(amount), row.place, amount, is_cents=known.is_cents),
        list_femto=_list_femto(row, known),
        rounded=known.rounded,
    )
    item = _text(row, known.line_item)
    if item is not None:
        return _of_item(priced, row, known, item)
    cost_type = _text(row, known.cost_type)
    if cost_type is not None and cost_type not in TOKEN_COSTS:
        return msgspec.structs.replace(priced, model=None, fee=cost_type)
    token_type = _text(row, known.bucket)
    if token_type is not None and token_type not in TOKEN_TYPES:
        return msgspec.structs.replace(priced, fee=token_type)
    return msgspec.structs.replace(priced, bucket=TOKEN_TYPES.get(token_type or ""))


def _refuse_other_money(row: Row, known: Format) -> None:
    currency = _text(row, known.currency)
    if known.currency is not None and (currency or "").lower() != CURRENCY:
        told = f"its currency is {currency or 'not told'}, and the ledger keeps US dollars"
        raise unreadable(row.place, f"{told}; export the costs in USD")


def _list_femto(row: Row, known: Format) -> int | None:
    value = None if known.list_amount is None else row.fields.get(known.list_amount)
    if value is None or known.list_amount is None:
        return None
    return femto(value, row.place, known.list_amount, is_cents=known.is_cents)


def _of_item(line: Line, row: Row, known: Format, item: str) -> Line:
    """Return a line of costs with what its line item says."""
    found = line_item(item)
    if found is None:
        return msgspec.structs.replace(line, model=None, fee=item)
    model, bucket, tier = found
    quantity = None if known.quantity is None else row.fields.get(known.quantity)
    return msgspec.structs.replace(
        line,
        model=model,
        bucket=bucket,
        quantity_tokens=None if quantity is None else whole(quantity, row.place, "quantity"),
        service_tier=tier,
    )


def _with_quantities(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Let costs tell the tokens that they are for, where no line of the export does."""
    of_tokens = [line for line in lines if line.bucket is not None]
    has_usage = any(line.usage is not None for line in lines)
    if has_usage or not of_tokens or any(line.quantity_tokens is None for line in of_tokens):
        return tuple(lines)
    return tuple(
        line
        if line.bucket is None
        else msgspec.structs.replace(line, usage=_only(line.bucket, line.quantity_tokens or 0))
        for line in lines
    )


def _only(bucket: Bucket, tokens: int) -> Usage:
    return Usage(**{bucket: tokens})


def _days(told: set[str]) -> tuple[str, ...]:
    days = days_between(min(told), max(told))
    if len(days) > MOST_DAYS:
        place = f"{days[0]} to {days[-1]}"
        raise unreadable(place, f"more than {MOST_DAYS} days; compare a year at a time")
    return days
