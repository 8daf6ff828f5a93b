"""How much a request can cost at the most, told from its bytes before it runs."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Final

from callgate.pricing import Price, Rates
from callgate.store import Bill

TOKENS_PER_PART: Final = 16
"""What a message or a tool adds in hidden role tokens, at the most."""

TOKENS_FOR_TOOLS: Final = 1024
"""What the hidden prompt adds that providers put before a list of tools, once."""

ESCAPE: Final = re.compile(rb"\\u")


def input_bound_tokens(body: bytes, *, parts: int, has_tools: bool) -> int:
    """Return a number of tokens that the input of a request cannot exceed.

    A tokenizer that works on bytes makes at most one token of each byte of the text; one that
    normalises first (NFKC) at most one of each byte of the normalised text. The request's JSON
    holds all of the text and more; what is escaped in it is measured as it reads.

    Args:
        body: The request as it came, valid UTF-8.
        parts: Messages, tools and system parts.
        has_tools: Whether there are tools.

    Source: measured with four tokenizers over all code points: none makes more tokens than the
    text has bytes, except one with an NFKC normaliser, which makes no more than its normalised
    form has.
    """
    hidden = parts * TOKENS_PER_PART + (TOKENS_FOR_TOOLS if has_tools else 0)
    if body.isascii() and not ESCAPE.search(body):
        return len(body) + hidden
    return max(len(body), _normalised_bytes(body)) + hidden


def _normalised_bytes(body: bytes) -> int:
    """Return the bytes of the request's NFKC form, with every escape read.

    The length counts what an escape spells and the escape itself, which is more than either.
    """
    text = body.decode()
    read = text if "\\u" not in text else text + _spelled(text)
    return len(unicodedata.normalize("NFKC", read).encode("utf-8", "surrogatepass"))


UNICODE_ESCAPES: Final = re.compile(r"(?:\\u[0-9a-fA-F]{4})+")


def _spelled(text: str) -> str:
    """Return what the escapes of a JSON text spell, one after another."""
    runs = UNICODE_ESCAPES.findall(text)
    return "".join(json.loads(f'"{run}"') for run in runs)


def make_bill(
    price: Price,
    *,
    input_tokens: int,
    output_tokens: int,
    least_output_tokens: int,
    choices: int,
) -> Bill:
    """Return the most that a request can cost, in the parts that admission decides on.

    For every usage with no more input than ``input_tokens`` and no more output for each choice
    than the limit, the cost is at most the bill: each bucket at its dearest, in every tier that
    so much input can reach.

    Args:
        price: The model's price.
        input_tokens: The bound of the input.
        output_tokens: The output limit that is wanted, for each choice.
        least_output_tokens: The lowest limit that is worth sending.
        choices: How many outputs are asked for.
    """
    reachable = [price.rates] + [
        tier.rates for tier in price.tiers if input_tokens > tier.above_input_tokens
    ]
    return Bill(
        input_femto=input_tokens * max(map(_dearest_input, reachable)),
        output_femto=max(max(rates.output_femto, rates.reasoning_femto) for rates in reachable),
        choices=choices,
        output_tokens=output_tokens,
        least_output_tokens=least_output_tokens,
    )


def _dearest_input(rates: Rates) -> int:
    return max(
        rates.input_femto,
        rates.cache_read_femto,
        rates.cache_write_femto,
        rates.cache_write_long_femto,
    )
