"""Identifiers: no two alike, and rising, so that rows written together stand together."""

from __future__ import annotations

import os

from callgate.call import new_id


def test_ids_of_one_process_are_unique_and_rise() -> None:
    ids = [new_id("call") for _ in range(1_000)]
    assert len(set(ids)) == 1_000
    assert ids == sorted(ids)
    assert {(id[:5], len(id)) for id in ids} == {("call_", 29)}


def test_a_forked_process_makes_other_ids() -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, new_id("call").encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 100).decode() != new_id("call")
    os.close(reading)
    os.close(writing)
