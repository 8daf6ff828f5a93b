"""Where providers are served: what their addresses say, and what is left out of them."""

from __future__ import annotations

import re
from typing import Final

from callgate.config.policies import BASE_URLS, Api

AWS_REGION: Final = re.compile(r"\bbedrock-runtime(?:-fips)?\.([a-z]{2,}(?:-[a-z]+)+-\d+)\.")
"""Where an address of Bedrock names its region, also one in a private network.

Source: botocore 1.44, ``bedrock-runtime/2023-09-30/endpoint-rule-set-1.json``.
"""

GEMINI_VERSION: Final = re.compile(r"/v1(alpha|beta)?$")

VERSIONED: Final = "?api-version="
"""How an address of Azure ends that names a version of its older API."""

VERSIONED_FORMATS: Final = ("openai_chat", "openai_embeddings")
"""What is served there."""


def base_url(api: Api, url: str | None, *, aws_region: str | None = None) -> str:
    """Return where an api is served, in the form that paths are put behind.

    OpenAI's ends in ``/v1`` and Anthropic's does not; Gemini's ends in a version, which Google's SDK
    adds by itself, and so its address may lack; Azure's ends in ``/openai/v1``, or in
    ``/openai`` where it names a version; Bedrock's is that of its region.

    Args:
        api: What is spoken there.
        url: What the settings say; None takes the api's own address.
        aws_region: Where Bedrock is asked.
    """
    if url is None:
        return BASE_URLS[api] if api in BASE_URLS else _of_bedrock(aws_region or "")
    url, _, version = url.partition(VERSIONED)
    url = url.rstrip("/")
    if api == "anthropic":
        return url.removesuffix("/v1")
    if api == "gemini":
        return url if GEMINI_VERSION.search(url) else f"{url}/v1beta"
    if api == "azure":
        host = url.removesuffix("/v1").removesuffix("/openai")
        return f"{host}/openai" if version else f"{host}/openai/v1"
    return url


def api_version_in(url: str | None) -> str | None:
    """Return the version that an address of Azure names."""
    return (url or "").partition(VERSIONED)[2] or None


def aws_region_in(url: str | None) -> str | None:
    """Return the region that an address of Bedrock names."""
    found = AWS_REGION.search(url or "")
    return None if found is None else found[1]


def _of_bedrock(region: str) -> str:
    china = ".cn" if region.startswith("cn-") else ""
    return f"https://bedrock-runtime.{region}.amazonaws.com{china}"
