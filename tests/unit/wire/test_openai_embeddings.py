"""Embeddings: many inputs, no output, and no stream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from callgate.call import Meter, Usage
from callgate.errors import BrokenReply, Malformed, Transient
from callgate.wire.openai_embeddings import OpenAIEmbeddings

EMBEDDINGS = OpenAIEmbeddings()


def body(given: Any, **fields: Any) -> bytes:
    return json.dumps({"model": "embed", "input": given, **fields}).encode()


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("a text", 1),
        (["a", "b", "c"], 3),
        ([1, 2, 3], 1),
        ([[1, 2], [3], "x"], 3),
        ([], 1),
    ],
)
def test_a_request_says_how_many_inputs_there_are(given: Any, inputs: int) -> None:
    request = EMBEDDINGS.parse(body(given))
    assert (request.inputs, request.messages, request.opaque) == (inputs, inputs, None)
    assert (request.model, request.output_limit, request.stream) == ("embed", 0, False)


@pytest.mark.parametrize("given", [["x", {"image": "…"}], ["x", [{"image": "…"}]], ["x", None]])
def test_an_input_that_is_no_text_is_named(given: Any) -> None:
    assert EMBEDDINGS.parse(body(given)).opaque == "input[1] is no text"


@pytest.mark.parametrize("given", [None, 5, {}])
def test_an_input_of_the_wrong_type_is_refused(given: Any) -> None:
    with pytest.raises(Malformed, match="input must be a text or a list"):
        EMBEDDINGS.parse(body(given))


def test_only_the_model_changes_and_no_output_is_limited() -> None:
    source = b'{ "input":"\\u00e9","model" : "smart"}'
    request = EMBEDDINGS.parse(source)
    left = EMBEDDINGS.rewrite(request, model="big", output_tokens=9, limit_field=None)
    assert left.body == b'{ "input":"\\u00e9","model" : "big"}'
    assert left.changes == ("model=big",)
    same = EMBEDDINGS.rewrite(request, model="smart", output_tokens=None, limit_field=None)
    assert same.body is source


def read(page: bytes) -> Meter:
    meter = Meter()
    EMBEDDINGS.read(page, meter)
    return meter


def test_a_reply_tells_what_it_used() -> None:
    usage = {"prompt_tokens": 9, "total_tokens": 9}
    page = {"object": "list", "data": [{"embedding": [0.5]}], "model": "big", "usage": usage}
    used = Usage(input_tokens=9)
    assert read(json.dumps(page).encode()) == Meter(usage=used, finished=True, model="big")


def test_a_vector_with_nan_in_it_is_still_a_reply() -> None:
    page = b'{"data":[{"embedding":[NaN]}],"usage":{"prompt_tokens":2,"total_tokens":2}}'
    assert read(page).usage == Usage(input_tokens=2)


@pytest.mark.parametrize("page", [b"<html>", b"[]", b'{"data":{}}', b'{"model":"x"}'])
def test_what_is_no_list_of_vectors_is_a_broken_reply(page: bytes) -> None:
    with pytest.raises(BrokenReply, match="the provider's reply"):
        read(page)


def test_an_error_with_a_status_of_200_is_an_error() -> None:
    with pytest.raises(Transient, match="answered 503: later"):
        read(b'{"error":{"message":"later","code":503}}')
