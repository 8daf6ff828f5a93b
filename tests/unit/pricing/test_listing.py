"""A published list is read as it is written, or refused with the reason."""

from __future__ import annotations

import importlib
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from callgate.errors import Misconfigured
from callgate.pricing.compile import compile_listing
from callgate.pricing.listing import LARGEST_FILE, Tiered, plain, read_file, read_package
from callgate.pricing.snapshot import Snapshot

TODAY = date(2026, 11, 25)
LIST = b"""[{"id": "openai", "name": "OpenAI", "extractors": [], "models": [{
    "id": "m", "match": {"starts_with": "m"}, "prices": {"input_mtok": 0.1,
    "output_mtok": {"base": 1e-7, "tiers": [{"start": 9, "price": 0.30000000000000004}]}}}]}]"""


def written(path: Path, text: bytes) -> Path:
    file = path / "data.json"
    file.write_bytes(text)
    return file


def whole(snapshot: Snapshot) -> dict[str, object]:
    return msgspec.structs.asdict(msgspec.structs.replace(snapshot, source=""))


def test_numbers_keep_every_digit_that_is_written(tmp_path: Path) -> None:
    (provider,) = read_file(written(tmp_path, LIST)).providers
    prices = provider.models[0].prices
    assert isinstance(prices, dict)
    output = prices["output_mtok"]
    assert isinstance(output, Tiered)
    assert (prices["input_mtok"], output.base) == (Decimal("0.1"), Decimal("0.0000001"))
    assert output.tiers[0].price == Decimal("0.30000000000000004")


def test_both_forms_of_the_file_are_read(tmp_path: Path) -> None:
    plain_form = read_file(written(tmp_path, LIST))
    newer = read_file(written(tmp_path, b'{"units": {}, "providers": ' + LIST + b"}"))
    assert newer.providers == plain_form.providers


def test_a_file_is_called_after_what_is_in_it(tmp_path: Path) -> None:
    one, two = (read_file(written(tmp_path, LIST + more)).source for more in (b"", b" "))
    assert one.startswith("genai-prices sha256:")
    assert one != two


def test_the_package_and_its_file_are_one_list(tmp_path: Path) -> None:
    from genai_prices.data import providers  # noqa: PLC0415 (a second of work, for one test)

    encoder = msgspec.json.Encoder(decimal_format="number")
    file = read_file(written(tmp_path, encoder.encode(plain(providers))))
    one, two = (compile_listing(each, made_on=TODAY) for each in (file, read_package()))
    assert whole(one.snapshot) == whole(two.snapshot)
    assert one.flaws == two.flaws


BROKEN = {
    "no JSON": b"{",
    "no list of providers": b'{"prices": []}',
    "Invalid decimal": LIST.replace(b"0.1,", b'"3 EUR",'),
    "JSON is malformed": LIST.replace(b"0.1,", b"NaN,"),
    "Expected `decimal": LIST.replace(b"0.1,", b"true,"),
}


@pytest.mark.parametrize("why", BROKEN)
def test_a_file_that_is_no_list_is_refused_whole(tmp_path: Path, why: str) -> None:
    with pytest.raises(Misconfigured, match="is no price list of genai-prices") as refused:
        read_file(written(tmp_path, BROKEN[why]))
    assert why in str(refused.value) or why.startswith("no ")


def test_a_file_without_end_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "huge.json"
    with file.open("wb") as huge:
        huge.truncate(LARGEST_FILE + 1)
    with pytest.raises(Misconfigured, match="is no price list"):
        read_file(file)
    with pytest.raises(Misconfigured, match="cannot be read: No such file"):
        read_file(tmp_path / "missing.json")


def test_without_the_package_it_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    with pytest.raises(Misconfigured, match=r"pip install --upgrade 'callgate\[prices\]'"):
        read_package()


def test_a_package_of_another_form_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = importlib.import_module("genai_prices.data")
    monkeypatch.setattr(data, "providers", [{"id": "openai", "models": 7}])
    with pytest.raises(Misconfigured, match="looks different"):
        read_package()
