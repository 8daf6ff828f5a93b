"""Keys of the gate: nobody guesses one, and what is stored opens nothing."""

from __future__ import annotations

import re
from hashlib import sha256

import pytest

from callgate.keys import PREFIX, KeyKind, digest, new_key


@pytest.mark.parametrize("kind", ["agent", "task"])
def test_a_key_says_what_it_is_and_carries_256_random_bits(kind: KeyKind) -> None:
    key = new_key(kind)
    assert key.startswith(PREFIX)
    assert re.fullmatch(rf"cg_{kind}_[\w-]{{43}}", key, re.ASCII)
    assert len({new_key(kind) for _ in range(1_000)}) == 1_000


def test_only_the_digest_of_a_key_is_kept() -> None:
    key = new_key("task")
    assert digest(key) == sha256(key.encode()).digest()
    assert key.encode() not in digest(key)
    assert digest("clé") != digest("cle")
