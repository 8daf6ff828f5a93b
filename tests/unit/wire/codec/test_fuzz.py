"""Whatever bytes come, there is an answer or a typed error; tests/fuzz feeds many more."""

from __future__ import annotations

import gc
import json
import random
import weakref
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.errors import BrokenReply, Malformed
from callgate.wire.codec.canonical import Broke, Finished
from callgate.wire.codec.translate import CODECS, UPSTREAMS
from tests.unit.wire.codec.spoiling import spoil, spoiled_stream
from tests.unit.wire.codec.test_conversations import QUESTIONS, go_on
from tests.unit.wire.codec.translating import (
    CLIENT,
    FROM_AWAY,
    FROM_HOME,
    SOURCES,
    TO_AWAY,
    WAYS_BACK,
    WAYS_OUT,
    events_of,
    put_stream,
)
from tests.unit.wire.codec.upstreams import REPLIES

SEEDS = st.integers(0, 2**64)


@pytest.mark.parametrize(("source", "target"), WAYS_BACK)
@given(seed=SEEDS)
def test_a_spoiled_stream_ends_whole_or_with_an_error(source: str, target: str, seed: int) -> None:
    pieces, _ = spoiled_stream(random.Random(seed), source)
    got = put_stream(pieces, source, target)
    last = events_of(pieces, source)[-1]
    assert isinstance(last, Broke | Finished)
    assert got.failure is not None or isinstance(last, Finished)
    assert got.told.decode()


@pytest.mark.parametrize("source", SOURCES)
@given(seed=SEEDS)
def test_a_spoiled_stream_does_not_depend_on_how_it_is_cut(source: str, seed: int) -> None:
    pieces, _ = spoiled_stream(random.Random(seed), source)
    cut, whole = events_of(pieces, source), events_of([b"".join(pieces)], source)
    assert cut[:-1] == whole[:-1]
    assert type(cut[-1]) is type(whole[-1])


@pytest.mark.parametrize("source", SOURCES)
@given(chunks=st.lists(st.binary(max_size=30), max_size=5))
def test_random_bytes_are_no_stream(source: str, chunks: list[bytes]) -> None:
    assert isinstance(events_of(chunks, source)[-1], Broke)


@pytest.mark.parametrize(("source", "target"), WAYS_BACK)
@given(seed=SEEDS)
def test_a_spoiled_reply_is_read_or_a_typed_error(source: str, target: str, seed: int) -> None:
    body = json.dumps(spoil(random.Random(seed), REPLIES[source])).encode()
    with suppress(BrokenReply):
        completion = UPSTREAMS[source].read_reply(body, FROM_AWAY)
        assert CODECS[target].write_reply(completion, CLIENT).body


@pytest.mark.parametrize(("source", "target"), WAYS_OUT)
@given(seed=SEEDS)
def test_a_spoiled_request_is_read_or_a_typed_error(source: str, target: str, seed: int) -> None:
    asked = go_on(QUESTIONS[source], REPLIES[source], source)
    body = json.dumps(spoil(random.Random(seed), asked)).encode()
    with suppress(Malformed):
        prompt = CODECS[source].read_request(body, FROM_HOME)
        assert UPSTREAMS[target].write_request(prompt, TO_AWAY).body


@pytest.mark.parametrize("source", SOURCES)
def test_a_stream_that_broke_leaves_nothing_in_memory(source: str) -> None:
    target = next(target for known, target in WAYS_BACK if known == source)
    failure = put_stream([b"x" * 99], source, target).failure
    assert failure is not None
    left = weakref.ref(failure)
    del failure
    gc.collect()
    assert left() is None
