"""How much a request can cost at the most, told from its bytes before it runs."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Final, Literal

import msgspec

from callgate.pricing import Price, Rates
from callgate.store import Bill

TOKENS_FOR_TEMPLATE: Final = 128
"""What a model's own template puts before the first message, at the most, once.

Source: counted with the models' own tokenizers: 77 for gpt-oss (the system message of its harmony
format), 30 for Llama 3.1, 23 for Qwen 2.5. The closed models of OpenAI and Anthropic have none.
"""

TOKENS_PER_PART: Final = 16
"""What a message or a tool adds in hidden role tokens, at the most."""

TOKENS_FOR_TOOLS: Final = 1024
"""What the hidden prompt adds that providers put before a list of tools, once."""

WINDOW_ROUNDING: Final = 16
"""The share of a context window that a price list may have rounded off.

Source: lists write 1,000,000 for what is 1,048,576 or 1,050,000, and 128,000 for 131,072.
"""

LONG_ESCAPE: Final = re.compile(rb"\\u((?:0[fF]|20|22|2[aA]|32|33|[fF][dD])[0-9a-fA-F]{2})")
"""A JSON escape that may spell more than it takes, at any depth: also in a text that is JSON itself.

Source: the Unicode character database; a test looks at every character of it.
"""

ESCAPE_BYTES: Final = 6


class Images(msgspec.Struct, frozen=True, kw_only=True):
    """The images of a request."""

    count: int
    size_bytes: int
    """What they take of its body, in plain ASCII."""
    tokens: int
    """What they cost together at the most."""


NO_IMAGES: Final = Images(count=0, size_bytes=0, tokens=0)


CacheWrites = Literal["none", "short", "long"]
"""For how long input may be written to a cache, which costs more the longer it is."""

NORMAL_FORMS: Final[tuple[Literal["NFC", "NFKC"], ...]] = ("NFC", "NFKC")
"""What a tokenizer may make of a text before it works on its bytes.

Source: Qwen's has NFC, the published one of Claude 2 NFKC; those of OpenAI, DeepSeek, Llama and
Gemma have neither.
"""

TAME: Final = re.compile(
    r"[\x00-\xa7\xa9-\xae\xb0-\xb3\xb5-\xb7\xb9-\xbb\xbf-\u013e\u4e00-\u9fff\u3000-\u3029"
    r"\u3041-\u3096\u30a0-\u30fe\uac00-\ud7a3\uff01-\uffee\u2010-\u2032\u0386-\u0482\u048a-\u052f"
    r"\u05d0-\u05ea\u0620-\u064a\u0660-\u066f\u0671-\u0674\u0679-\u06d5\u1e00-\u1eff\u20a0-\u20bf"
    r"\u2100-\u214f\u2190-\u222b\u2231-\u247c\u2488-\u2a0b\ufe0e\ufe0f\u200b-\u200f"
    r"\U0001f300-\U0001faff]*"
)
"""Text that takes no more bytes in any normal form: Latin, Greek, Cyrillic, Hebrew and Arabic
letters, Chinese, Japanese, Korean, symbols, emojis. The check is far cheaper than the forms.

