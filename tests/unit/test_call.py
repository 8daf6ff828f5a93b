"""The nouns of the road: ids that rise and never repeat, buckets that share no token."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.call import Candidate, Usage, new_id

# One write for each process: two lines of print can run into one another.
FORK = "import os; from callgate.call import new_id; os.fork(); os.write(1, f'{new_id(\"call\")} '.encode())"


def test_ids_of_one_process_are_unique_and_rise() -> None:
    ids = [new_id("call") for _ in range(1_000)]
    assert len(set(ids)) == 1_000
    assert ids == sorted(ids)
    assert {(id[:5], len(id)) for id in ids} == {("call_", 29)}


def test_a_forked_process_makes_other_ids() -> None:
    ids = subprocess.check_output([sys.executable, "-c", FORK], text=True).split()
    assert len(set(ids)) == 2


FIELDS = Usage.__struct_fields__


@given(st.lists(st.integers(0, 10**9), min_size=len(FIELDS), max_size=len(FIELDS)))
def test_every_token_of_a_usage_is_either_input_or_output(counts: list[int]) -> None:
    usage = Usage(**dict(zip(FIELDS, counts, strict=True)))
    assert usage.total_input_tokens + usage.total_output_tokens == sum(counts)
    assert usage.total_output_tokens == usage.output_tokens + usage.reasoning_tokens


def test_a_candidate_is_written_as_the_settings_write_it() -> None:
    assert Candidate(provider="local", model="llama3:8b").name == "local:llama3:8b"


def test_what_a_call_is_made_of_never_changes() -> None:
    for record in (Usage(), Candidate(provider="p", model="m")):
        with pytest.raises(AttributeError):
            setattr(record, record.__struct_fields__[0], 7)
        assert hash(record) == hash(msgspec.structs.replace(record))
