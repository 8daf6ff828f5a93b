"""Servers that speak OpenAI's API, each in its own way: what is different at each, as data.

A server is named by ``server`` under a provider, or known by the host of its address. Settings go before what stands here.
What a server is not known to take counts as lacking, as most of them pass over a field in silence: a request that needs it does
not go there by a translation. What comes in OpenAI's format passes through as bytes all the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from callgate.config.policies import PriceSource

ServerName = Literal[
    "cerebras", "deepseek", "fireworks", "groq", "llama.cpp", "lmstudio", "mistral", "moonshot", "ollama",
    "openrouter", "sglang", "together", "vllm", "xai",
]  # fmt: skip

CHAT, RESPONSES, EMBEDDINGS = "openai_chat", "openai_responses", "openai_embeddings"
ALL: Final = (CHAT, RESPONSES, EMBEDDINGS)
HOST: Final = re.compile(r"https?://(?:[^/@]*@)?([^/:]+)")

OF_OPENAI_ALONE: Final = frozenset({"documents", "metadata", "service_tier", "user", "verbosity"})
"""What few others take, by the names of :attr:`callgate.wire.codec.Target.lacks`."""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """What is different at one server."""

    base_url: str
    """Where it is: of the hosted ones for everybody, of the others where they listen by themselves."""
    host: str | None = None
    """The end of the host by which it is known; None: it may be anywhere."""
    key: str | None = None
    """The usual variable of its key; None: it needs none."""
    formats: tuple[str, ...] = (CHAT,)
    """What it takes, if not all that its api does; a request of another goes into the first."""
    limit_field: Literal["max_tokens", "max_completion_tokens"] | None = "max_tokens"
    """The field for an output limit that it knows, or knows better; None: whichever."""
    price_source: PriceSource = "none"
    """Whose prices hold; nobody's where it runs on a machine of your own."""
    lacks: frozenset[str] = OF_OPENAI_ALONE
    """What it does not take, as :attr:`callgate.wire.codec.Target.lacks` names it; one that lacks
    ``stream_options`` tells the usage of a stream unasked."""
    tool_ids: str | None = None
    """How ids of tool calls must be, as :data:`callgate.wire.codec.tool_ids.ALPHABETS` names it."""
    thinking_field: str | None = None
    """The field of a message in which it wants its own thoughts back."""
    source: str
    """Where this comes from."""


