"""The two sides of a comparison, by day and model: what the ledger has, and what the provider says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from callgate.call import Usage
from callgate.money import from_femto
from callgate.observe.exports import Bucket, Export, Line
from callgate.observe.exports.values import DAY_SECONDS, days_between, family, moved, starts_at
from callgate.store import Booked, BookedKind, Store
from callgate.store.calendar import Window

NEAR_SECONDS: Final = 600.0
"""How near to midnight an attempt may be counted on the other day: a provider counts when it is
done, the ledger when an attempt leaves."""


class Amounts(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared, and differences of it, which may be negative."""

    requests: int = 0
    input_tokens: int = 0
    """Neither read from a cache nor written to one."""
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    """Of every lifetime."""
    output_tokens: int = 0
    """With reasoning."""
    cost_nano: int = 0

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(**{name: getattr(self, name) + getattr(other, name) for name in NAMES})

    def __sub__(self, other: Amounts) -> Amounts:
        return Amounts(**{name: getattr(self, name) - getattr(other, name) for name in NAMES})

    def of(self, names: Iterable[str]) -> Amounts:
        """Return these fields, and nothing else."""
        return Amounts(**{name: getattr(self, name) for name in names})

    @property
    def tokens(self) -> int:
        """All tokens."""
        return sum(getattr(self, name) for name in TOKENS)


NAMES: Final = Amounts.__struct_fields__
TOKENS: Final = tuple(name for name in NAMES if name.endswith("_tokens"))
NOTHING: Final = Amounts()


class LedgerSide(msgspec.Struct, kw_only=True):
    """What the ledger has of one day and model."""

    kinds: dict[BookedKind, Amounts] = msgspec.field(default_factory=dict[BookedKind, Amounts])
    """By how the attempts stand; those that run have no cost yet."""
    reserved_nano: int = 0
    """What is held for those that run."""
    names: set[str] = msgspec.field(default_factory=set[str])
    """What the models call themselves here."""
    asked: set[tuple[str, str]] = msgspec.field(default_factory=set[tuple[str, str]])
    """Providers and models that were asked."""
    first: Amounts = NOTHING
    """What left in the day's first minutes, of all that is in the sum."""
    last: Amounts = NOTHING

    def of(self, kind: BookedKind) -> Amounts:
        """Return what the attempts of a kind add up to."""
        return self.kinds.get(kind, NOTHING)

    @property
    def is_anything(self) -> bool:
        """Whether there is more than attempts that were not served."""
        return any(kind != "free" for kind in self.kinds)

    @property
    def amounts(self) -> Amounts:
        """What is held against the export: all that was served."""
        return self.of("known") + self.of("estimated") + self.of("unknown")


class ExportSide(msgspec.Struct, kw_only=True):
    """What the export says of one day and model."""

    amounts: Amounts = NOTHING
    usage: Usage = Usage()
    list_femto: int = 0
    has_list: bool = False
    """Whether it tells what the cost is before discounts."""
    femto: int = 0
    rounded: int = 0
    """How many costs were rounded to the cent."""
    by_bucket: dict[Bucket, int] = msgspec.field(default_factory=dict[Bucket, int])
    """Costs in femto-dollars, where they are told apart."""
    by_tier: dict[str, Usage] = msgspec.field(default_factory=dict[str, Usage])
    """Tokens at a service tier that is not the standard one."""
    batch: Amounts = NOTHING
    by_owner: dict[str, Amounts] = msgspec.field(default_factory=dict[str, Amounts])
    fees: set[str] = msgspec.field(default_factory=set[str])
    names: set[str] = msgspec.field(default_factory=set[str])

    def add(self, line: Line) -> None:
        """Add a line."""
        amounts = _amounts_of(line)
        self.amounts += amounts
        self.usage = plus(self.usage, line.usage or Usage())
        self.femto += line.cost_femto or 0
        self.rounded += line.rounded
        if line.list_femto is not None:
            self.list_femto += line.list_femto
            self.has_list = True
        if line.bucket is not None:
            self.by_bucket[line.bucket] = self.by_bucket.get(line.bucket, 0) + (
                line.cost_femto or 0
            )
        if line.batch:
            self.batch += amounts
        elif line.service_tier is not None and line.usage is not None:
            at = self.by_tier.get(line.service_tier, Usage())
            self.by_tier[line.service_tier] = plus(at, line.usage)
        if line.owner is not None:
            self.by_owner[line.owner] = self.by_owner.get(line.owner, NOTHING) + amounts
        self.fees |= {line.fee} if line.fee else set()
        self.names |= {line.model} if line.model else set()

    def close(self) -> None:
        """Round the cost, once, when every line is added."""
        self.amounts = msgspec.structs.replace(self.amounts, cost_nano=from_femto(self.femto).nano)


