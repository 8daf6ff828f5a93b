"""``callgate prices update``: a newer price list is compiled, compared, and taken if somebody says so."""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.markup import escape

from callgate.clock import SystemClock
from callgate.config import environment
from callgate.config.policies import Settings
from callgate.doors.cli.priced import candidates
from callgate.doors.cli.rates import per_million
from callgate.doors.cli.screen import Column, complain, print_json, print_table, tell
from callgate.doors.cli.settings import ConfigOption, JsonOption, settings_of
from callgate.errors import Misconfigured
from callgate.pricing.compile import Compiled, Flaw, compile_listing
from callgate.pricing.differences import Change, Difference, compare
from callgate.pricing.listing import PACKAGE, read_file, read_package
from callgate.pricing.snapshot import Snapshot, encode, flaws_of, shipped
from callgate.pricing.table import PriceTable, own_list

NOTHING_WRITTEN: Final = 1
"""Exit status where a list differs and was not taken."""

DIFFERENCES: Final = (
    Column("model"),
    Column("used as", rank=2),
    Column("holds for", rank=1),
    Column("bucket"),
    Column("old", right=True),
    Column("new", right=True),
)

MOST_UNUSED: Final = 20
"""Models that the settings do not name, and are shown all the same."""


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """A model that the settings name, and that has no price any more."""

    model: str
    route: str | None


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """A list beside the one that holds."""

    old: Snapshot
    new: Snapshot
    path: Path
    differences: Sequence[Difference]
    """Those of models that the settings name first."""
    used: dict[tuple[str, str], str]
    """By source and id in the list: how the settings name a model."""
    lost: Sequence[Lost]
    flaws: Sequence[Flaw]
    """What the list says that cannot be meant."""

    @property
    def suspicions(self) -> list[str]:
        """Everything that somebody must look at before the list is taken."""
        return [
            *(f"{lost.model} has no price any more" for lost in self.lost),
            *(f"{flaw.source}/{flaw.model}: {flaw.why}" for flaw in self.flaws),
            *(
                f"{difference.source}/{difference.model}: {why}"
                for difference in self.differences
                for why in difference.suspicions
            ),
        ]


def add_to(prices: typer.Typer) -> None:
    """Add the command."""
    prices.command()(update)


