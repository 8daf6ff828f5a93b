"""An image counts what its provider publishes for the model, and nothing is guessed."""

from __future__ import annotations

import pytest

from callgate.pricing.bound import TOKENS_PER_PART, Images, input_bound_tokens
from callgate.pricing.images import Size, image_tokens


@pytest.mark.parametrize(
    ("source", "model", "tokens"),
    [
        ("openai", "gpt-4o-2024-11-20", 1_445),
        ("openai", "gpt-4o-mini", 48_169),
        ("openai", "GPT-4.1-nano", 3_778),
        ("openai", "gpt-4.1", 1_445),
        ("openai", "o3", 1_275),
        ("openai", "o4-mini", 3_778),
        ("openai", "gpt-5-2025-08-07", 3_778),
        ("openai", "gpt-5.4-mini", 3_778),
        ("openai", "gpt-5.5", 24_600),
        ("openai", "gpt-6-sol", 73_800),
        ("anthropic", "claude-3-5-haiku-latest", 4_784),
        ("anthropic", "claude-opus-4-8", 4_784),
        ("anthropic", "claude-sonnet-5", 4_784),
    ],
)
def test_the_largest_image_counts_what_is_published(source: str, model: str, tokens: int) -> None:
    assert image_tokens(source, model, [None]) == tokens
    assert image_tokens(source, model, [(30_000, 30_000), None]) == 2 * tokens


@pytest.mark.parametrize(
    ("source", "model"),
    [
        ("openai", "gpt-5.7"),
        ("openai", "gpt-60"),
        ("openai", "o30"),
        ("openai", "llava"),
        ("anthropic", "claude-opus-6"),
        ("anthropic", "claude-opus-40"),
        ("mistral", "gpt-4o"),
    ],
)
def test_a_model_that_nobody_has_published_yet_has_no_number(source: str, model: str) -> None:
    assert image_tokens(source, model, [None]) is None
    assert image_tokens(source, model, []) == 0


@pytest.mark.parametrize(
    ("source", "model", "size", "tokens"),
    [
        ("openai", "gpt-5.5", (1_024, 768), 1_890),
        ("openai", "gpt-5.5", (1_025, 769), 2_030),
        ("openai", "gpt-5.5", (10, 10), 1_445),
        ("openai", "gpt-6-sol", (1_024, 768), 1_890),
        ("openai", "gpt-4o", (10, 10), 1_445),
        ("anthropic", "claude-sonnet-5", (1_024, 768), 1_049),
        ("anthropic", "claude-sonnet-5", (29, 29), 4),
    ],
)
def test_an_image_of_a_known_size_counts_no_more_than_that_can_cost(
    source: str, model: str, size: Size, tokens: int
) -> None:
    assert image_tokens(source, model, [size]) == tokens


def test_each_image_counts_instead_of_its_bytes() -> None:
    body = b'["a text", "' + b"A" * 5_000 + b'"]'
    plain = input_bound_tokens(body, parts=1, has_tools=False)
    images = Images(count=2, size_bytes=5_000, tokens=1_400)
    shown = input_bound_tokens(body, parts=1, has_tools=False, images=images)
    assert shown == plain - 5_000 + 2 * (700 + TOKENS_PER_PART)