def plus(one: Usage, other: Usage) -> Usage:
    """Return the sum of two usages."""
    fields = Usage.__struct_fields__
    return Usage(**{name: getattr(one, name) + getattr(other, name) for name in fields})


def amounts_of(usage: Usage, *, requests: int = 0, cost_nano: int = 0) -> Amounts:
    """Return tokens as they are compared: exports tell neither lifetimes nor reasoning."""
    return Amounts(
        requests=requests,
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens + usage.cache_write_long_tokens,
        output_tokens=usage.total_output_tokens,
        cost_nano=cost_nano,
    )


def _amounts_of(line: Line) -> Amounts:
    cost = 0 if line.cost_femto is None else from_femto(line.cost_femto).nano
    return amounts_of(line.usage or Usage(), requests=line.requests or 0, cost_nano=cost)


Key = tuple[str, str | None]
"""A day, and a model as the export names it; None for all of them together, and for fees."""


def export_sides(export: Export, *, by_model: bool) -> dict[Key, ExportSide]:
    """Return the lines of an export, added up."""
    snapshots = _snapshots(export)
    sides: dict[Key, ExportSide] = {}
    for line in export.lines:
        name = snapshots[line.day][line.model] if by_model and line.model else None
        sides.setdefault((line.day, name), ExportSide()).add(line)
    for side in sides.values():
        side.close()
    return sides


def _snapshots(export: Export) -> dict[str, dict[str, str]]:
    """Return, by day, what each name of a model in an export stands for."""
    names: dict[str, set[str]] = {}
    for line in export.lines:
        names.setdefault(line.day, set()).update({line.model} if line.model else ())
    return {day: {name: _snapshot(name, told) for name in told} for day, told in names.items()}


def _snapshot(name: str, told: set[str]) -> str:
    """Return the one snapshot that a name without a date stands for, if there is just one.

    Costs of the Claude Console have ``Claude Haiku 4.5`` where its usage has the model's id.
    """
    if " " not in name and family(name) != name:
        return name
    alike = {other for other in told if family(other) == family(name) and " " not in other}
    dated = {other for other in alike if family(other) != other}
    return min(dated or alike) if len(dated or alike) == 1 else name


def ledger_sides(
    store: Store, export: Export, *, providers: Sequence[str], by_model: bool
) -> dict[Key, LedgerSide]:
    """Return what the ledger has of the export's days, and of the two days around them.

    Args:
        store: The ledger.
        export: Whose days and names of models are asked for.
        providers: Whose attempts count.
        by_model: Whether the export tells models apart.
    """
    days = days_between(moved(export.days[0], -1), moved(export.days[-1], 1))
    windows = [window for day in days for window in _windows(day)]
    names = {day: set(each.values()) for day, each in _snapshots(export).items()}
    every = {name for of_day in names.values() for name in of_day}
    sides: dict[Key, LedgerSide] = {}
    for row in store.booked(windows, providers=providers):
        day, _, part = row.window.partition(" ")
        name = _name_in(row, names.get(day) or every) if by_model else None
        _add(sides.setdefault((day, name), LedgerSide()), row, part)
    return sides


def _windows(day: str) -> Iterator[Window]:
    """Yield a day in three parts, so that what left near midnight is told apart."""
    start = starts_at(day)
    edges = (start, start + NEAR_SECONDS, start + DAY_SECONDS - NEAR_SECONDS, start + DAY_SECONDS)
    for n, part in enumerate(("first", "middle", "last")):
        name = f"{day} {part}"
        yield Window(span="day", name=name, key=name, starts_at=edges[n], ends_at=edges[n + 1])


def _name_in(row: Booked, names: set[str]) -> str:
    """Return what the export calls the model: as it answered, as it was asked, or a relative."""
    told = [name for name in (row.answered_by, row.model) if name is not None]
    for name in told:
        if name in names:
            return name
    for name in told:
        alike = [other for other in names if family(other) == family(name)]
        if len(alike) == 1:
            return alike[0]
    return told[0]


def _add(side: LedgerSide, row: Booked, part: str) -> None:
    usage, cost = row.usage, row.cost.nano
    amounts = amounts_of(usage, requests=row.attempts, cost_nano=cost)
    side.kinds[row.kind] = side.of(row.kind) + amounts
    side.names.add(row.answered_by or row.model)
    side.asked.add((row.provider, row.model))
    if row.kind == "running":
        side.reserved_nano += row.reserved.nano
    elif row.kind != "free" and part == "first":
        side.first += amounts
    elif row.kind != "free" and part == "last":
        side.last += amounts
