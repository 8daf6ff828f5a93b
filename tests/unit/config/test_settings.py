from __future__ import annotations

from pathlib import Path

import pytest

from callgate.call import Candidate
from callgate.config import builtin, find
from callgate.errors import Misconfigured
from callgate.money import Money
from tests.unit.config.files import PLACE, read

KEYS = {"OPENAI_API_KEY": "sk-1", "ANTHROPIC_API_KEY": "sk-2", "HOME": "/me"}


def test_what_a_file_leaves_out_has_its_default() -> None:
    settings = read("")
    assert settings.gate.store_file == PLACE.parent / "callgate.db"
    assert (settings.gate.host, settings.gate.port) == ("127.0.0.1", 4180)
    assert settings.tasks["default"].budget is None
    assert settings.agents == {}


def test_a_file_is_resolved_whole() -> None:
    settings = read("""
        [providers.a]
        api = "anthropic"
        base_url = "https://host/v1/"
        ca_file = "ca.pem"
        [models.smart]
        use = ["a:claude", "a/other"]
        [agents.x]
        models = ["smart", "a/*"]
        [tasks.t]
        budget = "$0.50"
        timeout = "10m"
        [prices."a/claude"]
        input = "$1"
        output = "$2"
    """)
    assert settings.providers["a"].base_url == "https://host"
    assert settings.providers["a"].ca_file == PLACE.parent / "ca.pem"
    assert settings.models["smart"].use == (
        Candidate(provider="a", model="claude"),
        Candidate(provider="a", model="other"),
    )
    assert settings.agents["x"].models == ("smart", "a:*")
    assert settings.tasks["t"].budget == Money.dollars("0.50")
    assert settings.tasks["t"].timeout_seconds == 600
    assert settings.prices["a:claude"].input_femto == 10**9


def test_without_a_file_the_providers_are_those_whose_key_is_set() -> None:
    assert list(builtin(KEYS).providers) == ["openai", "anthropic"]
    assert list(builtin({**KEYS, "OPENAI_API_KEY": ""}).providers) == ["anthropic"]


@pytest.mark.parametrize(
    ("variables", "key"),
    [
        ({"GEMINI_API_KEY": "k"}, "env:GEMINI_API_KEY"),
        ({"GOOGLE_API_KEY": "k"}, "env:GOOGLE_API_KEY"),
        ({"GEMINI_API_KEY": "k", "GOOGLE_API_KEY": "l"}, "env:GOOGLE_API_KEY"),
        ({"GEMINI_API_KEY": "k", "GOOGLE_API_KEY": ""}, "env:GEMINI_API_KEY"),
    ],
)
def test_without_a_file_the_key_of_gemini_is_the_one_that_googles_sdk_would_take(
    variables: dict[str, str], key: str
) -> None:
    (gemini,) = builtin({"HOME": "/me", **variables}).providers.values()
    assert (gemini.name, gemini.api, gemini.key) == ("gemini", "gemini", key)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (None, "https://generativelanguage.googleapis.com/v1beta"),
        ("http://here:1", "http://here:1/v1beta"),
        ("http://here:1/v1beta/", "http://here:1/v1beta"),
        ("http://here:1/v1", "http://here:1/v1"),
    ],
)
def test_the_address_of_gemini_has_a_version_or_gets_one(url: str | None, place: str) -> None:
    named = {} if url is None else {"GOOGLE_GEMINI_BASE_URL": url}
    settings = builtin({"HOME": "/me", "GEMINI_API_KEY": "k", **named})
    assert settings.providers["gemini"].base_url == place


def test_without_a_file_a_task_has_a_dollar_and_half_an_hour_and_no_tool() -> None:
    settings = builtin(KEYS)
    assert settings.tasks["default"].budget == Money.dollars("1")
    assert settings.tasks["default"].timeout_seconds == 1800
    assert settings.agents["default"].models == ("*",)
    assert settings.path is None


@pytest.mark.parametrize(
    ("variables", "file"),
    [
        ({}, "/me/.local/state/callgate/callgate.db"),
        ({"XDG_STATE_HOME": "/state"}, "/state/callgate/callgate.db"),
    ],
)
def test_without_a_file_the_store_is_in_the_users_state_folder(
    variables: dict[str, str], file: str
) -> None:
    assert builtin({**KEYS, **variables}).gate.store_file == Path(file)


def test_without_a_file_a_provider_is_where_its_sdk_would_look() -> None:
    settings = builtin({**KEYS, "OPENAI_BASE_URL": "http://local:8000/v1/"})
    assert settings.providers["openai"].base_url == "http://local:8000/v1"
    assert settings.providers["anthropic"].base_url == "https://api.anthropic.com"


def test_a_variable_that_holds_no_url_is_refused() -> None:
    with pytest.raises(Misconfigured, match="OPENAI_BASE_URL does not hold a URL"):
        builtin({**KEYS, "OPENAI_BASE_URL": "localhost:8000"})


def test_the_nearest_file_above_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (tmp_path / "callgate.toml").touch()
    assert find(folder) == tmp_path / "callgate.toml"
    (tmp_path / "a" / "callgate.toml").touch()
    assert find(folder) == tmp_path / "a" / "callgate.toml"
