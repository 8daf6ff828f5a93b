"""The page of providers has a block of settings for every api and every server, and each is right."""

from __future__ import annotations

from typing import get_args

import pytest

from callgate.config.loading import read_settings
from callgate.config.policies import Api, ProviderPolicy
from callgate.config.servers import SERVERS
from tests.docs.pages import ROOT, examples

PAGE = ROOT / "docs" / "providers.md"


def providers() -> list[ProviderPolicy]:
    """Return every provider of the page's blocks."""
    blocks = [example.text for example in examples(PAGE) if example.language == "toml"]
    return [each for text in blocks for each in read_settings(text, PAGE).providers.values()]


def test_every_api_has_a_block() -> None:
    assert {provider.api for provider in providers()} == set(get_args(Api))


@pytest.mark.parametrize("name", SERVERS)
def test_every_server_has_a_block_that_leads_to_it(name: str) -> None:
    server = SERVERS[name]
    found = [each for each in providers() if each.name == name.replace(".", "")]
    assert [each.base_url for each in found] == [server.base_url]
    assert [each.key for each in found] == [server.key and f"env:{server.key}"]


@pytest.mark.parametrize("name", SERVERS)
def test_the_table_says_what_is_known_of_a_server(name: str) -> None:
    server = SERVERS[name]
    (row,) = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{name}` |")]
    assert f"| `{server.limit_field}` |" in row
    assert (server.thinking_field or "") in row
    told = ("Chat", "Responses", "embeddings")
    assert [word for word in told if word in row] == [
        word for word in told if any(word.lower() in format for format in server.formats)
    ]