def update(
    source: Annotated[
        str,
        typer.Option(
            "--from", metavar="FILE", help=f"A data.json of {PACKAGE}; the package if left out."
        ),
    ] = PACKAGE,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    accept_suspicious: Annotated[
        bool, typer.Option("--accept-suspicious", help="Also what looks like a mistake.")
    ] = False,
    show_all: Annotated[bool, typer.Option("--all", help="Show every model that differs.")] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Compile a newer price list, show what differs, and take it if you say so.

    Gates that run take it with the next callgate reload.
    """
    found = _compare(settings_of(config, environment()), source)
    if not json:
        _print(found, show_all=show_all)
    why = _refusal(found, yes=yes, accepts=accept_suspicious, asks=not json)
    if why is None and found.differences:
        _write(found.path, encode(found.new))
    if json:
        print_json(_page(found, is_written=why is None and bool(found.differences)))
    if why is not None:
        complain(f"{why}; nothing is written")
        raise typer.Exit(NOTHING_WRITTEN)
    if found.differences:
        tell(f"callgate: {escape(str(found.path))} is written; callgate reload lets gates take it")


def _compare(settings: Settings, source: str) -> Update:
    path = settings.price_file
    if path is None:
        msg = "these settings have no place for a price list of your own"
        raise Misconfigured(msg)
    today = dt.datetime.fromtimestamp(SystemClock().now(), dt.UTC).date()
    listing = read_package() if source == PACKAGE else read_file(Path(source))
    compiled = compile_listing(listing, made_on=today)
    for flaw in flaws_of(compiled.snapshot):
        msg = f"{source} cannot be used: {flaw}"
        raise Misconfigured(msg)
    return _updated(settings, _old(settings), compiled, path)


def _old(settings: Settings) -> Snapshot:
    """Return the list that holds; of one that is broken, what there is to say of it."""
    try:
        return own_list(settings) or shipped()
    except Misconfigured as broken:
        complain(str(broken))
        return shipped()


def _updated(settings: Settings, old: Snapshot, compiled: Compiled, path: Path) -> Update:
    new = compiled.snapshot
    sources = {policy.price_source for policy in settings.providers.values()}
    used = _used(settings, old) | _used(settings, new)
    differences = compare(old, new, sources=sources)
    return Update(
        old=old,
        new=new,
        path=path,
        differences=sorted(differences, key=lambda one: (one.source, one.model) not in used),
        used=used,
        lost=list(_lost(settings, old, new)),
        flaws=[flaw for flaw in compiled.flaws if flaw.is_nonsense and flaw.source in sources],
    )


def _used(settings: Settings, snapshot: Snapshot) -> dict[tuple[str, str], str]:
    """Return which entries of a list the settings name, and how."""
    found: dict[tuple[str, str], str] = {}
    for route, candidate in candidates(settings):
        source = settings.providers[candidate.provider].price_source
        model = snapshot.find(source, candidate.model)
        if model is not None and candidate.name not in settings.prices:
            found.setdefault((source, model.id), route or candidate.name)
    return found


def _lost(settings: Settings, old: Snapshot, new: Snapshot) -> Iterator[Lost]:
    now = SystemClock().now()
    before, after = PriceTable(settings.prices, old), PriceTable(settings.prices, new)
    for route, candidate in candidates(settings):
        source = settings.providers[candidate.provider].price_source
        had, has = (table.find(source, candidate, at=now) for table in (before, after))
        if had is not None and has is None:
            yield Lost(model=candidate.name, route=route)


def _refusal(found: Update, *, yes: bool, accepts: bool, asks: bool) -> str | None:
    """Return why a list is not taken; None where it is, or where there is nothing to take."""
    if not found.differences:
        return None
    if found.suspicions and not accepts:
        return "something above looks like a mistake; --accept-suspicious takes it all the same"
    if yes:
        return None
    if not asks or not sys.stdin.isatty():
        return "there is nobody to ask; --yes takes it"
    return None if typer.confirm("Take these prices?", err=True) else "they are not taken"


def _write(path: Path, text: bytes) -> None:
    """Put a file into its place, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        msg = f"the price list {path} cannot be written: {error.strerror}"
        raise Misconfigured(msg) from error


def _print(found: Update, *, show_all: bool) -> None:
    tell(
        f"callgate: {escape(_named(found.new))} beside {escape(_named(found.old))}, in US dollars for a"
        " million tokens"
    )
    if not found.differences:
        tell("callgate: no price differs")
        return
    shown = [one for one in found.differences if (one.source, one.model) in found.used]
    others = found.differences[len(shown) :]
    shown += others if show_all else others[:MOST_UNUSED]
    print_table(DIFFERENCES, [line for one in shown for line in _lines(found, one)])
    left = len(found.differences) - len(shown)
    kinds = Counter(one.kind for one in found.differences)
    counted = ", ".join(f"{times:,} {kind}" for kind, times in sorted(kinds.items()))
    more = (
        f"; {left:,} that the settings do not name are not shown, --all shows them" if left else ""
    )
    tell(f"callgate: {counted}{more}")
    for why in found.suspicions:
        tell(f"[red]callgate:[/red] {escape(why)}")


def _named(snapshot: Snapshot) -> str:
    ships = ", which ships" if snapshot is shipped() else ""
    return f"{snapshot.source} of {snapshot.made_on}{ships}"


def _lines(found: Update, one: Difference) -> Iterator[tuple[str, ...]]:
    name, used = f"{one.source}/{one.model}", found.used.get((one.source, one.model), "")
    if one.other_names:
        yield (name, used, "", "(its names)", "", "")
    if one.kind == "removed" or not (one.changes or one.other_names):
        yield (name, used, "", f"({one.kind})", "", "")
        return
    for change in one.changes:
        bucket = change.bucket.replace("_", " ")
        numbers = (change.old_femto, change.new_femto)
        cells = ("none" if number is None else per_million(number) for number in numbers)
        yield (name, used, _holds_for(change), bucket, *cells)


def _holds_for(change: Change) -> str:
    above = change.above_input_tokens
    words = (
        None if change.since is None else f"from {change.since}",
        change.service_tier,
        f"over {above:,} in" if above else None,
    )
    return " ".join(filter(None, words))


def _page(found: Update, *, is_written: bool) -> dict[str, object]:
    return {
        "old": {"source": found.old.source, "made_on": found.old.made_on},
        "new": {"source": found.new.source, "made_on": found.new.made_on},
        "file": str(found.path),
        "differences": [
            {
                "source": one.source,
                "model": one.model,
                "kind": one.kind,
                "used_as": found.used.get((one.source, one.model)),
                "other_names": one.other_names,
                "changes": [_change_page(change) for change in one.changes],
                "suspicions": one.suspicions,
            }
            for one in found.differences
        ],
        "suspicions": found.suspicions,
        "written": is_written,
    }


def _change_page(change: Change) -> dict[str, object]:
    return {
        "since": change.since,
        "service_tier": change.service_tier,
        "above_input_tokens": change.above_input_tokens,
        "bucket": change.bucket,
        "old_femto_usd": change.old_femto,
        "new_femto_usd": change.new_femto,
    }
