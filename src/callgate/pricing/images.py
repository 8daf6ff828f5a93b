"""How many tokens an image is at the most: what its provider publishes, by model."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

PATCHES: Final = 1_536
"""Squares of 32 pixels that an image is scaled down to, unless it is sent as it is."""

PATCHES_AS_SENT: Final = 10_000
"""Squares of an image that is sent with ``"detail": "original"``."""

PATCHES_AS_SENT_LATELY: Final = 30_000

DEAREST_PATCH: Final = 2.46
"""The most tokens that a model of OpenAI counts for one square."""

MOST_IN_TILES: Final = 1_445
"""The most tokens of an image in tiles. The guide does not tell of every model which of the two it
counts in, so that no image of a known size counts less.

Source: https://github.com/openai/openai-python/issues/2851
"""


Size = tuple[int, int]
"""Width and height in pixels."""


class Published(msgspec.Struct, frozen=True):
    """What a provider publishes of the images of some models."""

    most: int
    """The tokens of the largest image."""
    of_size: Callable[[Size], int] | None = None
    """The tokens of one that is not made smaller; None where every size is made one of few."""

    def tokens(self, size: Size | None) -> int:
        """Return the most tokens of an image."""
        if size is None or self.of_size is None:
            return self.most
        return min(self.most, self.of_size(size))


def _patches(most: int) -> Published:
    return Published(int(most * DEAREST_PATCH), _in_patches)


def _in_patches(size: Size) -> int:
    width, height = size
    patches = -(-width // 32) * -(-height // 32)
    return max(MOST_IN_TILES, math.ceil(patches * DEAREST_PATCH))


def _tiles(first: int, each: int) -> Published:
    """Return the tokens of the largest image in squares of 512 pixels: 2048 by 768."""
    return Published(first + 8 * each)


def _in_claude(size: Size) -> int:
    width, height = size
    return max(-(-width // 28) * -(-height // 28), -(-width * height // 750))


PUBLISHED: Final[Mapping[str, Sequence[tuple[re.Pattern[str], Published]]]] = {
    "openai": (
        (re.compile(r"gpt-4o-mini"), _tiles(2_833, 5_667)),
        (re.compile(r"gpt-4\.1-(mini|nano)|o4-mini|gpt-5(\.4)?-(mini|nano)"), _patches(PATCHES)),
        (re.compile(r"gpt-4o|gpt-4-turbo|gpt-4\.[15]"), _tiles(85, 170)),
        (re.compile(r"o[13]"), _tiles(75, 150)),
        (re.compile(r"gpt-5(\.[123])?"), _patches(PATCHES)),
        (re.compile(r"gpt-5\.[45]"), _patches(PATCHES_AS_SENT)),
        (re.compile(r"gpt-5\.6|gpt-6"), _patches(PATCHES_AS_SENT_LATELY)),
    ),
    "anthropic": ((re.compile(r"claude-(3|[a-z]+-[45])"), Published(4_784, _in_claude)),),
    "gemini": ((re.compile(r"gemini-3(\.[0-9]+)?"), Published(2_240)),),
}
"""By price list, then by how a model's name begins, up to the end of a number.

Source: OpenAI's guide "Images and vision" (tiles and patches, their multipliers, ``detail``);
Anthropic's guide "Vision" (4,784 tokens at high resolution, 1,568 before; a token for 750 pixels,
or for each square of 28); Google's page "Media resolution" (2,240 at ultra high resolution for Gemini
3; for models before it there is no most).
"""

VERSION_ENDS: Final = re.compile(r"(?![0-9.])")


def image_tokens(source: str, model: str, sizes: Sequence[Size | None]) -> int | None:
    """Return the most tokens that images cost together; None where nobody publishes a number.

    Args:
        source: Whose price list holds for the provider, such as ``openai``.
        model: The model's name at the provider.
        sizes: Of each image, as far as it is known.
    """
    if not sizes:
        return 0
    published = _published(source, model)
    return None if published is None else sum(map(published.tokens, sizes))


def _published(source: str, model: str) -> Published | None:
    name = model.lower()
    for pattern, published in PUBLISHED.get(source, ()):
        found = pattern.match(name)
        if found is not None and VERSION_ENDS.match(name, found.end()):
            return published
    return None
