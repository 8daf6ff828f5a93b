"""Every format by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from callgate.wire import Format
from callgate.wire.anthropic_messages import AnthropicMessages, CountTokens
from callgate.wire.openai_chat import OpenAIChat

FORMATS: Final[Mapping[str, Format]] = {
    format.name: format for format in (OpenAIChat(), AnthropicMessages(), CountTokens())
}
"""What the gate speaks."""
