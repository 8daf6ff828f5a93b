"""Who answers for a provider of the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from callgate.config.policies import ProviderPolicy
from callgate.providers import Provider
from callgate.providers.anthropic import Anthropic
from callgate.providers.azure import Azure
from callgate.providers.bedrock import Bedrock
from callgate.providers.gemini import Gemini
from callgate.providers.http import Dialect, HttpProvider
from callgate.providers.openai import OpenAI

DIALECTS: Mapping[str, Callable[[ProviderPolicy], Dialect]] = {
    "openai": lambda _: OpenAI(),
    "anthropic": lambda _: Anthropic(),
    "gemini": lambda _: Gemini(),
    "azure": lambda _: Azure(),
    "bedrock": Bedrock,
}
"""What each ``api`` of the settings wants besides its format."""

MakeProvider = Callable[[ProviderPolicy], Provider]
"""How a provider of the settings becomes one that answers."""


def http_provider(policy: ProviderPolicy) -> Provider:
    """Return a provider of the settings, over HTTP."""
    return HttpProvider(policy, DIALECTS[policy.api](policy))
