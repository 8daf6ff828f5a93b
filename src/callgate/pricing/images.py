"""How many tokens an image is at the most: what its provider publishes, by model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

PATCHES: Final = 1_536
"""Squares of 32 pixels that an image is scaled down to, unless it is sent as it is."""

PATCHES_AS_SENT: Final = 10_000
"""Squares of an image that is sent with ``"detail": "original"``."""

PATCHES_AS_SENT_LATELY: Final = 30_000

DEAREST_PATCH: Final = 2.46
"""The most tokens that a model of OpenAI counts for one square."""


def _patches(most: int) -> int:
    return int(most * DEAREST_PATCH)


def _tiles(first: int, each: int) -> int:
    """Return the tokens of the largest image in squares of 512 pixels: 2048 by 768."""
    return first + 8 * each


PUBLISHED: Final[Mapping[str, Sequence[tuple[re.Pattern[str], int]]]] = {
    "openai": (
        (re.compile(r"gpt-4o-mini"), _tiles(2_833, 5_667)),
        (re.compile(r"gpt-4\.1-(mini|nano)|o4-mini|gpt-5(\.4)?-(mini|nano)"), _patches(PATCHES)),
        (re.compile(r"gpt-4o|gpt-4-turbo|gpt-4\.[15]"), _tiles(85, 170)),
        (re.compile(r"o[13]"), _tiles(75, 150)),
        (re.compile(r"gpt-5(\.[123])?"), _patches(PATCHES)),
        (re.compile(r"gpt-5\.[45]"), _patches(PATCHES_AS_SENT)),
        (re.compile(r"gpt-5\.6|gpt-6"), _patches(PATCHES_AS_SENT_LATELY)),
    ),
    "anthropic": ((re.compile(r"claude-(3|[a-z]+-[45])"), 4_784),),
}
"""By price list, then by how a model's name begins, up to the end of a number.

Source: OpenAI's guide "Images and vision" (tiles and patches, their multipliers, ``detail``);
Anthropic's guide "Vision" (4,784 tokens at high resolution, 1,568 before).
"""

VERSION_ENDS: Final = re.compile(r"(?![0-9.])")


def most_image_tokens(source: str, model: str) -> int | None:
    """Return the most tokens that one image costs; None where its provider publishes no number.

    Args:
        source: Whose price list holds for the provider, such as ``openai``.
        model: The model's name at the provider.
    """
    name = model.lower()
    for pattern, tokens in PUBLISHED.get(source, ()):
        found = pattern.match(name)
        if found is not None and VERSION_ENDS.match(name, found.end()):
            return tokens
    return None
