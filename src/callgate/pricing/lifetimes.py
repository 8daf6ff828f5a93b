"""For how long what a reply counts as written to a cache was written, where only the request tells."""

from __future__ import annotations

from typing import Final

from callgate.call import Usage
from callgate.pricing.bound import holds

LONGER: Final = b"12h"
"""How a request asks OpenAI to keep what it writes for longer.

Source: openai-python 3.57 (``prompt_cache_breakpoint.ttl``).
"""


def with_lifetimes(usage: Usage, *, body: bytes, api: str) -> Usage:
    """Return a usage whose writes to a cache count as the longer ones where they may be such.

    OpenAI's replies in Chat Completions tell how much was written, and not for how long.

    Args:
        usage: What the reply counts.
        body: The request that it answers.
        api: What its provider speaks.
    """
    if api != "openai" or not usage.cache_write_tokens or not holds(LONGER, body):
        return usage
    return Usage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_long_tokens=usage.cache_write_long_tokens + usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
    )
