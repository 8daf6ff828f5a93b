"""Ids of calls that a target refuses are written so that it takes them, and read back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.wire.codec.tool_ids import ALPHABETS, ToolIds, hold, unhold

ANTHROPIC, MISTRAL = ALPHABETS["anthropic"], ALPHABETS["mistral"]
ANY = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
NEAR = st.sampled_from(["a", "cg-YQ", "cg-Y2ctWVE", "cg-", "functions.x:0", "AAAAAAAAA"])


@pytest.mark.parametrize("name", ALPHABETS)
@given(ids=st.lists(ANY | NEAR, min_size=1, max_size=8, unique=True))
def test_every_id_fits_and_no_two_become_one(name: str, ids: list[str]) -> None:
    alphabet = ALPHABETS[name]
    writer = ToolIds(alphabet)
    written = [writer.write(id) for id in ids]
    assert all(re.fullmatch(alphabet.pattern, id, re.DOTALL) for id in written)
    assert all(len(id) <= alphabet.longest for id in written)
    assert len(set(written)) == len(ids)


@pytest.mark.parametrize("name", ALPHABETS)
@given(ids=st.lists(ANY, min_size=1, max_size=6))
def test_the_ids_of_earlier_turns_stay_as_they_were(name: str, ids: list[str]) -> None:
    whole, begun = ToolIds(ALPHABETS[name]), ToolIds(ALPHABETS[name])
    written = [whole.write(id) for id in ids]
    assert [begun.write(id) for id in ids[:-1]] == written[:-1]


@given(ANY | NEAR)
def test_an_id_comes_back_without_any_state(id: str) -> None:
    assert unhold(ToolIds(ANTHROPIC).write(id), ANTHROPIC) == id


@given(ANY | NEAR)
def test_an_id_of_a_clients_own_is_not_taken_for_one_that_holds_another(id: str) -> None:
    if re.fullmatch(ANTHROPIC.pattern, id) and not id.startswith("cg-"):
        assert unhold(id, ANTHROPIC) == id
        assert unhold(hold(id), ANTHROPIC) == hold(id)


def test_mistral_gets_nine_letters_and_keeps_its_own() -> None:
    ids = ToolIds(MISTRAL)
    assert ids.write("abcDEF123") == "abcDEF123"
    assert re.fullmatch(r"[a-zA-Z0-9]{9}", ids.write("call_0123456789"))
