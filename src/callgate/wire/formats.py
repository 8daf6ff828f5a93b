"""Every format by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from callgate.wire import ClientFormat, Format
from callgate.wire.anthropic_messages import AnthropicMessages, CountTokens
from callgate.wire.bedrock_converse import BedrockConverse
from callgate.wire.gemini_generate_content import GeminiGenerateContent
from callgate.wire.openai_chat import OpenAIChat
from callgate.wire.openai_embeddings import OpenAIEmbeddings
from callgate.wire.openai_responses import OpenAIResponses

CLIENT_FORMATS: Final[Mapping[str, ClientFormat]] = {
    format.name: format
    for format in (
        OpenAIChat(),
        OpenAIResponses(),
        OpenAIEmbeddings(),
        AnthropicMessages(),
        CountTokens(),
        GeminiGenerateContent(),
    )
}
"""What clients speak to the gate."""

FORMATS: Final[Mapping[str, Format]] = {
    **CLIENT_FORMATS,
    BedrockConverse.name: BedrockConverse(),
}
"""What the gate speaks to providers."""

ADDRESSED: Final = frozenset({GeminiGenerateContent.name})
"""Formats that have the model, and whether a stream is asked for, outside of the body."""
