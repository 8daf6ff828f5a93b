"""A price list of one's own is looked through whole, and refused with the reason."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.errors import Misconfigured
from callgate.pricing.snapshot import (
    Period,
    Snapshot,
    SnapshotModel,
    encode,
    matches,
    read_snapshot,
    shipped,
)

NUMBERS = (1, 2, 3, 4, 5, 6)


def page(**changes: Any) -> dict[str, Any]:
    """A list with one model, some of whose parts are something else."""
    model = {"id": "m", "match": {"equals": "m"}, "periods": [{"rates": NUMBERS}], **changes}
    return {"format": 2, "source": "s", "made_on": "2026-11-25", "sources": {"openai": [model]}}


def read(path: Path, written: object) -> Snapshot:
    file = path / "prices.json"
    file.write_bytes(written if isinstance(written, bytes) else msgspec.json.encode(written))
    return read_snapshot(file)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, encode(shipped())) == shipped()
    model = SnapshotModel(id="m", match={"equals": "m"}, periods=(Period(rates=NUMBERS),))
    assert read(tmp_path, page()).sources == {"openai": (model,)}


def periods(*starts: str | None) -> dict[str, Any]:
    return page(periods=[{"since": start, "rates": NUMBERS} for start in starts])


HUGE = 10**15 + 1
BROKEN = {
    "JSON is malformed": b"{]",
    "Input data was truncated": encode(shipped())[:1000],
    "it has the format 3": {**page(), "format": 3},
    "openai/m: its names are not told": page(match={"equals": "m", "or": []}),
    "'likes' recognises no names": page(match={"or": [{"likes": "m"}]}),
    "'(' is no regular expression": page(match={"regex": "("}),
    "it has no first price, or several": page(periods=[]),
    "first price, or several": periods("2026-01-01"),
    "or several": periods(None, None),
    "not in the order of their days": periods(None, "2026-02-01", "2026-01-01"),
    "a price is below $0": page(periods=[{"rates": [-1, 2, 3, 4, 5, 6]}]),
    "or over $1 a token": page(periods=[{"rates": NUMBERS, "tiers": [[5, [HUGE] * 6]]}]),
    "its thresholds do not rise": page(
        periods=[{"rates": NUMBERS, "service_tiers": {"flex": {"rates": NUMBERS, "tiers": [[5, NUMBERS], [5, NUMBERS]]}}}]
    ),
}  # fmt: skip


@pytest.mark.parametrize("why", BROKEN)
def test_a_broken_list_is_refused_with_the_reason_and_the_remedy(tmp_path: Path, why: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        read(tmp_path, BROKEN[why])
    assert why in str(refused.value)
    assert "callgate prices update writes them again" in str(refused.value)


def test_a_list_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be read: Is a directory"):
        read_snapshot(tmp_path)


@given(st.text(max_size=8), st.text(max_size=4))
def test_rules_recognise_names_alone_and_together(name: str, text: str) -> None:
    alone = [{"equals": text}, {"starts_with": text}, {"ends_with": text}, {"contains": text}]
    found = [name == text, name.startswith(text), name.endswith(text), text in name]
    assert [matches(name, rule) for rule in alone] == found
    assert matches(name, {"or": alone}) is any(found)
    assert matches(name, {"and": alone}) is all(found)


def test_the_first_entry_that_matches_holds() -> None:
    snapshot = msgspec.convert(
        {
            "source": "s",
            "made_on": date(2026, 11, 25),
            "sources": {
                "openai": [
                    {"id": "special", "match": {"equals": "m-1"}, "periods": []},
                    {"id": "rest", "match": {"regex": "^m"}, "periods": []},
                ]
            },
        },
        type=Snapshot,
    )
    found = [snapshot.find("openai", name) for name in ("M-1", "m-2", "x")]
    assert [model and model.id for model in found] == ["special", "rest", None]
    assert snapshot.find("nobody", "m-1") is None
