"""Providers of every kind: where they are, what they lack, and what does not go together."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from callgate.config.policies import BASE_URLS, PriceSource
from callgate.config.servers import SERVERS, ServerName, find_server
from callgate.wire.codec.params import LOST_AS
from callgate.wire.codec.tool_ids import ALPHABETS
from tests.unit.config.files import problem_of, read

APART = {"stop", "images", "documents", "stream_options", "system_turns"}
"""What a target may lack that is no plain parameter."""


def provider(lines: str) -> Any:
    return read(f"[providers.p]\n{lines}").providers["p"]


@pytest.mark.parametrize(
    ("lines", "url"),
    [
        ('api = "azure"\nbase_url = "https://n.openai.azure.com"', "/openai/v1/chat/completions"),
        ('api = "azure"\nbase_url = "https://n.openai.azure.com/openai/v1/"', "/openai/v1/chat/completions"),
        (
            'api = "azure"\nbase_url = "https://n.openai.azure.com?api-version=2024-10-21"',
            "/openai/deployments/m/chat/completions?api-version=2024-10-21",
        ),
        (
            'api = "azure"\nbase_url = "https://n.openai.azure.com/openai?api-version=v-1.preview"',
            "/openai/deployments/m/chat/completions?api-version=v-1.preview",
        ),
    ],
)  # fmt: skip
def test_azure_is_where_its_resource_is_in_one_of_two_forms(lines: str, url: str) -> None:
    asked = provider(lines).url("/chat/completions", model="m")
    assert asked == f"https://n.openai.azure.com{url}"


@pytest.mark.parametrize(
    ("lines", "host", "region"),
    [
        (
            'aws_region = "eu-central-1"',
            "bedrock-runtime.eu-central-1.amazonaws.com",
            "eu-central-1",
        ),
        ('aws_region = "cn-north-1"', "bedrock-runtime.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        (
            'base_url = "https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com/"',
            "bedrock-runtime-fips.us-gov-west-1.amazonaws.com",
            "us-gov-west-1",
        ),
        (
            'base_url = "https://vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com"',
            "vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com",
            "us-east-1",
        ),
        (
            'base_url = "https://proxy.example"\naws_region = "us-east-1"\naws_profile = "prod"',
            "proxy.example",
            "us-east-1",
        ),
        ('base_url = "https://proxy.example"\nkey = "env:K"', "proxy.example", None),
    ],
)
def test_bedrock_is_in_its_region(lines: str, host: str, region: str | None) -> None:
    found = provider(f'api = "bedrock"\n{lines}')
    assert (found.base_url, found.aws_region) == (f"https://{host}", region)
    assert (found.takes, found.price_source) == (("bedrock_converse",), "bedrock")


@pytest.mark.parametrize(
    ("lines", "key", "remedy"),
    [
        ('api = "azure"', "base_url", 'add base_url = "https://NAME.openai.azure.com/openai/v1"'),
        ('api = "bedrock"', "aws_region", 'add aws_region = "…" to [providers.p]'),
        ('api = "bedrock"\nbase_url = "https://proxy.example"', "aws_region", "add aws_region"),
        ('api = "bedrock"\nkey = "env:K"', "aws_region", "add aws_region"),
        (
            'api = "bedrock"\naws_region = "eu-central-1"\nkey = "env:K"\naws_profile = "x"',
            "aws_profile",
            "remove it",
        ),
        ('api = "openai"\naws_profile = "x"', "aws_profile", "remove it"),
        ('api = "anthropic"\nserver = "vllm"', "server", "remove it"),
        ('api = "azure"\nbase_url = "https://a"\nserver = "vllm"', "server", "remove it"),
        ('api = "bedrock"\naws_region = "us-east-1"\nserver = "vllm"', "server", "remove it"),
        ('api = "openai"\nserver = "groq"', "key", 'add key = "env:GROQ_API_KEY"'),
        ('api = "openai"\nbase_url = "https://a?api-version=1"', "base_url", "only Azure"),
        (
            'api = "bedrock"\nbase_url = "https://a?api-version=1"\naws_region = "us-east-1"',
            "base_url",
            "only Azure",
        ),
    ],
)
def test_what_does_not_go_together_is_told_with_its_remedy(
    lines: str, key: str, remedy: str
) -> None:
    problem = problem_of(f"[providers.p]\n{lines}\n")
    assert problem.key == f"providers.p.{key}"
    assert remedy in (problem.remedy or "")


def test_a_region_that_is_none_is_told() -> None:
    problem = problem_of('[providers.p]\napi = "bedrock"\naws_region = "Frankfurt"\n')
    assert problem.key == "providers.p.aws_region"


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_by_name_has_all_that_is_known_of_it(name: str) -> None:
    server = SERVERS[name]
    found = provider(f'api = "openai"\nserver = "{name}"\nkey = "env:K"')
    assert (found.base_url, found.takes) == (server.base_url, server.formats)
    assert (found.limit_field, found.price_source) == (server.limit_field, server.price_source)
    assert (found.lacks, found.tool_ids) == (server.lacks, server.tool_ids)
    assert found.thinking_field == server.thinking_field


@pytest.mark.parametrize("name", [name for name, each in SERVERS.items() if each.host])
def test_a_hosted_server_is_known_by_its_address_too(name: str) -> None:
    server = SERVERS[name]
    assert find_server(None, server.base_url) is server
    assert server.host is not None
    assert server.host in server.base_url


def test_settings_go_before_what_is_known() -> None:
    found = provider(
        'api = "openai"\nserver = "vllm"\nbase_url = "http://gpu:9000/v1"\n'
        'limit_field = "max_completion_tokens"\nprice_source = "openai"'
    )
    assert found.base_url == "http://gpu:9000/v1"
    assert (found.limit_field, found.price_source) == ("max_completion_tokens", "openai")


@pytest.mark.parametrize("url", ["https://api.openai.com/v1", "http://127.0.0.1:8000/v1", None])
def test_who_is_not_known_takes_what_its_api_does(url: str | None) -> None:
    found = provider('api = "openai"' + ("" if url is None else f'\nbase_url = "{url}"'))
    assert (found.lacks, found.limit_field, found.price_source) == (frozenset(), None, "openai")
    assert found.base_url == (url or BASE_URLS["openai"])


def test_the_name_of_a_host_in_a_path_or_a_longer_host_is_not_it() -> None:
    assert find_server(None, "https://proxy.example/api.groq.com/v1") is None
    assert find_server(None, "https://api.groq.com.evil.example/v1") is None
    assert find_server(None, "https://notapi.groq.com/v1") is None


def test_every_server_says_what_the_rest_of_the_house_knows() -> None:
    assert set(SERVERS) == set(get_args(ServerName))
    for server in SERVERS.values():
        assert server.lacks <= LOST_AS.keys() | APART
        assert server.tool_ids is None or server.tool_ids in ALPHABETS
        assert server.price_source in get_args(PriceSource)
        assert server.formats[0] == "openai_chat"
        assert server.source
