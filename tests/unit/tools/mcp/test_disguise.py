"""Credentials in what a server says."""

from __future__ import annotations

import msgspec
import pytest

from callgate.redact import Secret
from callgate.tools.mcp.disguise import Disguise


@pytest.mark.parametrize("value", ["plainvalue", 'with"quote', "back\\slash", "trailing/slash"])
def test_a_credential_is_found_in_json_however_it_is_written(value: str) -> None:
    said = msgspec.json.encode({"text": f"my key is {value}!"})
    assert msgspec.json.decode(Disguise([Secret(value)]).json(said)) == {"text": "my key is ***!"}


def test_one_that_is_part_of_another_leaves_nothing_of_it() -> None:
    assert Disguise([Secret("abcdef"), Secret("abcdefghij")]).text("abcdefghij") == "***"


def test_what_only_looks_like_a_credential_is_hidden_in_a_log_too() -> None:
    assert Disguise([]).text("key=sk-0123456789abcdef") == "key=***"


def test_text_without_any_stays_the_same_object() -> None:
    said = b'{"a":1}'
    assert Disguise([Secret("something")]).json(said) is said
