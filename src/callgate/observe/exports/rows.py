"""The files of exports as rows: CSV as a spreadsheet left it, JSON as an API answered, page by page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, NoReturn, cast

import msgspec

from callgate.observe.exports import unreadable

MOST_BYTES: Final = 50_000_000
"""A larger file is no export by the day; minutes of a month for ten keys are less."""

BYTE_ORDER_MARKS: Final = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)

DELIMITERS: Final = ",;\t"
"""What may stand between columns; spreadsheets of some countries write semicolons."""

SHOWN: Final = 12
"""How many fields of a file that nobody knows are named."""

Value = str | int | Decimal | bool | None


class Row(msgspec.Struct, frozen=True):
    """One row of a CSV file, or one result of a page of JSON with the times of its bucket."""

    place: str
    fields: Mapping[str, Value]


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file as rows."""

    name: str
    rows: tuple[Row, ...]
    is_whole: bool = True
    """False where its last page says that there are more."""


def read_rows(data: bytes, *, name: str) -> File:
    """Return a file as rows, without knowing what they mean.

    Args:
        data: The file.
        name: What to call it in messages.

    Raises:
        Misconfigured: It is empty, broken, or cut off; the message says where.
    """
    if len(data) > MOST_BYTES:
        raise unreadable(
            name, f"it has more than {MOST_BYTES // 10**6} MB; export days, not minutes"
        )
    text = _decoded(data, name)
    if not text.strip():
        raise unreadable(name, "it is empty")
    if text.lstrip()[0] in "{[":
        return _read_json(text, name)
    return File(name=name, rows=tuple(_csv_rows(text, name)))


def _decoded(data: bytes, name: str) -> str:
    encoding = next((each for mark, each in BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        place = _line_of(name, data[: error.start].count(b"\n"))
        raise unreadable(place, "it is not text in UTF-8; save it as CSV UTF-8") from error
    if "\0" in text:
        raise unreadable(name, "it is no text; export CSV or JSON")
    return text


def _line_of(name: str, before: int) -> str:
    """Return a place: the line after so many others."""
    return f"{name} line {before + 1}"


def _csv_rows(text: str, name: str) -> Iterator[Row]:
    head = text.partition("\n")[0]
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=max(DELIMITERS, key=head.count), strict=True
    )
    columns: list[str] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            place = f"{name} line {reader.line_num}"
            if columns:
                yield Row(place, _cells(columns, cells, place))
            else:
                columns = _header(cells, place)
    except csv.Error as error:
        place = _line_of(name, reader.line_num - 1)
        raise unreadable(place, f"it is cut off or broken: {error}") from error


def _header(cells: list[str], place: str) -> list[str]:
    columns = [cell.strip().lower() for cell in cells]
    twice = {column for column in columns if columns.count(column) > 1 and column}
    if twice:
        raise unreadable(place, f"two columns have the name {min(twice)}")
    return columns


def _cells(columns: list[str], cells: list[str], place: str) -> dict[str, Value]:
    if len(cells) != len(columns):
        told = f"it has {len(cells)} columns where the header has {len(columns)}"
        raise unreadable(place, f"{told}; the file is cut off or broken")
    return {column: cell.strip() or None for column, cell in zip(columns, cells, strict=True)}


def _read_json(text: str, name: str) -> File:
    rows: list[Row] = []
    is_whole = True
    for n, page in enumerate(_pages(text, name), 1):
        place = f"{name} page {n}"
        known = cast("dict[str, Any]", page) if isinstance(page, dict) else {}
        data: object = known.get("data")
        if not isinstance(data, list):
            found = ", ".join(list(known)[:SHOWN]) or "no object"
            raise unreadable(
                place, f"it is no page of a usage or costs API, which has data: {found}"
            )
        is_whole = not known.get("has_more")
        rows += _results(cast("list[object]", data), place)
    return File(name=name, rows=tuple(rows), is_whole=is_whole)


def _pages(text: str, name: str) -> Iterator[object]:
    """Yield the pages: one, a list of them, or one after the other."""
    decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_number)
    at = 0
    try:
        while rest := text[at:].lstrip():
            page, used = decoder.raw_decode(rest)
            at = len(text) - len(rest) + used
            if isinstance(page, list):
                yield from cast("list[object]", page)
            else:
                yield page
    except (ValueError, RecursionError) as error:
        place = _line_of(name, text.count("\n", 0, at + getattr(error, "pos", 0)))
        raise unreadable(place, f"it is not whole JSON: {error}") from error


def _no_number(name: str) -> NoReturn:
    msg = f"{name} is no number"
    raise ValueError(msg)


def _results(buckets: Iterable[object], place: str) -> Iterator[Row]:
    for n, bucket in enumerate(buckets, 1):
        where = f"{place} bucket {n}"
        if not isinstance(bucket, dict):
            raise unreadable(where, "it is no bucket of time")
        times = cast("dict[str, Any]", bucket)
        results = times.get("results", times.get("result"))
        if not isinstance(results, list):
            yield Row(where, dict(_flat(times)))
            continue
        shared = {key: value for key, value in times.items() if not isinstance(value, list)}
        if not results:
            yield Row(where, dict(_flat(shared)))
        for m, result in enumerate(cast("list[object]", results), 1):
            at = f"{where} result {m}"
            if not isinstance(result, dict):
                raise unreadable(at, "it is no result")
            yield Row(at, dict(_flat({**shared, **cast("dict[str, Any]", result)})))


def _flat(fields: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Value]]:
    for key, value in fields.items():
        if isinstance(value, dict):
            yield from _flat(cast("dict[str, Any]", value), f"{before}{key}.")
        elif not isinstance(value, list):
            yield before + key, value