SERVERS: Final[Mapping[str, Server]] = {
    "cerebras": Server(
        base_url="https://api.cerebras.ai/v1",
        host="api.cerebras.ai",
        key="CEREBRAS_API_KEY",
        limit_field="max_completion_tokens",
        lacks=OF_OPENAI_ALONE | {"frequency_penalty", "images", "parallel", "presence_penalty"},
        thinking_field="reasoning",
        source="Cerebras's documentation, OpenAI compatibility: fields that are answered by 400",
    ),
    "deepseek": Server(
        base_url="https://api.deepseek.com",
        host="api.deepseek.com",
        key="DEEPSEEK_API_KEY",
        price_source="deepseek",
        lacks=OF_OPENAI_ALONE | {"images", "parallel", "seed"},
        thinking_field="reasoning_content",
        source="DeepSeek's API reference, Create Chat Completion; its guide Thinking Mode",
    ),
    "fireworks": Server(
        base_url="https://api.fireworks.ai/inference/v1",
        host="api.fireworks.ai",
        key="FIREWORKS_API_KEY",
        formats=ALL,
        price_source="fireworks",
        lacks=OF_OPENAI_ALONE - {"user"},
        thinking_field="reasoning_content",
        source="Fireworks's documentation, OpenAI compatibility; API reference",
    ),
    "groq": Server(
        base_url="https://api.groq.com/openai/v1",
        host="api.groq.com",
        key="GROQ_API_KEY",
        formats=(CHAT, RESPONSES),
        limit_field="max_completion_tokens",
        price_source="groq",
        lacks=OF_OPENAI_ALONE - {"service_tier", "user"},
        thinking_field="reasoning",
        source="Groq's documentation, OpenAI compatibility; API reference",
    ),
    "llama.cpp": Server(
        base_url="http://127.0.0.1:8080/v1",
        formats=ALL,
        thinking_field="reasoning_content",
        source="llama.cpp, tools/server/README.md",
    ),
    "lmstudio": Server(
        base_url="http://127.0.0.1:1234/v1",
        formats=ALL,
        source="LM Studio's documentation, OpenAI compatibility endpoints",
    ),
    "mistral": Server(
        base_url="https://api.mistral.ai/v1",
        host="api.mistral.ai",
        key="MISTRAL_API_KEY",
        formats=(CHAT, EMBEDDINGS),
        price_source="mistral",
        lacks=OF_OPENAI_ALONE - {"metadata"} | {"seed", "stream_options"},
        tool_ids="mistral",
        source="Mistral's API reference; its 422 (extra_forbidden) for max_completion_tokens and for "
        "stream_options, as in github.com/BerriAI/litellm/issues/8978",
    ),
    "moonshot": Server(
        base_url="https://api.moonshot.ai/v1",
        host="api.moonshot.ai",
        key="MOONSHOT_API_KEY",
        lacks=OF_OPENAI_ALONE | {"parallel", "seed"},
        thinking_field="reasoning_content",
        source="Moonshot's API reference, Chat Completions; its guide to thinking models",
    ),
    "ollama": Server(
        base_url="http://127.0.0.1:11434/v1",
        formats=ALL,
        lacks=OF_OPENAI_ALONE | {"parallel"},
        thinking_field="reasoning",
        source="Ollama's documentation, OpenAI compatibility: supported request fields",
    ),
    "openrouter": Server(
        base_url="https://openrouter.ai/api/v1",
        host="openrouter.ai",
        key="OPENROUTER_API_KEY",
        formats=ALL,
        price_source="openrouter",
        lacks=frozenset({"metadata", "service_tier"}),
        thinking_field="reasoning",
        source="OpenRouter's API reference, Parameters; its guide Reasoning Tokens",
    ),
    "sglang": Server(
        base_url="http://127.0.0.1:30000/v1",
        formats=ALL,
        thinking_field="reasoning_content",
        source="SGLang's documentation, OpenAI APIs; Reasoning Parser",
    ),
    "together": Server(
        base_url="https://api.together.xyz/v1",
        host="api.together.xyz",
        key="TOGETHER_API_KEY",
        formats=(CHAT, EMBEDDINGS),
        price_source="together",
        lacks=OF_OPENAI_ALONE | {"parallel"},
        thinking_field="reasoning",
        source="Together's documentation, OpenAI compatibility; API reference",
    ),
    "vllm": Server(
        base_url="http://127.0.0.1:8000/v1",
        formats=ALL,
        thinking_field="reasoning",
        source="vLLM's documentation, OpenAI-Compatible Server (the user is passed over); Reasoning "
        "Outputs (the field's name since 0.11)",
    ),
    "xai": Server(
        base_url="https://api.x.ai/v1",
        host="api.x.ai",
        key="XAI_API_KEY",
        formats=(CHAT, RESPONSES),
        limit_field="max_completion_tokens",
        price_source="x-ai",
        lacks=OF_OPENAI_ALONE - {"user"} | {"frequency_penalty", "presence_penalty", "stop"},
        source="xAI's API reference; its guide to reasoning: parameters that its models refuse",
    ),
}
"""Every server that is known, by name."""


PLAIN: Final = Server(
    base_url="",
    formats=(),
    limit_field=None,
    lacks=frozenset(),
    source="a server that is not known",
)
"""One that takes what its api does."""


def find_server(name: ServerName | None, url: str | None) -> Server | None:
    """Return the server that settings name, or that an address is of; None where it is neither.

    Args:
        name: What ``server`` says.
        url: What ``base_url`` says.
    """
    if name is not None:
        return SERVERS[name]
    found = HOST.match(url or "")
    host = "" if found is None else found[1].lower()
    hosted = (each for each in SERVERS.values() if each.host is not None)
    return next((each for each in hosted if each.host == host), None)
