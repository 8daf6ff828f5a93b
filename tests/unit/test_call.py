"""Identifiers: no two alike, and rising, so that rows written together stand together."""

from __future__ import annotations

import subprocess
import sys

from callgate.call import new_id

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
