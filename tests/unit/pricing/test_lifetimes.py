"""Writes to a cache count as the dearer ones where a reply does not tell which they were."""

from __future__ import annotations

import json

import pytest

from callgate.call import Usage
from callgate.pricing.lifetimes import with_lifetimes

WRITTEN = Usage(input_tokens=1, cache_read_tokens=2, cache_write_tokens=3, output_tokens=4)
LONGER = Usage(input_tokens=1, cache_read_tokens=2, cache_write_long_tokens=3, output_tokens=4)


def body(content: object) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]}).encode()


def asking(ttl: str) -> bytes:
    part = {"type": "text", "text": "hi", "prompt_cache_breakpoint": {"ttl": ttl}}
    return body([part])


@pytest.mark.parametrize(
    ("request_body", "api", "usage"),
    [
        (asking("12h"), "openai", LONGER),
        (asking("30m"), "openai", WRITTEN),
        (asking("12h"), "anthropic", WRITTEN),
        (body('say "12h"'), "openai", WRITTEN),
    ],
)
def test_what_may_have_been_written_for_longer_counts_as_such(
    request_body: bytes, api: str, usage: Usage
) -> None:
    assert with_lifetimes(WRITTEN, body=request_body, api=api) == usage
    assert with_lifetimes(usage, body=request_body, api=api) == usage
