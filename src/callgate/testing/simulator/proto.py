"""Gemini's JSON, whose names may be written as JSON has them or as protocol buffers have them."""

from __future__ import annotations

import re
from typing import Final

from callgate.testing.simulator.request import is_array, is_object

UPPER: Final = re.compile(r"(?<!^)([A-Z])")

Content = dict[str, object]


def snake(name: str) -> str:
    """Return ``maxOutputTokens`` as ``max_output_tokens``, which protocol buffers call it."""
    return UPPER.sub(lambda match: f"_{match[1].lower()}", name)


def field(value: object, name: str) -> object:
    """Return a field of an object by its name in JSON, or its name in the protocol buffer."""
    if not is_object(value):
        return None
    found = value.get(name)
    return value.get(snake(name)) if found is None else found


def parts_of(content: object) -> list[dict[str, object]]:
    """Return the parts of a content."""
    parts = field(content, "parts")
    return [part for part in parts if is_object(part)] if is_array(parts) else []