Source: the Unicode character database; a test looks at every character of it.
"""


def input_bound_tokens(
    body: bytes, *, parts: int, has_tools: bool, images: Images = NO_IMAGES
) -> int:
    """Return a number of tokens that the input of a request cannot exceed.

    A tokenizer makes at most one token of each byte of a text; one that normalises first, of each
    byte of the normalised text. The request's JSON holds all of the text and more, and a template
    writes nothing of it twice. An escape counts what it takes or what it spells, whichever is
    more, so it does not matter who reads it.

    Args:
        body: The request as it came, valid UTF-8.
        parts: Messages, tools and system parts.
        has_tools: Whether there are tools.
        images: Those among the parts, if any: each counts its own number, and not its bytes.

    Source: measured with eight tokenizers (cl100k, o200k, Claude 2, DeepSeek, Qwen 3, Gemma 3,
    Llama 2 and 3.1) over every code point and 250,000 random texts: no violation. Without the
    normal forms Claude 2's violates it for 252 code points, as it makes 15 tokens of the 3 bytes
    of U+FDFA, and Qwen's for 38.
    """
    # A search for one byte is far cheaper than for two.
    escaped = _growth_of_escapes(body) if b"\\" in body else 0
    hidden = hidden_tokens(parts, has_tools=has_tools, images=images)
    return _widest_bytes(body) - images.size_bytes + escaped + hidden


def hidden_tokens(parts: int, *, has_tools: bool, images: Images) -> int:
    """Return the most tokens of a request that its text does not hold."""
    hidden = TOKENS_FOR_TEMPLATE + (parts + images.count) * TOKENS_PER_PART + images.tokens
    return hidden + TOKENS_FOR_TOOLS if has_tools else hidden


def window_tokens(price: Price) -> int | None:
    """Return the most tokens that a model takes, whatever a request has; None where nobody says."""
    window = price.context_window
    return None if window is None else window + window // WINDOW_ROUNDING


def _widest_bytes(body: bytes) -> int:
    """Return the bytes of the longest form that a tokenizer may see."""
    if body.isascii():
        return len(body)
    text = body.decode()
    if TAME.fullmatch(text):
        return len(body)
    return max(len(body), *(_bytes_in(form, text) for form in NORMAL_FORMS))


def _bytes_in(form: Literal["NFC", "NFKC"], text: str) -> int:
    return len(unicodedata.normalize(form, text).encode("utf-8", "surrogatepass"))


def _growth_of_escapes(body: bytes) -> int:
    """Return by how many bytes a text grows where its escapes are read and normalised.

    Half of a pair stands for half of four bytes, and what a pair spells takes no more than twelve.
    """
    growth = 0
    for digits, times in Counter(LONG_ESCAPE.findall(body)).items():
        character = chr(int(digits, 16))
        widest = max(_bytes_in(form, character) for form in NORMAL_FORMS)
        growth += times * max(0, widest - ESCAPE_BYTES)
    return growth


CACHE_MARKERS: Final = {"anthropic": b"cache_control", "bedrock": b"cachePoint"}
"""The key without which a request writes nothing to a cache that is paid for, by api."""


def cache_writes_of(body: bytes, *, api: str) -> CacheWrites:
    """Return the dearest way in which the input of a request may be written to a cache.

    Anthropic and Bedrock write to one only where a request has a marker, and for an hour only
    where that says so. Others write as they like. A text that only speaks of either is neither: what
    stands in a text has escapes before its quotes.

    Args:
        body: The request as it came.
        api: What its provider speaks.

    Source: Anthropic's documentation of prompt caching; AWS's guide to prompt caching on Bedrock
    (Nova, which caches by itself too, does not charge for what it writes).
    """
    marker = CACHE_MARKERS.get(api)
    if marker is None:
        return "long"
    if not holds(marker, body):
        return "none"
    return "long" if holds(b"1h", body) else "short"


def holds(word: bytes, body: bytes) -> bool:
    """Whether a word stands in a body as a key or a value of its own, however it is written."""
    if b'"%b"' % word in body:
        return True
    # A search for one byte is far cheaper than for more.
    return b"\\" in body and _written(word).search(body) is not None


@cache
def _written(word: bytes) -> re.Pattern[bytes]:
    """Return what finds a word in quotes, with any of its letters written as an escape."""
    letters = (b"(?:%c|\\\\u00%s)" % (letter, _hexadecimal(letter)) for letter in word)
    return re.compile(b'"%b"' % b"".join(letters))


def _hexadecimal(letter: int) -> bytes:
    digits = (f"[{digit}{digit.upper()}]" for digit in f"{letter:02x}")
    return "".join(digits).encode()


def make_bill(
    prices: Iterable[Price],
    *,
    input_tokens: int,
    cache_writes: CacheWrites,
    output_tokens: int,
    least_output_tokens: int,
    choices: int,
) -> Bill:
    """Return the most that a request can cost, in the parts that admission decides on.

    For every usage with no more input than ``input_tokens`` and no more output for each choice
    than the limit, the cost is at most the bill: each bucket at its dearest, in every tier that
    so much input can reach, at every price that may hold.

    Args:
        prices: What may hold: the model's price at each service tier that may serve it.
        input_tokens: The bound of the input.
        cache_writes: The dearest way in which it may be written to a cache.
        output_tokens: The output limit that is wanted, for each choice.
        least_output_tokens: The lowest limit that is worth sending.
        choices: How many outputs are asked for.
    """
    reachable = [rates for price in prices for rates in price.reachable(input_tokens)]
    return Bill(
        input_femto=input_tokens * max(_dearest_input(rates, cache_writes) for rates in reachable),
        output_femto=max(max(rates.output_femto, rates.reasoning_femto) for rates in reachable),
        choices=choices,
        output_tokens=output_tokens,
        least_output_tokens=least_output_tokens,
    )


def _dearest_input(rates: Rates, cache_writes: CacheWrites) -> int:
    dearest = max(rates.input_femto, rates.cache_read_femto)
    if cache_writes != "none":
        dearest = max(dearest, rates.cache_write_femto)
    return max(dearest, rates.cache_write_long_femto) if cache_writes == "long" else dearest
