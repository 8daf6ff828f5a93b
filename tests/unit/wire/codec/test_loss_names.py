"""The losses that settings may name are those that there are."""

from __future__ import annotations

from typing import get_args

from callgate.config.policies import FORMATS_OF_API, LossName
from callgate.wire.codec.losses import KINDS
from callgate.wire.formats import FORMATS


def test_settings_know_every_loss_by_its_name() -> None:
    assert sorted(get_args(LossName)) == sorted(KINDS)


def test_every_format_that_an_api_takes_is_one_that_the_gate_speaks() -> None:
    taken = {name for formats in FORMATS_OF_API.values() for name in formats}
    assert taken <= set(FORMATS)
